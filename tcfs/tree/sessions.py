"""`sessions/`: the transcripts that were mirrored, read-only (tree.md, sessions)."""

import errno
from collections.abc import Callable, Sequence
from typing import Final, final

import trio

from tcfs.project import WALK
from tcfs.project._ahead import Ahead
from tcfs.project._apart import Later
from tcfs.project.agents import SURE
from tcfs.project.errors import Missing, ViewOnly
from tcfs.project.sessions import Gone, Session, Sessions, Transcript
from tcfs.stores import Buffer, Entry
from tcfs.tree._base import (
    HOUR,
    STATIC,
    Attributes,
    Caller,
    File,
    Handle,
    Keep,
    Node,
    OpenMode,
    ViewDirectory,
)
from tcfs.tree._text import Text, TextView
from tcfs.tree._view import View
from tcfs.tree.plain import Ranges
from tcfs.wire import keys

THERE: Final = Keep(entry=SURE)  # a session's directory does not go
SAME: Final = Keep(entry=SURE, attributes=HOUR)  # a part may go, and never changes
AGAIN: Final = 3  # how often a read goes on elsewhere when a part is gone


@final
class SessionsDirectory(ViewDirectory):
    """`sessions/`: the harnesses, and `active` in a mount that mirrors: what it does."""

    __slots__ = ("_active", "_view")
    keep = STATIC

    def __init__(self, path: str, view: View, active: Callable[[], str] | None) -> None:
        super().__init__(path)
        self._view = view
        self._active = active

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return a harness."""
        if name == "active" and self._active is not None:
            return self._active_file(self._active)
        if not await self._view.project.sessions.has_harness(name):
            raise Missing(f"there is no session of {name}; `ls sessions` shows what there is")
        return HarnessDirectory(self.child(name), self._view, name)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return every harness that has a session."""
        names = await self._view.project.sessions.harnesses()
        found: list[tuple[str, Node]] = [
            (it, HarnessDirectory(self.child(it), self._view, it)) for it in names
        ]
        if self._active is None:
            return found
        others = [it for it in found if it[0] != "active"]
        return [("active", self._active_file(self._active)), *others]

    def _active_file(self, active: Callable[[], str]) -> Node:
        async def now(caller: Caller | None) -> Text:
            return Text(active().encode(errors="replace"))

        return TextView(self.child("active"), now, sized=False)


@final
class HarnessDirectory(ViewDirectory):
    """`sessions/<harness>/`: its sessions."""

    __slots__ = ("_harness", "_view")
    keep = THERE

    def __init__(self, path: str, view: View, harness: str) -> None:
        super().__init__(path)
        self._view = view
        self._harness = harness

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return a session."""
        session = Session(self._harness, name)
        if not await self._view.project.sessions.has(session):
            raise Missing(f"there is no {session}; `ls sessions/{self._harness}` shows them")
        return SessionDirectory(self.child(name), self._view, session)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return every session."""
        return [
            (name, SessionDirectory(self.child(name), self._view, Session(self._harness, name)))
            for name in await self._view.project.sessions.of(self._harness)
        ]


@final
class SessionDirectory(ViewDirectory):
    """`sessions/<harness>/<id>/`: one session."""

    __slots__ = ("_session", "_view")
    keep = THERE

    def __init__(self, path: str, view: View, session: Session) -> None:
        super().__init__(path)
        self._view = view
        self._session = session

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return the transcript, what is known of it, or its parts."""
        sessions = self._view.project.sessions
        match name:
            case "transcript.jsonl":
                return self._transcript(await sessions.transcript(self._session))
            case "meta.json":
                await sessions.meta(self._session)
                return self._meta()
            case "parts":
                return self._parts()
        raise Missing(f"{self._session} has no {name}")

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return what there is; nothing where neither meta nor a part is."""
        sessions = self._view.project.sessions
        found: list[tuple[str, Node]] = []
        try:
            transcript = await sessions.transcript(self._session)
            found.append(("transcript.jsonl", self._transcript(transcript)))
            found.append(("parts", self._parts()))
            await sessions.meta(self._session, max_age=WALK)
            found.append(("meta.json", self._meta()))
        except Missing:
            return found
        return found

    def _transcript(self, seen: Transcript) -> Node:
        return TranscriptFile(
            self.child("transcript.jsonl"), self._view, self._session, _attributes(seen)
        )

    def _meta(self) -> Node:
        async def exact(caller: Caller | None) -> Text:
            found = await self._view.project.sessions.meta(self._session, max_age=WALK)
            return Text(found.body, found.modified)

        return TextView(self.child("meta.json"), exact)

    def _parts(self) -> Node:
        return PartsDirectory(self.child("parts"), self._view, self._session)


@final
class PartsDirectory(ViewDirectory):
    """`parts/`: every part as it is, also those that meta does not name."""

    __slots__ = ("_session", "_view")
    keep = THERE

    def __init__(self, path: str, view: View, session: Session) -> None:
        super().__init__(path)
        self._view = view
        self._session = session

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return one part."""
        if keys.part_leaf(name) is None:
            raise Missing(f"{self._session} has no part {name}")
        entry = await self._view.project.store.head(f"{keys.session(*self._session)}{name}")
        return PartFile(self.child(name), self._view, entry)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return every part."""
        found: list[tuple[str, Node]] = []
        for entry in await self._view.project.sessions.parts(self._session):
            name = entry.key.rpartition("/")[2]
            found.append((name, PartFile(self.child(name), self._view, entry)))
        return found


@final
class PartFile(File):
    """One part, as it lies in the bucket."""

    __slots__ = ("_entry", "_view")
    keep = SAME

    def __init__(self, path: str, view: View, entry: Entry) -> None:
        super().__init__(path, Attributes(entry.size, entry.modified, writable=False))
        self._view = view
        self._entry = entry

    async def attributes(self) -> Attributes:
        """Return the object's size and time."""
        return Attributes(self._entry.size, self._entry.modified, writable=False)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading; a write is refused."""
        if mode.write:
            raise ViewOnly(f"{self.path} is what was mirrored; it cannot be written")
        return Ranges(self._view.project.store, self._entry.key)

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this where opening was refused."""
        raise ViewOnly(f"{self.path} is what was mirrored; it cannot be changed")


@final
class TranscriptFile(File):
    """The parts of a session as one file, which grows as the session goes on."""

    __slots__ = ("_session", "_view")

    def __init__(
        self, path: str, view: View, session: Session, listed: Attributes | None = None
    ) -> None:
        super().__init__(path, listed)
        self._view = view
        self._session = session

    async def attributes(self) -> Attributes:
        """Return the size by now: `tail -f` asks for it."""
        sessions = self._view.project.sessions
        return _attributes(await sessions.transcript(self._session, max_age=WALK))

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading; a write is refused."""
        if mode.write:
            raise ViewOnly(f"{self.path} is what was mirrored; it cannot be written")
        sessions = self._view.project.sessions
        transcript = await sessions.transcript(self._session, max_age=WALK)
        later = self._view.project.later
        return TranscriptHandle(sessions, self._session, transcript, later)

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this where opening was refused."""
        raise ViewOnly(f"{self.path} is what was mirrored; it cannot be changed")


@final
class TranscriptHandle(Handle):
    """Reads a transcript by ranges, and follows it where it grows, or is begun anew."""

    __slots__ = ("_ahead", "_one", "_session", "_sessions", "_transcript")

    def __init__(
        self, sessions: Sessions, session: Session, transcript: Transcript, later: Later
    ) -> None:
        self._sessions = sessions
        self._session = session
        self._transcript = transcript
        self._one = trio.Lock()  # threads may share what was opened
        self._ahead = Ahead(self._fetch, self._cut, later)

    async def read(self, offset: int, size: int) -> Buffer:
        """Return a range; what follows is asked for meanwhile if this is read through."""
        async with self._one:
            # Past what was the end there may be more by now; from the start on, another generation.
            if offset == 0:
                await self._follow(WALK if not self._transcript.size else SURE)
            elif offset >= self._transcript.size and not await self._grew(offset):
                return b""
            for _ in range(AGAIN):
                try:
                    return await self._ahead.read(offset, size, self._transcript.size)
                except Gone:
                    await self._go_on()
            raise self._stale()

    async def release(self) -> None:
        """Ask for nothing more."""
        self._ahead.drop()

    async def _fetch(self, offset: int, size: int) -> Sequence[Buffer]:
        return await self._sessions.read(self._transcript, offset, size)

    def _cut(self, offset: int, limit: int) -> int:
        return self._transcript.cut(offset, limit)

    async def _grew(self, offset: int) -> bool:
        """Take note of what came after the end; false where the source begins anew before it."""
        before = self._transcript
        now = await self._sessions.transcript(self._session, max_age=WALK)
        if None in (before.generation, now.generation) or before.generation == now.generation:
            self._use(now)
            return True
        # Other bytes: what was read is no part of it. Who sees a shorter file begins anew too.
        if now.size > offset:
            raise self._stale()
        return False

    async def _follow(self, max_age: float) -> None:
        self._use(await self._sessions.transcript(self._session, max_age=max_age))

    def _use(self, transcript: Transcript) -> None:
        if transcript is not self._transcript:
            self._transcript = transcript
            self._ahead.drop()

    async def _go_on(self) -> None:
        """Find the same bytes in other parts: a part that is gone was merged, or is lost."""
        before = self._transcript
        self._sessions.forget(self._session)
        try:
            await self._follow(0.0)
        except Missing:
            raise self._stale() from None
        after = self._transcript
        if after.generation != before.generation or after.size < before.size:
            raise self._stale()

    def _stale(self) -> OSError:
        return OSError(errno.ESTALE, f"{self._session} is not what it was; open it again")


def _attributes(seen: Transcript) -> Attributes:
    return Attributes(seen.size, seen.modified, writable=False)
