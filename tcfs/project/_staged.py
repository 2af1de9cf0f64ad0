"""A file that is being written: on the local disk until it is stored, whole."""

import errno
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final, final

import trio

from tcfs.project._reading import Reading
from tcfs.project.errors import Exists
from tcfs.stores import AlreadyExists, ETag, PreconditionFailed, Store

PIECE: Final = 1 << 20  # bytes that go to and from the disk at once
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@final
class Staged:
    """What all who have a file open in this mount see while one of them may write to it.

    `key` is None once the file was removed: it then lives as long as somebody has it open, and is
    stored no more. `base` is the version that is stored, None where there is none, or where what
    was there was cut to nothing unseen. `by` is whoever writes, to be known again by `discard`.

    The disk is read and written from the event loop: through the page cache, 1 MiB takes less
    than handing it to a thread and back.
    """

    __slots__ = (
        "_directory", "_file", "_loaded", "_lock", "_store", "base", "dirty", "exclusive", "key",
        "modified", "size", "strict", "users",
    )  # fmt: skip

    def __init__(self, store: Store, directory: Path, key: str, base: Reading | None) -> None:
        self.key: str | None = key
        self.base = base
        self.size = base.size if base else 0
        self.modified = base.modified if base else time.time_ns()
        self.dirty: set[object] = set()  # who wrote what is not stored
        self.exclusive = False  # to be stored only where nothing is
        self.strict = False  # to be stored only over `base`
        self.users: set[object] = set()
        self._store = store
        self._directory = directory
        self._lock = trio.Lock()
        self._loaded = base is None  # whether the disk has it all
        self._file: IO[bytes] | None = None

    async def read(self, offset: int, size: int) -> bytes:
        """Return what was written, over what was there."""
        if not self._loaded and self.base is not None:
            return await self.base.read(offset, size)
        return self._pread(offset, min(size, max(0, self.size - offset)))

    async def write(self, by: object, offset: int, data: bytes) -> int:
        """Put `data` at `offset`; raises OSError ENOSPC where the local disk is full."""
        async with self._lock:
            await self._load()
            self._write(by, offset, data)
        return len(data)

    async def append(self, by: object, data: bytes) -> None:
        """Put `data` at the end."""
        async with self._lock:
            await self._load()
            self._write(by, self.size, data)

    async def truncate(self, by: object, size: int) -> None:
        """Cut or extend it."""
        async with self._lock:
            if size:
                await self._load()
            self._loaded = True
            os.ftruncate(self._fd(), size)
            self._touched(by)
            self.size = size

    async def save(self) -> None:
        """Store what was written, whole.

        Raises:
            Exists: it was to be new, and another mount stored one.
            PreconditionFailed: it was to replace `base`, and that is there no more.
            what an upload raises; it may then be tried again.
        """
        async with self._lock:
            if self.dirty and self.key is not None:
                await self._save_at(self.key)

    async def save_as(self, key: str, *, exclusive: bool) -> bool:
        """Store it at another key, if anything of it is not stored yet; tell whether it was."""
        async with self._lock:
            if not self.dirty:
                return False
            self.exclusive, self.strict = exclusive, False
            await self._save_at(key)
            return True

    async def load(self) -> None:
        """Fetch all of it."""
        async with self._lock:
            await self._load()

    async def quiet(self) -> None:
        """Wait until nothing is being stored."""
        async with self._lock:
            return

    def discard(self, by: object) -> bool:
        """Forget what `by` wrote; tell whether nothing is left of it that could be stored.

        What others wrote to the same file as well cannot be told apart, and stays.
        """
        if by not in self.dirty:
            return False
        self.dirty.discard(by)
        if self.dirty or self._lock.locked():
            return False
        if self.base is None:
            return True
        self._loaded = False
        os.ftruncate(self._fd(), 0)
        self.size, self.modified = self.base.size, self.base.modified
        return False

    def close(self) -> None:
        """Let go of the disk."""
        if self._file is not None:
            self._file.close()
            self._file = None

    async def _save_at(self, key: str) -> None:
        base = self.base if self.strict else None
        new = self.exclusive or (self.strict and base is None)
        try:
            etag = await self._upload(key, if_absent=new, if_match=base.etag if base else None)
        except AlreadyExists:
            if self.exclusive:
                text = f"{key} was stored by another mount meanwhile; > replaces it"
                raise Exists(text) from None
            raise self._overtaken(key) from None
        except PreconditionFailed:
            raise self._overtaken(key) from None
        self.exclusive = False
        self.dirty.clear()
        self.base = Reading(self._store, key, etag, self.size, self.modified)

    async def _upload(self, key: str, *, if_absent: bool, if_match: ETag | None) -> ETag:
        if self.size <= PIECE:
            body = self._pread(0, self.size)
            return await self._store.put(key, body, if_absent=if_absent, if_match=if_match)
        parts = self._pieces()
        return await self._store.upload(key, parts, if_absent=if_absent, if_match=if_match)

    async def _pieces(self) -> AsyncIterator[bytes]:
        for offset in range(0, self.size, PIECE):
            yield self._pread(offset, min(PIECE, self.size - offset))
            await trio.lowlevel.checkpoint()

    async def _load(self) -> None:
        if self._loaded or self.base is None:
            return
        offset = 0
        while piece := await self.base.read(offset, PIECE):
            self._pwrite(offset, piece)
            offset += len(piece)
        self._loaded = True
        self.base.drop()

    def _write(self, by: object, offset: int, data: bytes) -> None:
        # Taken note of first: what a full disk took of it is to be undone.
        self._touched(by)
        self._pwrite(offset, data)
        self.size = max(self.size, offset + len(data))

    def _touched(self, by: object) -> None:
        self.dirty.add(by)
        self.modified = time.time_ns()

    def _pread(self, offset: int, size: int) -> bytes:
        body = os.pread(self._fd(), size, offset) if size else b""
        while len(body) < size:
            more = os.pread(self._fd(), size - len(body), offset + len(body))
            if not more:
                # Extended, and not written since: as in any file, that reads as NULs.
                return body + bytes(size - len(body))
            body += more
        return body

    def _pwrite(self, offset: int, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                count = os.pwrite(self._fd(), left, offset)
                left, offset = left[count:], offset + count
        except OSError as error:
            if error.errno in _FULL:
                text = f"no space left in {self._directory} for what is not stored yet; free some"
                raise OSError(errno.ENOSPC, text) from None
            raise

    def _fd(self) -> int:
        if self._file is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Without a name: a crash leaves nothing behind.
            where = self._directory
            self._file = tempfile.TemporaryFile(dir=where, buffering=0)  # noqa: SIM115 - by `close`
        return self._file.fileno()

    def _overtaken(self, key: str) -> PreconditionFailed:
        return PreconditionFailed(
            f"{key} was written by another meanwhile, and is too large to be merged; try again"
        )
