"""What follows in a long file, asked for before it is read: several pieces of it at once.

A store gives much more to who asks for several things than to who waits for one after the other.
As much is ahead of a reader as it has read on without a jump, up to 32 MiB; a read anywhere else
is a request of its own, and drops what was ahead.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, final

import trio

from tcfs.project._apart import Later
from tcfs.project.sessions import Gone
from tcfs.stores import Buffer, StoreError

FIRST: Final = 256 << 10  # bytes of the first piece
LARGEST: Final = 8 << 20  # a store that keeps an object in chunks reads a whole one for any range
PIECES: Final = 4  # held or on their way at once, for one reader

Fetch = Callable[[int, int], Awaitable[Sequence[Buffer]]]
"""Returns so many bytes from an offset on, in pieces; raises Gone, and as a get does."""
Cut = Callable[[int, int], int]
"""Returns where a range that begins at an offset best ends, not after another."""


@final
class _Piece:
    """A range of bytes. Once `done`, what is not read of it is `left`, or it did not come."""

    __slots__ = ("begin", "done", "end", "left", "scope")

    def __init__(self, begin: int, end: int) -> None:
        self.begin = begin
        self.end = end
        self.left: deque[memoryview] | None = None
        self.done = trio.Event()
        self.scope = trio.CancelScope()


@final
class Ahead:
    """Reads for one reader, one read at a time.

    What goes wrong ahead of it is asked for again when it is read.
    """

    __slots__ = ("_cut", "_fetch", "_later", "_next", "_pieces", "_read")

    def __init__(self, fetch: Fetch, cut: Cut, later: Later) -> None:
        self._fetch = fetch
        self._cut = cut
        self._later = later
        self._pieces: deque[_Piece] = deque()  # one follows the other
        self._read = 0  # bytes since the last jump
        self._next = -1  # where the next read begins if this is read through

    async def read(self, offset: int, size: int, end: int) -> Buffer:
        """Return `size` bytes, of a file that ends at `end` by now; raises as its `fetch` does."""
        if offset != self._next:
            self.drop()
            parts = await self._fetch(offset, min(size, end - offset))
        else:
            parts = await self._through(offset, min(offset + size, end), end)
        found = parts[0] if len(parts) == 1 else b"".join(parts)
        self._next = offset + len(found)
        self._read += len(found)
        return found

    def drop(self) -> None:
        """Forget what is ahead: the file is another now, or nobody reads on."""
        for piece in self._pieces:
            piece.scope.cancel()
        self._pieces.clear()
        self._read, self._next = 0, -1

    # inside

    async def _through(self, offset: int, until: int, end: int) -> Sequence[Buffer]:
        found: list[Buffer] = []
        while offset < until:
            self._ask(offset, end)
            piece = self._pieces[0]
            await piece.done.wait()
            if piece.left is None:
                self.drop()
                found += await self._fetch(offset, until - offset)
                break  # with what is wrong with it, if it still is
            while piece.left and offset < until:
                part = piece.left.popleft()
                if len(part) > until - offset:
                    piece.left.appendleft(part[until - offset :])
                    part = part[: until - offset]
                found.append(part)
                offset += len(part)
            if not piece.left:
                self._pieces.popleft()
        return found

    def _ask(self, offset: int, end: int) -> None:
        """Ask for what is not asked for yet; `offset` is in the first piece, or begins it."""
        last = self._pieces[-1].end if self._pieces else offset
        half = self._read // 2
        while last < end and len(self._pieces) < PIECES and last - offset <= half:
            length = max(FIRST, min(half, LARGEST))
            piece = _Piece(last, self._cut(last, min(last + length, end)))
            self._pieces.append(piece)
            self._later(partial(self._fill, piece))
            last = piece.end

    async def _fill(self, piece: _Piece) -> None:
        try:
            with piece.scope, suppress(Gone, StoreError):
                parts = await self._fetch(piece.begin, piece.end - piece.begin)
                piece.left = deque(memoryview(it) for it in parts)
        finally:
            piece.done.set()
