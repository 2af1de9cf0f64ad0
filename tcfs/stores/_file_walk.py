"""Listings of a directory tree in the order of keys, which is not that of a recursion.

S3 orders whole keys by their bytes: `a-b`, `a.json`, `a/x`, `ab`. So a directory takes its place
among its siblings as its name with the slash.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import Final, final

from tcfs.stores import _file_etag
from tcfs.stores._base import Entry
from tcfs.stores._file_disk import Disk, open_regular
from tcfs.stores._file_keys import MAX_KEY, PRIVATE, decoded


@final
class Walk:
    """Lists the objects below a root. Blocks; raises OSError."""

    def __init__(self, disk: Disk) -> None:
        self._disk: Final = disk
        self._hashes: Final = _file_etag.Hashes()

    def entries(self, prefix: bytes, after: bytes | None) -> Iterator[Entry]:
        """Yield the objects whose keys begin with `prefix` and come after `after`."""
        for directory, key in self._keys(b"", prefix, after):
            entry = self._entry(directory, key)
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
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            self._disk.directory(key.rpartition(b"/")[0]) as directory,
        ):
            return self._entry(directory, key)
        return None

    def _entry(self, directory: int, key: bytes) -> Entry | None:
        text = decoded(key)
        if text is None:
            return None
        try:
            fd, found = open_regular(directory, key.rpartition(b"/")[2])
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

    def _keys(
        self, directory: bytes, prefix: bytes, after: bytes | None
    ) -> Iterator[tuple[int, bytes]]:
        """Yield keys, each with the descriptor of its directory, which is open until the next."""
        # Straight down to where the prefix branches.
        if not directory and b"/" in prefix:
            directory = prefix[: prefix.rindex(b"/") + 1]
        keys = (directory + name for name in self._names(directory))
        for below, group in groupby(
            (key for key in keys if key.startswith(prefix)), lambda key: key.endswith(b"/")
        ):
            if below:
                for key in group:
                    if after is None or key > after or after.startswith(key):
                        yield from self._keys(key, prefix, after)
                continue
            with (
                suppress(FileNotFoundError, NotADirectoryError),  # gone meanwhile
                self._disk.directory(directory.rstrip(b"/")) as open_directory,
            ):
                for key in group:
                    if after is None or key > after:
                        yield open_directory, key

    def _names(self, directory: bytes) -> list[bytes]:
        """Return what is in a directory, in the order of keys; directories end in a slash."""
        try:
            with (
                self._disk.directory(directory.rstrip(b"/")) as open_directory,
                os.scandir(open_directory) as found,
            ):
                names = filter(None, map(_name, found))
                # Deeper, or longer, there is no key, however deep the directories are.
                return sorted(it for it in names if len(directory) + len(it) <= MAX_KEY)
        except (FileNotFoundError, NotADirectoryError):
            return []


def _name(entry: "os.DirEntry[str]") -> bytes | None:
    try:
        name = os.fsencode(entry.name)
        if entry.is_dir(follow_symlinks=False):
            return None if name == PRIVATE else name + b"/"
        # Whatever else may lie there (links, sockets) is no object.
        return name if entry.is_file(follow_symlinks=False) else None
    except FileNotFoundError:
        return None
