"""`inbox` while it is open: by time as far as it was there, then as mail comes (tree.md)."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, final

import trio

from tcfs.project import Arrivals, Following, Project
from tcfs.project.mail import Letter
from tcfs.tree._base import Handle
from tcfs.wire.ids import Mailbox

KEPT: Final = 10_000  # mailboxes whose size is remembered


@final
class InboxHandle(Handle):
    """Reads an inbox, which only grows meanwhile: what was shown keeps its place."""

    __slots__ = ("_box", "_following", "_inboxes", "_lock", "_text")

    def __init__(
        self, inboxes: "OpenInboxes", box: Mailbox, following: Following, letters: Sequence[Letter]
    ) -> None:
        self._inboxes = inboxes
        self._box = box
        self._following = following
        self._text = bytearray(lines(letters))
        self._lock = trio.Lock()

    @property
    def length(self) -> int:
        """How many bytes there are by now."""
        return len(self._text)

    async def read(self, offset: int, size: int) -> bytes:
        """Return a part of it; at the end, what came since."""
        if offset >= len(self._text):
            await self.follow()
        return bytes(self._text[offset : offset + size])

    async def follow(self) -> None:
        """Add what came; never fails, since whoever follows a file ends where that fails."""
        async with self._lock:
            self._text += lines(await self._following.more())

    async def release(self) -> None:
        """Look for nothing more."""
        self._inboxes.released(self._box, self)


@final
class OpenInboxes:
    """The inboxes that somebody reads in a mount: what comes into one is asked for once for all."""

    def __init__(self) -> None:
        self.sizes: OrderedDict[Mailbox, int] = OrderedDict()  # as last shown
        self._readers: dict[Mailbox, set[InboxHandle]] = {}
        self._arrivals: dict[Mailbox, Arrivals] = {}

    async def size(self, box: Mailbox) -> int:
        """Return the size that was last shown; as it is by now while somebody reads it.

        A stat has no handle, and `tail -f` looks at the size before it reads on.
        """
        readers = list(self._readers.get(box, ()))
        for it in readers:
            await it.follow()
        if readers:
            self._shown(box, max(it.length for it in readers))
        return self.sizes.get(box, 0)

    def open(self, project: Project, box: Mailbox, letters: Sequence[Letter]) -> InboxHandle:
        """Begin to read an inbox in which `letters` are."""
        if box not in self._arrivals:
            self._arrivals[box] = Arrivals(project.mail, project.clock, box)
        handle = InboxHandle(self, box, Following(self._arrivals[box], letters), letters)
        self._readers.setdefault(box, set()).add(handle)
        self._shown(box, handle.length)
        return handle

    def _shown(self, box: Mailbox, size: int) -> None:
        self.sizes[box] = size
        self.sizes.move_to_end(box)
        if len(self.sizes) > KEPT:
            self.sizes.popitem(last=False)

    def released(self, box: Mailbox, handle: InboxHandle) -> None:
        """A reader let go."""
        readers = self._readers[box]
        readers.discard(handle)
        if not readers:
            del self._readers[box], self._arrivals[box]


def lines(letters: Sequence[Letter]) -> bytes:
    """Return messages as an inbox shows them."""
    return b"".join(it.message.line(broadcast=it.broadcast).encode() for it in letters)
