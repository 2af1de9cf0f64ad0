"""How a node looks to `stat`, and the kernel's entries made of that."""

import os
import stat
import time
from contextlib import suppress
from typing import Final, final

from pyfuse3 import ROOT_INODE, EntryAttributes

from tcfs.fuse.handles import OpenFiles
from tcfs.fuse.inodes import Inodes
from tcfs.project.errors import Missing
from tcfs.stores import NotFound
from tcfs.tree._base import Attributes, Kind, Link, Node

BLOCK: Final = 131072  # what stdio and cp gather before they write: one request of 128 KiB

_MODE: Final = {
    (Kind.FILE, True): stat.S_IFREG | 0o644,
    (Kind.FILE, False): stat.S_IFREG | 0o444,
    (Kind.DIRECTORY, True): stat.S_IFDIR | 0o755,
    (Kind.DIRECTORY, False): stat.S_IFDIR | 0o555,
    (Kind.LINK, True): stat.S_IFLNK | 0o777,
    (Kind.LINK, False): stat.S_IFLNK | 0o777,
}


@final
class Entries:
    """Makes the kernel's entries. All is owned by whoever mounts.

    Modes are for show and for `test -w`: the tree decides what may be done, and says why, so
    the kernel does not check them (`mounting`).
    """

    def __init__(self, inodes: Inodes, files: OpenFiles, *, shared: bool = False) -> None:
        self._inodes = inodes
        self._files = files
        self._born = time.time_ns()
        self._uid = os.getuid()
        self._gid = os.getgid()
        # The kernel lets nobody else in, whatever is shown; who copies modes copies that.
        self._shown = -1 if shared else ~0o077

    async def told(self, node: Node) -> EntryAttributes:
        """Return the entry of a node that was looked up or made, which the kernel then holds."""
        # The attributes first: a number is held only once nothing can fail any more.
        attributes = node.listed
        if attributes is None:
            attributes = await self._attributes(node, self._inodes.number(node.path, node.kind))
        inode = self._inodes.hold(node)
        return self.entry(inode, node, attributes)

    async def current(self, inode: int) -> EntryAttributes:
        """Return the entry of an inode the kernel holds, as it is now."""
        node = self._inodes.node(inode)
        return self.entry(inode, node, await self._attributes(node, inode))

    def entry(self, inode: int, node: Node, attributes: Attributes) -> EntryAttributes:
        """Return the entry of a node. The time-outs are the node's: pyfuse3's are 300 s."""
        size = attributes.size
        if isinstance(node, Link):
            size = len(node.target.encode(errors="surrogateescape"))
        entry = EntryAttributes()
        entry.st_ino = inode
        entry.entry_timeout = node.keep.entry
        entry.attr_timeout = node.keep.attributes
        mode = _MODE[node.kind, attributes.writable]
        entry.st_mode = mode & self._shown if inode == ROOT_INODE else mode
        entry.st_uid = self._uid
        entry.st_gid = self._gid
        entry.st_size = size
        entry.st_blksize = BLOCK
        entry.st_blocks = (size + 511) // 512
        modified = attributes.modified or self._born  # what nothing tells is as old as the mount
        entry.st_mtime_ns = entry.st_ctime_ns = entry.st_atime_ns = modified
        self._inodes.shown(inode, size)
        return entry

    async def _attributes(self, node: Node, inode: int | None) -> Attributes:
        if inode is None or not (files := self._files.of(inode)):
            return await node.attributes()
        attributes = None
        if self._inodes.named(inode):  # what was removed is another file by now, if any
            with suppress(Missing, NotFound):
                attributes = await node.attributes()
        if attributes is None:
            # Open, but not yet stored, or removed since.
            writes = any(file.writes for file in files)
            attributes = Attributes(self._inodes.size(inode), time.time_ns(), writes)
        size = self._files.size(inode)
        if size is None or size == attributes.size:
            return attributes
        return Attributes(size, attributes.modified, attributes.writable)
