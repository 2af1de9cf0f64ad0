"""The open-file table, and the rule that says when an open becomes a document.

FLUSH comes at every close of every duplicate in every process: a child's exit flushes the
parent's file, and bash duplicates and closes before it has written. So a FLUSH looks at the
opener (protocol.md, commit).
"""

import logging
from itertools import count
from typing import Final, final

import trio

from tcfs.fuse import proc
from tcfs.fuse.proc import Fate, Place, Process
from tcfs.tree._base import Caller, Handle, OpenMode

_log = logging.getLogger("tcfs.fuse")

ENDED: Final = "the mount ends while this file is open; storing it as far as it was written"


@final
class OpenFile:
    """One open of one file: the tree's handle, who opened it, and what is yet to be stored."""

    __slots__ = (
        "_lock", "appends", "caller", "closed", "flushed", "handle", "inode", "opener", "path",
        "released", "unstored", "writes",
    )  # fmt: skip

    def __init__(
        self, handle: Handle, inode: int, path: str, caller: Caller, opener: int, mode: OpenMode
    ) -> None:
        writes = mode.write
        self.handle = handle
        self.inode = inode
        self.path = path
        self.caller = caller
        self.writes = writes
        self.appends = mode.append
        # Looked up only for what will ask: a plain read is opened and closed without it.
        self.opener: Process | None = proc.process(opener) if writes or handle.blocking else None
        self.flushed = writes or type(handle).commit is not Handle.commit
        self.unstored = writes  # to have created or truncated is already something
        self.closed = False  # nothing is stored from here on
        self.released = False
        self._lock = trio.Lock()

    async def write(self, offset: int, data: bytes) -> int:
        """Take bytes for the tree's handle."""
        await self._acquire()
        try:
            self.unstored = True
            return await self.handle.write(offset, data)
        finally:
            self._lock.release()

    async def append(self, offset: int, data: bytes) -> int:
        """Take bytes for the end of the tree's handle, which the kernel takes `offset` for."""
        await self._acquire()
        try:
            self.unstored = True
            return await self.handle.append(offset, data)
        finally:
            self._lock.release()

    async def truncate(self, size: int) -> None:
        """Cut what is being written."""
        await self._acquire()
        try:
            self.unstored = True
            await self.handle.truncate(size)
        finally:
            self._lock.release()

    async def sync(self) -> None:
        """Obey `fsync`."""
        await self._acquire()
        try:
            await self.handle.sync()
        finally:
            self._lock.release()

    async def let_go(self, place: Place) -> None:
        """Somebody closed a descriptor: store, if whoever opened the file has let go of it.

        What was opened only to be read is told of every close: mail is marked read by it. Of one
        that blocks, whether the reader was killed: it has not got what it waited for.
        """
        if not self.writes:
            if proc.fate(self.opener, place) is Fate.KILLED:
                self.handle.discard()
            else:
                await self.handle.commit()
            return
        if self.closed or not self.unstored:
            return
        match proc.fate(self.opener, place):
            case Fate.KILLED:
                self.closed = True
                self.handle.discard()
            case Fate.LET_GO:
                await self.store()
            case Fate.HOLDS | Fate.UNSEEN:
                return  # RELEASE follows the last close

    async def store(self) -> None:
        """Store what is not yet stored. What fails is told once, and not tried again."""
        await self._acquire()
        try:
            if self.unstored and not self.closed:
                self.unstored = False
                await self.handle.commit()
        finally:
            self._lock.release()

    async def release(self) -> None:
        """Let go of the tree's handle, once."""
        if not self.released:
            self.closed = self.released = True
            await self.handle.release()

    async def _acquire(self) -> None:
        # The way without waiting first: acquire() gives way to all other tasks even when free.
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()


@final
class OpenFiles:
    """Every open file of a mount, by the number the kernel has for it."""

    def __init__(self, mountpoint: str) -> None:
        self._mountpoint = mountpoint.rstrip("/")
        self._fresh = count(1)
        self._files: dict[int, OpenFile] = {}
        self._by_inode: dict[int, list[OpenFile]] = {}
        self._none_left = trio.Event()
        self._none_left.set()

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, fh: int) -> OpenFile:
        return self._files[fh]

    def get(self, fh: int) -> OpenFile | None:
        """Return an open file, None for a number that is not in use."""
        return self._files.get(fh)

    def add(self, file: OpenFile) -> int:
        """Enter an open file; return its number."""
        fh = next(self._fresh)
        if not self._files:
            self._none_left = trio.Event()
        self._files[fh] = file
        self._by_inode.setdefault(file.inode, []).append(file)
        return fh

    def remove(self, fh: int) -> None:
        """Take an open file out of the table."""
        file = self._files.pop(fh, None)
        if file is None:
            return
        same = self._by_inode[file.inode]
        same.remove(file)
        if not same:
            del self._by_inode[file.inode]
        if not self._files:
            self._none_left.set()

    def of(self, inode: int) -> list[OpenFile]:
        """Return the open files of an inode, oldest first."""
        return self._by_inode.get(inode, [])

    def writer(self, inode: int, tid: int) -> OpenFile | None:
        """Return the newest open file of an inode that the process of a thread may write to."""
        # RELEASE comes late: what was closed may be on its way out.
        writers = [file for file in self.of(inode) if file.writes and not file.closed]
        if not writers or (asking := proc.process(tid)) is None:
            return None
        return next((file for file in reversed(writers) if file.opener == asking), None)

    def size(self, inode: int) -> int | None:
        """Return the size of what is being written there, None where nothing is."""
        for file in reversed(self.of(inode)):
            if file.released:
                continue  # RELEASE comes late: what is there by now may be longer
            if file.writes and (size := file.handle.size()) is not None:
                return size
        return None

    def place(self, file: OpenFile) -> Place:
        """Return the file as its opener sees it."""
        return Place(self._mountpoint + file.path, file.inode)

    def moved(self, inode: int, path: str) -> None:
        """A file was renamed: so were its descriptors' links in /proc."""
        for file in self.of(inode):
            file.path = path

    async def none_left(self) -> None:
        """Wait until no file is open."""
        await self._none_left.wait()

    def unreleased(self) -> list[int]:
        """Return the numbers of what is open, for a mount that ends."""
        for file in self._files.values():
            if file.unstored and not file.closed:
                _log.warning("%s: %s", file.path, ENDED)
        return [fh for fh, file in self._files.items() if not file.released]
