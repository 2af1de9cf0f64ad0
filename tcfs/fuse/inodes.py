"""Which number stands for which node, for as long as the kernel holds the number.

A number belongs to a path *and* a kind: a directory that becomes a file (`mkdir` of what is a
file) must come back under another number, or the kernel answers EIO. Nodes are cheap and come
anew with every look-up; the newest one answers.
"""

import errno
import secrets
from itertools import count
from typing import Final, final

from pyfuse3 import ROOT_INODE

from tcfs.tree._base import Directory, File, Kind, Node

ROOT: Final = int(ROOT_INODE)


@final
class _Entry:
    __slots__ = ("held", "node", "size")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.held = 0  # look-ups the kernel has not yet forgotten
        self.size = 0  # as last shown


@final
class Inodes:
    """The inode table of one mount."""

    def __init__(self, root: Directory) -> None:
        # A random start: the number alone then tells this mount's files from another mount's in
        # /proc/PID/fdinfo, which has no other way to name the file system.
        self._fresh = count((secrets.randbits(40) | 1) << 20)
        self._entries: dict[int, _Entry] = {ROOT: _Entry(root)}
        self._numbers: dict[Kind, dict[str, int]] = {kind: {} for kind in Kind}
        self._numbers[Kind.DIRECTORY]["/"] = ROOT

    def __len__(self) -> int:
        return len(self._entries)

    def hold(self, node: Node) -> int:
        """Return the number of a node that the kernel is about to be told of, once more."""
        numbers = self._numbers[node.kind]
        number = numbers.get(node.path)
        if number is None:
            number = next(self._fresh)
            numbers[node.path] = number
            entry = self._entries[number] = _Entry(node)
        else:
            entry = self._entries[number]
            if number != ROOT:
                entry.node = node
        entry.held += 1
        return number

    def forget(self, number: int, times: int) -> None:
        """Take back as many look-ups; the number is gone with the last. Never raises."""
        entry = self._entries.get(number)
        if entry is None or number == ROOT:
            return
        entry.held -= times
        if entry.held <= 0:
            del self._entries[number]
            self._unname(entry.node, number)

    def node(self, number: int) -> Node:
        """Return the node; raises OSError ESTALE for a number that was forgotten."""
        try:
            return self._entries[number].node
        except KeyError:
            raise OSError(errno.ESTALE, "this file is no longer known; open it again") from None

    def path(self, number: int) -> str:
        """Return the path of a number, `?` for one that was forgotten."""
        entry = self._entries.get(number)
        return entry.node.path if entry else "?"

    def directory(self, number: int) -> Directory:
        """Return the node, which must be a directory; raises OSError."""
        node = self.node(number)
        if not isinstance(node, Directory):
            raise NotADirectoryError(errno.ENOTDIR, f"{node.path} is not a directory")
        return node

    def file(self, number: int) -> File:
        """Return the node, which must be a file; raises OSError."""
        node = self.node(number)
        if isinstance(node, File):
            return node
        if node.kind is Kind.DIRECTORY:
            raise IsADirectoryError(errno.EISDIR, f"{node.path} is a directory")
        raise OSError(errno.ELOOP, f"{node.path} is a symbolic link")

    def number(self, path: str, kind: Kind) -> int | None:
        """Return the number a path has at present, None where the kernel holds none."""
        return self._numbers[kind].get(path)

    def size(self, number: int) -> int:
        """Return the size last shown."""
        entry = self._entries.get(number)
        return entry.size if entry else 0

    def shown(self, number: int, size: int) -> None:
        """Take note of the size that was shown."""
        entry = self._entries.get(number)
        if entry:
            entry.size = size

    def wrote(self, number: int, end: int) -> None:
        """Take note of a write up to `end`: the kernel takes the file to be so long at least."""
        entry = self._entries.get(number)
        if entry and entry.size < end:
            entry.size = end

    def named(self, number: int) -> bool:
        """Tell whether the number still stands for its path, or was removed while in use."""
        node = self.node(number)
        return self._numbers[node.kind].get(node.path) == number

    def removed(self, path: str) -> None:
        """A path was removed: what comes there next is another file, with another number."""
        for numbers in self._numbers.values():
            numbers.pop(path, None)

    def moved(self, path: str, node: Node) -> int | None:
        """A path was renamed: its number goes on as `node`, for the kernel moves the name too."""
        number = self._numbers[node.kind].get(path)
        self.removed(path)
        self.removed(node.path)
        if number is not None:
            self._numbers[node.kind][node.path] = number
            self._entries[number].node = node
        return number

    def _unname(self, node: Node, number: int) -> None:
        numbers = self._numbers[node.kind]
        if numbers.get(node.path) == number:
            del numbers[node.path]
