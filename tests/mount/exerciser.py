"""Random operations on a file system and on a local directory, which must then hold the same.

By hand: `python tests/mount/exerciser.py DIRECTORY --operations 200000 --seed 7`, with a directory
of a mount; `make exercise` makes the mounts too. What it does is decided by the seed alone.
"""

import argparse
import mmap
import os
import random
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

NAMES: Final = ("a", "b", "with space", "grüße", ".hidden", "d/x", "d/e/y")
LARGEST: Final = 3 << 20  # bytes a file grows to
SAID: Final = 40  # operations that are told of when one differs


@final
class Exerciser:
    """Does the same to both, and compares what both say."""

    def __init__(self, tested: Path, model: Path, seed: int) -> None:
        self._roots = (tested, model)
        self._random = random.Random(seed)
        self._open: list[tuple[str, tuple[int, int]]] = []
        self._said: deque[str] = deque(maxlen=SAID)
        self.done = 0
        for root in self._roots:
            (root / "d" / "e").mkdir(parents=True)
        self._acts: list[Callable[[], None]] = [
            *[self._write] * 6,
            *[self._read] * 6,
            *[self._open_file] * 3,
            *[self._close_file] * 3,
            *[self._add] * 2,
            self._truncate_open,
            self._truncate_path,
            self._replace,
            self._rename,
            self._remove,
            self._sync,
            self._map,
            self._stat,
            self._list,
        ]

    def run(self, operations: int) -> None:
        """Do that many operations, then compare everything."""
        for _ in range(operations):
            self.act()
        self.end()

    def act(self) -> None:
        """Do one operation."""
        self._random.choice(self._acts)()
        self.done += 1

    def end(self) -> None:
        """Close what is open, and compare everything."""
        while self._open:
            self._close(0)
        for name in NAMES:
            self._same(lambda root, name=name: _content(root / name), f"content of {name}")

    # what is done

    def _open_file(self) -> None:
        if len(self._open) >= 6:
            return
        name = self._random.choice(NAMES)
        flags = os.O_RDWR | os.O_CREAT | self._random.choice((0, 0, 0, os.O_TRUNC, os.O_APPEND))
        fds = tuple(os.open(root / name, flags, 0o644) for root in self._roots)
        self._open.append((name, (fds[0], fds[1])))
        self._said.append(f"{self.done} open {name} {flags:o} as {fds[0]}")

    def _close_file(self) -> None:
        if self._open:
            self._close(self._random.randrange(len(self._open)))

    def _close(self, index: int) -> None:
        name, fds = self._open.pop(index)
        self._said.append(f"{self.done} close {name} as {fds[0]}")
        for fd in fds:
            os.close(fd)

    def _write(self) -> None:
        if not self._open:
            return
        name, fds = self._random.choice(self._open)
        size = self._random.choice((1, 100, 4096, 70_000, 300_000))
        offset = self._random.randrange(LARGEST - size)
        if self._random.random() < 0.7:
            offset %= 100_000
        data = self._random.randbytes(size)
        self._same_fd(fds, lambda fd: os.pwrite(fd, data, offset), f"write {name} {offset}+{size}")

    def _read(self) -> None:
        if not self._open:
            return
        name, fds = self._random.choice(self._open)
        offset, size = self._random.randrange(200_000), self._random.choice((1, 4096, 200_000))
        self._same_fd(fds, lambda fd: os.pread(fd, size, offset), f"read {name} {offset}+{size}")

    def _add(self) -> None:
        name, data = self._random.choice(NAMES), self._random.randbytes(500)

        def add(root: Path) -> None:
            with (root / name).open("ab") as file:
                file.write(data)

        self._same(add, f"append to {name}")

    def _truncate_open(self) -> None:
        if not self._open:
            return
        name, fds = self._random.choice(self._open)
        size = self._random.randrange(200_000)
        self._same_fd(fds, lambda fd: os.ftruncate(fd, size), f"ftruncate {name} to {size}")

    def _truncate_path(self) -> None:
        name, size = self._random.choice(NAMES), self._random.choice((0, 10, 50_000))
        self._same(lambda root: _tried(lambda: os.truncate(root / name, size)), f"truncate {name}")

    def _replace(self) -> None:
        name, data = self._random.choice(NAMES), self._random.randbytes(20_000)
        self._same(lambda root: (root / name).write_bytes(data), f"replace {name}")

    def _rename(self) -> None:
        name, new = self._random.sample(NAMES, 2)
        self._same(
            lambda root: _tried(lambda: (root / name).rename(root / new).name), f"mv {name} {new}"
        )

    def _remove(self) -> None:
        name = self._random.choice(NAMES)
        self._same(lambda root: _tried(lambda: (root / name).unlink()), f"rm {name}")

    def _sync(self) -> None:
        if self._open:
            name, fds = self._random.choice(self._open)
            self._same_fd(fds, os.fsync, f"fsync {name}")

    def _map(self) -> None:
        if not self._open:
            return
        name, fds = self._random.choice(self._open)
        at, data = self._random.randrange(50_000), self._random.randbytes(1000)
        self._same_fd(fds, lambda fd: _mapped(fd, at, data), f"mmap {name} at {at}")

    def _stat(self) -> None:
        name = self._random.choice(NAMES)
        self._same(lambda root: _tried(lambda: (root / name).stat().st_size), f"stat {name}")

    def _list(self) -> None:
        below = self._random.choice(("", "d", "d/e"))
        self._same(lambda root: sorted(it.name for it in (root / below).iterdir()), f"ls {below}")

    # comparing

    def _same(self, act: Callable[[Path], object], what: str) -> None:
        self._compare([act(root) for root in self._roots], what)

    def _same_fd(self, fds: tuple[int, int], act: Callable[[int], object], what: str) -> None:
        self._compare([act(fd) for fd in fds], f"{what} as {fds[0]}")

    def _compare(self, found: list[object], what: str) -> None:
        shown = [it if not isinstance(it, bytes) else f"{len(it)} bytes" for it in found]
        self._said.append(f"{self.done} {what}: {shown[0]}")
        if found[0] != found[1]:
            before = "\n".join(self._said)
            raise AssertionError(f"{before}\noperation {self.done}, {what}: not {shown[1]}")


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _tried(act: Callable[[], object]) -> object:
    try:
        return act()
    except OSError as error:
        return error.errno


def _mapped(fd: int, at: int, data: bytes) -> bytes:
    size = os.fstat(fd).st_size
    if size < at + len(data):
        return b""
    with mmap.mmap(fd, size) as memory:
        before = memory[at : at + len(data)]
        memory[at : at + len(data)] = data
        memory.flush()
        return before


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    print(f"seed {given.seed}")
    with tempfile.TemporaryDirectory() as model:
        tested = Path(tempfile.mkdtemp(prefix="exerciser-", dir=given.directory))
        exerciser = Exerciser(tested, Path(model), given.seed)
        exerciser.run(given.operations)
    print(f"{exerciser.done} operations, all the same")


if __name__ == "__main__":
    sys.exit(main())
