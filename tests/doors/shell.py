"""The door that is a mount: bash and coreutils below it, and files held open by this process."""

import ctypes
import errno
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar, final

from tests.doors.hands import AGENTS, Bucket, Denial, Seen
from tests.mounts import Mount

T = TypeVar("T")

AT_FDCWD: Final = -100
RENAME_NOREPLACE: Final = 1
# What the child closes stores nothing; bash has no time to close anything.
KILLED: Final = 'exec 7{} "$0"; cat >&7; kill -KILL $$'
KINDS: Final = {"directory": "directory", "symbolic link": "link"}


@final
class Shell:
    """An agent with a mount of its own."""

    def __init__(self, mount: Mount) -> None:
        self.path = mount.path

    def write(self, path: str, data: str | bytes) -> None:
        self.sh('cat > "$0"', path, data=data)

    def append(self, path: str, data: str | bytes) -> None:
        self.sh('cat >> "$0"', path, data=data)

    def exclusive(self, path: str, data: str | bytes) -> None:
        self.sh('dd of="$0" conv=excl status=none', path, data=data)

    def read(self, path: str) -> str:
        return self.sh('cat "$0"', path)

    def read_bytes(self, path: str) -> bytes:
        return self._run('cat "$0"', path)

    def ls(self, path: str) -> list[str]:
        return self.sh('ls -UA "$0"', path).splitlines()

    def stat(self, path: str) -> Seen:
        script = 'stat -c "%F|%s|%.Y|%A" "$0" && if [ -L "$0" ]; then readlink "$0"; fi'
        shown, *target = self.sh(script, path).splitlines()
        kind, size, modified, mode = shown.split("|")
        return Seen(
            KINDS.get(kind, "file"),
            int(size),
            float(modified),
            "w" in mode,
            target[0] if target else None,
        )

    def rm(self, path: str) -> None:
        self.sh('rm "$0"', path)

    def rm_tree(self, path: str) -> None:
        self.sh('rm -r "$0"', path)

    def mkdir(self, path: str) -> None:
        self.sh('mkdir "$0"', path)

    def mkdir_parents(self, path: str) -> None:
        self.sh('mkdir -p "$0"', path)

    # what no command does

    def rmdir(self, path: str) -> None:
        self.sh('rmdir "$0"', path)

    def touch(self, path: str) -> None:
        self.sh('touch "$0"', path)

    def symlink(self, path: str, target: str) -> None:
        self.sh('ln -s "$1" "$0"', path, target)

    def truncate(self, path: str, size: int) -> None:
        self._told(path, partial(os.truncate, self.path / path, size))

    def rename(self, path: str, to: str) -> None:
        """Rename as rename(2) does: `mv` would copy where that is refused."""
        self._told(path, partial(os.rename, self.path / path, self.path / to))

    def rename_to_new(self, path: str, to: str) -> None:
        """Rename only where nothing is: `mv -n` does not tell a refusal from success."""
        self._told(path, lambda: _rename_to_new(self.path / path, self.path / to))

    def killed(self, path: str, data: str, *, how: str = ">") -> None:
        """Write, and be killed before letting go."""
        done = self._start(KILLED.format(how), path, data=data.encode())
        assert (done.returncode, done.stderr) == (-9, b"")

    @contextmanager
    def opened(self, path: str, flags: int) -> Iterator["Opened"]:
        """Hold a file open, and let go of it at the end."""
        told: Callable[[Callable[[], int]], int] = partial(self._told, path)
        file = Opened(told(lambda: os.open(self.path / path, flags)), partial(self._told, path))
        try:
            yield file
        finally:
            file.close()

    def sh(self, script: str, path: str, *more: str, data: str | bytes = b"") -> str:
        """Run a script with paths as its arguments; what it prints is returned."""
        return self._run(script, path, *more, data=data).decode()

    def _run(self, script: str, path: str, *more: str, data: str | bytes = b"") -> bytes:
        before = self._errors(path)
        done = self._start(
            script, path, *more, data=data.encode() if isinstance(data, str) else data
        )
        if done.returncode != 0:
            told = done.stderr.decode(errors="backslashreplace")
            code = next(
                (it for it in errno.errorcode if told.rstrip().endswith(os.strerror(it))), -1
            )
            raise Denial(told, self._since(path, before), code)
        return done.stdout

    def _start(
        self, script: str, *arguments: str, data: bytes
    ) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["bash", "-c", script, *arguments],
            cwd=self.path,
            input=data,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            timeout=30,
            check=False,
        )

    def _told(self, path: str, act: Callable[[], T]) -> T:
        before = self._errors(path)
        try:
            return act()
        except OSError as error:
            raise Denial(str(error), self._since(path, before), error.errno) from None

    def _since(self, path: str, before: "Counter[str]") -> str:
        return "".join(self._errors(path) - before)

    def _errors(self, path: str) -> "Counter[str]":
        # Of the one who acted: by the path, or by the mount.
        parts = Path(path).parts
        agents = [parts[1]] if parts[:1] == ("as",) and len(parts) > 2 else AGENTS
        lines: Counter[str] = Counter()
        for agent in agents:
            shown = self.path / "as" / agent / ".tcfs" / "errors"
            lines.update(shown.read_text().splitlines(keepends=True))
        return lines


@final
class Opened:
    """A file that this process holds open."""

    def __init__(self, fd: int, told: Callable[[Callable[[], object]], object]) -> None:
        self._fd: int | None = fd
        self._told = told

    @property
    def fd(self) -> int:
        assert self._fd is not None
        return self._fd

    def read(self, size: int, offset: int = 0) -> bytes:
        found = self._told(lambda: os.pread(self.fd, size, offset))
        assert isinstance(found, bytes)
        return found

    def write(self, data: bytes, offset: int | None = None) -> Self:
        """Write all of `data` in one call: where the file is, or at `offset`."""
        done = self._told(
            lambda: os.write(self.fd, data) if offset is None else os.pwrite(self.fd, data, offset)
        )
        assert done == len(data)
        return self

    def truncate(self, size: int) -> None:
        self._told(lambda: os.ftruncate(self.fd, size))

    def sync(self) -> None:
        self._told(lambda: os.fsync(self.fd))

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def close(self) -> None:
        """Let go of it, if that has not been done."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._told(lambda: os.close(fd))


def _rename_to_new(path: Path, to: Path) -> None:
    # Python has no name for renameat2(2).
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(path), AT_FDCWD, os.fsencode(to), RENAME_NOREPLACE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@dataclass
class Mounts:
    """The door that is a mount, with all that can be done there."""

    designer: Shell
    developer: Shell
    bucket: Bucket
