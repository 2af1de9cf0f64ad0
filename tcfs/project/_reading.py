"""One version of an object, read by ranges, a little ahead of whoever reads."""

from collections import deque
from typing import Final, Self, final

import trio

from tcfs.project.errors import Missing
from tcfs.stores import Buffer, ETag, InvalidKey, NotFound, PreconditionFailed, Range, Store

FIRST: Final = 256 << 10  # bytes: most files are read whole by the request that opens them
MOST: Final = 8 << 20  # bytes asked for at once, of a file that is read from end to end
_WINDOWS: Final = 2  # the kernel asks for several pages at once, not always in their order


@final
class Reading:
    """A version, known by its ETag; what is at the key later is another, and is not read."""

    __slots__ = (
        "_ahead", "_busy", "_next", "_store", "_windows", "etag", "key", "modified", "size",
    )  # fmt: skip

    def __init__(self, store: Store, key: str, etag: ETag, size: int, modified: int) -> None:
        self.key = key
        self.etag = etag
        self.size = size
        self.modified = modified
        self._store = store
        self._busy = trio.Lock()
        self._windows: deque[tuple[int, memoryview]] = deque(maxlen=_WINDOWS)
        self._ahead = FIRST
        self._next = 0  # where a reader that goes on will read

    @classmethod
    async def begin(cls, store: Store, key: str) -> Self:
        """Return what is at `key` now, with its first bytes; raises Missing."""
        try:
            found = await store.get_range(key, 0, FIRST)
        except (NotFound, InvalidKey):
            raise Missing(f"{key} does not exist") from None
        version = cls(store, key, found.etag, found.size, found.modified)
        version._take(0, found)
        return version

    async def read(self, offset: int, size: int) -> Buffer:
        """Return a range of this version, none past its end.

        Raises:
            PreconditionFailed: it is there no more.
        """
        end = min(offset + size, self.size)
        pieces = []
        while offset < end:
            piece = self._held(offset, end)
            if not piece:
                async with self._busy:
                    # Whoever was first may have fetched this for us.
                    if not self._held(offset, end):
                        await self._fetch(offset, end - offset)
                continue
            pieces.append(piece)
            offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def drop(self) -> None:
        """Forget what was read ahead: another version has been opened here."""
        self._windows.clear()

    async def _fetch(self, offset: int, needed: int) -> None:
        self._ahead = min(2 * self._ahead, MOST) if offset == self._next else FIRST
        try:
            found = await self._store.get_range(self.key, offset, max(needed, self._ahead))
        except NotFound:
            raise self._gone() from None
        if found.etag != self.etag or not found.body:
            raise self._gone()
        self._take(offset, found)

    def _take(self, offset: int, found: Range) -> None:
        self._windows.append((offset, memoryview(found.body)))
        self._next = offset + len(found.body)

    def _held(self, offset: int, end: int) -> Buffer:
        for begin, body in self._windows:
            if begin <= offset < begin + len(body):
                return body[offset - begin : end - begin]
        return b""

    def _gone(self) -> PreconditionFailed:
        self.drop()
        return PreconditionFailed(f"{self.key} was replaced or removed since; open it again")
