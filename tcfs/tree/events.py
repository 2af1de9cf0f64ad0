"""`.tcfs/events`: what changes from now on, a JSON object a line, for as long as it is read."""

from typing import Final, final

from tcfs.project.errors import Invalid, ViewOnly
from tcfs.project.events import Event, Events, Follower
from tcfs.tree._base import HOUR, Attributes, Caller, File, Handle, Keep, OpenMode
from tcfs.tree._view import View
from tcfs.tree._where import path_of
from tcfs.wire.json import view_line

AT_ONCE: Final = 256  # events made into text at a time
KEPT: Final = 1 << 16  # bytes that were read, for those who seek back: bash does, after each line


@final
class EventsFile(File):
    """The file; it is unlisted, since reading it blocks."""

    __slots__ = ("_view",)
    keep = Keep(entry=HOUR)

    def __init__(self, path: str, view: View) -> None:
        super().__init__(path)
        self._view = view

    async def attributes(self) -> Attributes:
        """Return no size: readers then read on."""
        return Attributes(writable=False)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading: whatever changes after this is in it."""
        if mode.write:
            raise self._refusal()
        events = self._view.project.events
        return EventsHandle(events, await events.follow())

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this where opening was refused."""
        raise self._refusal()

    def _refusal(self) -> ViewOnly:
        return ViewOnly(f"{self.path} is read: cat {self.path}; it cannot be written")


@final
class EventsHandle(Handle):
    """One reader's lines: as one text that grows at its end, and is forgotten at its beginning."""

    __slots__ = ("_events", "_follower", "_next", "_start", "_text")
    blocking = True

    def __init__(self, events: Events, follower: Follower) -> None:
        self._events = events
        self._follower = follower
        self._text = bytearray()
        self._start = 0  # where in all that was ever told the text begins
        self._next = 0  # where the last read ended

    async def read(self, offset: int, size: int) -> bytes:
        """Return what was told from `offset` on, as soon as there is something."""
        while offset >= self._start + len(self._text):
            await self._follower.some()
            self._fill()
        if offset < self._start:
            raise Invalid("what was told so long ago is forgotten; open .tcfs/events anew")
        data = bytes(self._text[offset - self._start : offset - self._start + size])
        self._next = offset + len(data)
        return data

    @property
    def readable(self) -> bool:
        """Whether a read that goes on where the last one ended returns at once."""
        return self._next < self._start + len(self._text) or len(self._follower) > 0

    async def until_readable(self) -> None:
        """Wait until something is told."""
        if not self.readable:
            await self._follower.some()

    async def release(self) -> None:
        """Stop following."""
        self._events.leave(self._follower)

    def _fill(self) -> None:
        spare = max(0, len(self._text) - KEPT)
        del self._text[:spare]
        self._start += spare
        dropped, events = self._follower.take(AT_ONCE)
        if dropped:
            self._text += f"{view_line({'dropped': dropped})}\n".encode()
        for it in events:
            self._text += f"{_line(it)}\n".encode()


def _line(event: Event) -> str:
    shown = {
        "time": event.time,
        "what": event.what.value,
        "path": path_of(event.key),
        "key": event.key,
        "state": event.state,
        "agent": event.agent,
    }
    return view_line({name: it for name, it in shown.items() if it is not None or name == "path"})
