"""Listings of a directory tree in the order of keys, which is not that of a recursion.

S3 orders whole keys by their bytes: `a-b`, `a.json`, `a/x`, `ab`. So a directory takes its place
among its siblings as its name with the slash.
"""

import os
from collections.abc import Iterator
from typing import Final, final

from tcfs.stores import _file_etag
from tcfs.stores._base import Entry
from tcfs.stores._file_disk import Disk
from tcfs.stores._file_keys import PRIVATE, decoded


@final
class Walk:
    """Lists the objects below a root. Blocks; raises OSError."""

    def __init__(self, disk: Disk) -> None:
        self._disk: Final = disk
        self._hashes: Final = _file_etag.Hashes()

    def entries(self, prefix: bytes, after: bytes | None) -> Iterator[Entry]:
        """Yield the objects whose keys begin with `prefix` and come after `after`."""
        for key in self._keys(b"", prefix, after):
            entry = self.entry(key)
            if entry is not None:
                yield entry

    def any_under(self, prefix: bytes) -> bool:
        """Tell whether a key begins with `prefix`."""
        return next(self._keys(b"", prefix, None), None) is not None

    def level(self, directory: bytes) -> tuple[list[str], list[Entry]]:
        """Return the names of directories with objects in them, and the objects, in `directory`.

        `directory` ends in a slash, or is empty.
        """
        names: list[str] = []
        entries: list[Entry] = []
        for name in self._names(directory):
            if name.endswith(b"/"):
                text = decoded(name[:-1])
                # One that is empty is about to be pruned, or about to be filled: not there.
                if text is not None and self.any_under(directory + name):
                    names.append(text)
            elif entry := self.entry(directory + name):
                entries.append(entry)
        return names, entries

    def entry(self, key: bytes) -> Entry | None:
        """Return what a listing shows of an object; None if it is gone or no object."""
        text = decoded(key)
        if text is None:
            return None
        try:
            fd, found = self._disk.open_object(key)
        except FileNotFoundError:
            return None
        try:
            etag = self._hashes.find(found)
            if etag is None:
                settled = self._hashes.settled(found)
                etag = _file_etag.of_open(fd, found)
                if settled:
                    self._hashes.keep(found, etag)
        finally:
            os.close(fd)
        return Entry(text, etag, found.st_size, found.st_mtime_ns)

    def _keys(self, directory: bytes, prefix: bytes, after: bytes | None) -> Iterator[bytes]:
        # Straight down to where the prefix branches.
        if not directory and b"/" in prefix:
            directory = prefix[: prefix.rindex(b"/") + 1]
        for name in self._names(directory):
            key = directory + name
            if not key.startswith(prefix):
                continue
            if not name.endswith(b"/"):
                if after is None or key > after:
                    yield key
            elif after is None or key > after or after.startswith(key):
                yield from self._keys(key, prefix, after)

    def _names(self, directory: bytes) -> list[bytes]:
        """Return what is in a directory, in the order of keys; directories end in a slash."""
        try:
            with os.scandir(self._disk.path(directory.rstrip(b"/")) or b"/") as found:
                return sorted(filter(None, map(_name, found)))
        except (FileNotFoundError, NotADirectoryError):
            return []


def _name(entry: "os.DirEntry[bytes]") -> bytes | None:
    try:
        if entry.is_dir(follow_symlinks=False):
            return None if entry.name == PRIVATE else entry.name + b"/"
        # Whatever else may lie there (links, sockets) is no object.
        return entry.name if entry.is_file(follow_symlinks=False) else None
    except FileNotFoundError:
        return None
