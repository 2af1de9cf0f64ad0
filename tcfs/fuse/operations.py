"""Every request of the kernel, as a call on the tree and back again.

Thin by intent: find the node or the open file, call it, convert what comes back.
"""

import errno
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final, final

import pyfuse3
import trio
from pyfuse3 import FileInfo, FUSEError, InodeT, RequestContext

from tcfs.fuse import places
from tcfs.fuse.entries import Entries
from tcfs.fuse.guard import Where, guarded
from tcfs.fuse.handles import OpenFile, OpenFiles
from tcfs.fuse.identity import Identity
from tcfs.fuse.inodes import ROOT, Inodes
from tcfs.fuse.interrupts import Interrupts
from tcfs.fuse.listings import Listing, Listings
from tcfs.fuse.places import text
from tcfs.fuse.polls import ALWAYS, Polls
from tcfs.fuse.unanswered import Unanswered
from tcfs.project import Metrics
from tcfs.project.errors import Invalid, Missing, NotAllowed
from tcfs.stores import NotFound, Unavailable
from tcfs.tree._base import (
    Attributes,
    Caller,
    Directory,
    Handle,
    Kind,
    Link,
    Node,
    OpenMode,
)
from tcfs.tree.refusals import Refusals

MISSING: Final = frozenset({errno.ENOENT})  # an answer, not a refusal, to lookup and getattr
PLENTY: Final = 1 << 30  # blocks and inodes free, for programs that ask before they write

_log = logging.getLogger("tcfs.fuse")


@final
class Operations(pyfuse3.Operations):
    """The requests of one mount. `limit` is every request's deadline in seconds."""

    supports_dot_lookup = False  # only a file system exported by NFS is asked for `.` and `..`

    def __init__(
        self,
        root: Directory,
        mountpoint: str,
        *,
        identity: Identity,
        refusals: Refusals,
        metrics: Metrics,
        limit: float,
    ) -> None:
        super().__init__()
        self.limit = limit
        self.ends = float("inf")  # when all must have been let go of, for a mount that ends
        self.identity = identity
        self.inodes = Inodes(root)
        self.files = OpenFiles(mountpoint)
        self.listings = Listings()
        self.interrupts = Interrupts(self.files)
        self.polls = Polls()
        self._unanswered = Unanswered()
        self.answering = trio.Event()
        self.served = metrics.served
        metrics.gauge("tcfs_open_files", "Open files.", lambda: len(self.files))
        metrics.gauge("tcfs_blocked_reads", "Reads that wait.", lambda: len(self.interrupts))
        metrics.gauge("tcfs_polled_files", "Files whose poll waits.", lambda: len(self.polls))
        metrics.counter("tcfs_refusals_total", "Refusals.", lambda: refusals.count)
        self._refusals = refusals
        self._entries = Entries(self.inodes, self.files, shared=identity.shared)

    def init(self) -> None:
        """Take note that the kernel and we have agreed on how to talk."""
        self.answering.set()

    def unhurried(self, fh: int) -> bool:
        """Tell whether an open file waits on purpose, or carries more than a text."""
        return self.files[fh].handle.unhurried

    def refused(self, where: Where, code: int, text: str) -> None:
        """Write a refusal down for `.tcfs/errors`."""
        agent, path = where
        # A name need not be UTF-8; the lines that show it are.
        self._refusals.record(agent, path.encode(errors="backslashreplace").decode(), code, text)

    # Names

    @guarded(places.named, silent=MISSING)
    async def lookup(
        self, parent_inode: int, name: bytes, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Find a name in a directory."""
        directory = self.inodes.directory(parent_inode)
        if name == b".":
            return await self._entries.told(directory)
        if name == b"..":
            return await self._entries.told(await self._above(directory))
        self._unanswered.check(parent_inode, name)
        try:
            node = await directory.lookup(text(name), self.identity.default)
            return await self._entries.told(node)
        except Unavailable as error:
            self._unanswered.note(parent_inode, name, error)
            raise

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Let go of inodes. Nothing in it can fail: an error here would end the mount."""
        for inode, times in inode_list:
            self.inodes.forget(inode, times)

    @guarded(places.named)
    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a directory; what comes of it may be a file at the next look-up."""
        if name.startswith(b".Trash"):  # told so, file managers offer to delete for good
            raise NotAllowed("nothing is kept in a trash here; delete it, or move it elsewhere")
        caller = self.identity.of(ctx.pid)
        return await self._entries.told(
            await self.inodes.directory(parent_inode).mkdir(text(name), caller)
        )

    @guarded(places.named)
    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a symbolic link; the kernel insists on one, whatever the tree makes of it."""
        caller, to = self.identity.of(ctx.pid), text(target)
        node = await self.inodes.directory(parent_inode).symlink(text(name), to, caller)
        return await self._entries.told(node if node.kind is Kind.LINK else Link(node.path, to))

    @guarded(places.named)
    async def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        """Remove a file."""
        directory, called = self.inodes.directory(parent_inode), text(name)
        await directory.unlink(called, self.identity.of(ctx.pid))
        self.inodes.removed(directory.child(called))

    @guarded(places.named)
    async def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        """Remove a directory."""
        directory, called = self.inodes.directory(parent_inode), text(name)
        await directory.rmdir(called, self.identity.of(ctx.pid))
        self.inodes.removed(directory.child(called))

    @guarded(places.named)
    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> None:
        """Rename a file."""
        if flags & ~pyfuse3.RENAME_NOREPLACE:
            raise Invalid("two names cannot be exchanged here; rename one after the other")
        source = self.inodes.directory(parent_inode_old)
        target = self.inodes.directory(parent_inode_new)
        old, new = text(name_old), text(name_new)
        caller = self.identity.of(ctx.pid)
        await source.rename(old, target, new, caller, exclusive=bool(flags))
        # The kernel moves the name and keeps the number: what it stands for must move too.
        try:
            node = await target.lookup(new, self.identity.default)
        except Exception as error:
            if not isinstance(error, Missing | NotFound):
                _log.warning("%s cannot be seen after a rename: %s", target.child(new), error)
            self.inodes.removed(source.child(old))
            return
        inode = self.inodes.moved(source.child(old), node)
        if inode is not None:
            self.files.moved(inode, node.path)
            # What the kernel keeps is the old file's; GLib remembers a save by the time that
            # fstat shows here (`g_file_replace`), and calls any other a change by somebody else.
            # In a thread: the kernel may wait for pages of the file to be written, by us.
            with suppress(FileNotFoundError):  # it keeps nothing of it
                await trio.to_thread.run_sync(
                    partial(pyfuse3.invalidate_inode, InodeT(inode), attr_only=True)
                )

    @guarded(places.by_inode)
    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Refuse a hard link."""
        raise NotAllowed("there are no hard links here; copy the file: cp")

    @guarded(places.named)
    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Refuse a device, a pipe, a socket."""
        raise NotAllowed("there are no devices, pipes or sockets here; open a file to make one")

    # Attributes

    @guarded(places.by_inode, silent=MISSING)
    async def getattr(self, inode: int, ctx: RequestContext) -> pyfuse3.EntryAttributes:
        """Answer `stat`."""
        return await self._entries.current(inode)

    @guarded(places.by_inode)
    async def setattr(
        self,
        inode: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: int | None,
        ctx: RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Cut a file, or be asked to change times, mode or owner."""
        # `futimens` comes without its file, so the one who made the file is known by the process;
        # where opening was refused, `touch` tries this instead, and must be refused again.
        file = self.files[fh] if fh is not None else self.files.writer(inode, ctx.pid)
        if fields.update_size and file is not None and (fh is not None or not file.handle.paged):
            await file.truncate(attr.st_size)
        elif fields.update_size:
            await self.inodes.file(inode).truncate(attr.st_size, self.identity.of(ctx.pid))
        elif file is None:
            node = self.inodes.node(inode)
            only_mode = fields.update_mode and not (fields.update_atime or fields.update_mtime)
            change = node.set_mode if only_mode else node.set_times
            await change(self.identity.of(ctx.pid))
        return await self._entries.current(inode)

    @guarded(places.by_inode)
    async def access(self, inode: int, mode: int, ctx: RequestContext) -> bool:
        """Answer `test -w` and `test -x` by the modes that are shown."""
        searched = self.inodes.node(inode).kind is Kind.DIRECTORY
        wanted = 0o200 if mode & os.W_OK else 0
        if mode & os.X_OK and not searched:
            wanted |= 0o100
        if not wanted:
            return True
        return (await self._entries.current(inode)).st_mode & wanted == wanted

    @guarded(places.by_inode)
    async def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        """Return where a symbolic link leads."""
        node = self.inodes.node(inode)
        if not isinstance(node, Link):
            raise OSError(errno.EINVAL, f"{node.path} is no symbolic link")
        return node.target.encode(errors="surrogateescape")

    @guarded(places.nowhere)
    async def statfs(self, ctx: RequestContext) -> pyfuse3.StatvfsData:
        """Say that there is room."""
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = 4096
        data.f_blocks = data.f_bfree = data.f_bavail = PLENTY
        data.f_files = data.f_ffree = data.f_favail = PLENTY
        data.f_namemax = 255
        return data

    # Files

    @guarded(places.by_inode)
    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        """Open a file."""
        node = self.inodes.file(inode)
        mode = _mode(flags)
        who = self.identity.of if mode.write else self.identity.reader
        caller = who(ctx.pid)
        return self._opened(await node.open(mode, caller), inode, node.path, caller, mode)

    @guarded(places.named)
    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, pyfuse3.EntryAttributes]:
        """Make a file and open it."""
        caller, how = self.identity.of(ctx.pid), _mode(flags)
        directory = self.inodes.directory(parent_inode)
        node, handle = await directory.create(text(name), how, caller)
        inode = self.inodes.hold(node)
        info = self._opened(handle, inode, node.path, caller, how)
        # Not asked of the tree: nothing need be stored before it is closed.
        new = Attributes(handle.size() or 0, time.time_ns())
        return info, self._entries.entry(inode, node, new)

    @guarded(places.by_file, on_handle=True)
    async def read(  # type: ignore[override]  # it says bytes, and takes any buffer
        self, fh: int, off: int, size: int
    ) -> memoryview:
        """Read from an open file; libfuse is given any buffer as it is, uncopied."""
        file = self.files[fh]
        if file.handle.blocking:
            data = await self.interrupts.read(file, off, size)
        else:
            data = await file.handle.read(off, size)
        # Of another type, or longer, it would fail past the guard and end the mount.
        return memoryview(data)[:size]

    @guarded(places.by_inode)
    async def poll(
        self, inode: int, fh: int, poll_handle: pyfuse3.PollHandle | None, ctx: RequestContext
    ) -> int:
        """Tell what an open file is ready for; of ordinary files the kernel asks, too."""
        file = self.files.get(fh)
        return self.polls.answer(fh, file.handle, poll_handle) if file else ALWAYS

    @guarded(places.by_file, on_handle=True)
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """Write to an open file."""
        file = self.files[fh]
        # What was opened for adding may be mapped as well: its pages begin before the end.
        at_end = file.appends and off >= self.inodes.size(file.inode)
        taken = await (file.append if at_end else file.write)(off, buf)
        if not 0 <= taken <= len(buf):
            raise ValueError(f"{taken} of {len(buf)} bytes were taken")
        self.inodes.wrote(file.inode, off + taken)
        return taken

    async def flush(self, fh: int) -> None:
        """Take note of a close."""
        file = self.files.get(fh)
        if file is not None and file.flushed:  # plain reading costs nothing here
            await self._flush(fh)

    @guarded(places.by_file, on_handle=True)
    async def fsync(self, fh: int, datasync: bool) -> None:
        """Store what was written so far, if the file is of a kind that does."""
        await self.files[fh].sync()

    async def release(self, fh: int) -> None:
        """Let go of an open file. Nobody hears the answer, so a failure is written down only."""
        self.polls.forget(fh)
        try:
            await self.end_file(fh)
        finally:
            self.files.remove(fh)

    @guarded(places.by_file, on_handle=True)
    async def _flush(self, fh: int) -> None:
        file = self.files[fh]
        await file.let_go(self.files.place(file))

    @guarded(places.by_file, on_handle=True)
    async def _release(self, fh: int) -> None:
        file = self.files[fh]
        try:
            if file.unstored:
                await file.store()
        finally:
            deadline = min(trio.current_time() + self.limit, self.ends)
            with trio.CancelScope(deadline=deadline, shield=True):
                await file.release()

    # Directories

    @guarded(places.by_inode)
    async def opendir(self, inode: int, ctx: RequestContext) -> int:
        """List a directory."""
        listing = Listing(inode, self.inodes.directory(inode))
        await listing.read(self.identity.default)
        return self.listings.add(listing)

    @guarded(places.by_listing)
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Show the next names of a directory: `.`, `..`, then what was listed."""
        listing = self.listings[fh]
        if start_id == 0:
            if listing.shown_once:  # rewinddir() shows what is there by now
                await listing.read(self.identity.default)
            listing.shown_once = True
        for number, name in enumerate((b".", b"..")):
            if start_id <= number and not pyfuse3.readdir_reply(
                token, name, self._dots(listing, name), number + 1
            ):
                return
        for index, called, node, attributes in await listing.shown(max(0, start_id - 2)):
            inode = self.inodes.hold(node)
            entry = self._entries.entry(inode, node, attributes)
            name = called.encode(errors="surrogateescape")
            if not pyfuse3.readdir_reply(token, name, entry, index + 3):
                self.inodes.forget(inode, 1)
                return

    async def releasedir(self, fh: int) -> None:
        """Let go of an open directory."""
        self.listings.remove(fh)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Do nothing: what was done to names is stored when it is done."""

    async def end_file(self, fh: int) -> None:
        """Store and release an open file as if it had been closed: the mount is ending."""
        try:
            await self._release(fh)
        except FUSEError as error:
            _, path = places.by_file(self, fh)
            _log.warning("%s was not stored: %s", path, os.strerror(error.errno))
        except trio.Cancelled:
            _log.error("%s was not stored before the mount had to end", places.by_file(self, fh)[1])
            raise

    def _opened(
        self, handle: Handle, inode: int, path: str, caller: Caller, mode: OpenMode
    ) -> FileInfo:
        file = OpenFile(handle, inode, path, caller, caller.pid, mode)
        # The kernel ends a read from its cache, and adds, where it last heard the file ends; a
        # file that another host has changed in that second is read from us.
        if mode.truncate:
            self.inodes.shown(inode, 0)
        size = handle.size()
        paged = handle.paged and (size is None or size == self.inodes.size(inode))
        return FileInfo(fh=self.files.add(file), direct_io=not paged, keep_cache=False)

    def _dots(self, listing: Listing, name: bytes) -> pyfuse3.EntryAttributes:
        above = listing.node.path.rpartition("/")[0] or "/"
        number = self.inodes.number(above, Kind.DIRECTORY) if name == b".." else listing.inode
        return self._entries.entry(number or ROOT, listing.node, Attributes())

    async def _above(self, directory: Directory) -> Node:
        node: Node = self.inodes.directory(ROOT)
        for part in directory.path.split("/")[1:-1]:
            if not isinstance(node, Directory):
                raise Missing(f"{node.path} is not a directory")
            node = await node.lookup(part, self.identity.default)
        return node


def _mode(flags: int) -> OpenMode:
    how = flags & os.O_ACCMODE
    write = how != os.O_RDONLY
    return OpenMode(
        read=how != os.O_WRONLY,
        write=write,
        append=bool(flags & os.O_APPEND),
        truncate=write and bool(flags & os.O_TRUNC),
        exclusive=bool(flags & os.O_EXCL),
        touch=write and bool(flags & os.O_NONBLOCK),
    )
