"""What a power failure may leave of a file system: a model, and a record of calls for it.

A file's content is durable from its fsync on; that a directory has a name, or has it no more, is
from the directory's. Of what was done since, a failure keeps any part, in any directory, in the
order it was done there. (Journalling file systems keep more; POSIX promises no more.)
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final, final

from tests.stores.crashing import place

TORN: Final = b"a file whose content was not made durable"
_DIRECTORY: Final = "directory"
Node = int | str | None  # a file's number, a directory, or nothing
Content = tuple[bytes, ...]  # with its extended attributes


@final
@dataclass(frozen=True, slots=True)
class Change:
    """That a path leads to something else from now on."""

    path: Path
    to: Node


@final
@dataclass
class Disk:
    """What is durable, and what was done since."""

    base: Path
    names: dict[Path, Node] = field(default_factory=dict)
    since: list[Change] = field(default_factory=list)
    contents: dict[int, Content] = field(default_factory=dict)  # as it is seen
    durable: dict[int, Content] = field(default_factory=dict)

    @classmethod
    def of(cls, base: Path) -> "Disk":
        """Return what is there, all of it durable."""
        disk = cls(base)
        for path in base.rglob("*"):
            if path.is_dir():
                disk.names[path] = _DIRECTORY
            else:
                number = path.stat().st_ino
                disk.names[path] = number
                disk.contents[number] = disk.durable[number] = _content(path)
        return disk

    def failures(self) -> Iterator[dict[Path, Node]]:
        """Yield the names that a failure now may leave."""
        by_directory: dict[Path, list[Change]] = {}
        for change in self.since:
            by_directory.setdefault(change.path.parent, []).append(change)
        orders = [range(len(changes) + 1) for changes in by_directory.values()]
        for kept in product(*orders):
            names = dict(self.names)
            for changes, count in zip(by_directory.values(), kept, strict=True):
                names |= {it.path: it.to for it in changes[:count]}
            yield names

    def read(self, names: dict[Path, Node], path: Path) -> bytes | None:
        """Return what is at a path after a failure."""
        above = path.parent
        while above != self.base:
            if names.get(above) != _DIRECTORY:
                return None
            above = above.parent
        node = names.get(path)
        if not isinstance(node, int):
            return None
        whole = self.contents[node]
        return whole[0] if self.durable.get(node) == whole else TORN

    # calls

    def after(self, name: str, arguments: tuple[Any, ...], how: dict[str, Any]) -> None:
        """Take note of a call that was made."""
        match name:
            case "open" if arguments[1] & os.O_CREAT:
                path = place(arguments[0], how.get("dir_fd"))
                number = os.fstat(how["returned"]).st_ino
                if self._now(path) != number:
                    self.contents[number] = (b"",)
                    self.durable.pop(number, None)
                    self._change(path, number)
            case "write" | "sendfile" | "setxattr":
                self._look(arguments[0])
            case "fsync":
                self._sync(arguments[0])
            case "mkdir":
                self._change(place(arguments[0], how.get("dir_fd")), _DIRECTORY)
            case "rmdir" | "unlink":
                self._change(place(arguments[0], how.get("dir_fd")), None)
            case "link" | "rename":
                source = place(arguments[0], how.get("src_dir_fd"))
                self._change(place(arguments[1], how.get("dst_dir_fd")), self._now(source))
                if name == "rename":
                    self._change(source, None)

    def _look(self, fd: int) -> None:
        self.contents[os.fstat(fd).st_ino] = _content(Path(f"/proc/self/fd/{fd}"))

    def _sync(self, fd: int) -> None:
        path = place(fd)
        if not path.is_dir():
            number = os.fstat(fd).st_ino
            self.durable[number] = self.contents[number]
            return
        self.names |= {it.path: it.to for it in self.since if it.path.parent == path}
        self.since = [it for it in self.since if it.path.parent != path]

    def _change(self, path: Path, to: Node) -> None:
        self.since.append(Change(path, to))

    def _now(self, path: Path) -> Node:
        for change in reversed(self.since):
            if change.path == path:
                return change.to
        return self.names.get(path)


def _content(path: Path) -> Content:
    return path.read_bytes(), *(os.getxattr(path, it) for it in sorted(os.listxattr(path)))
