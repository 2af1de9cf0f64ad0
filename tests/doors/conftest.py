"""The two doors to the tree: a real mount and its shell, and the commands that need none."""

import contextlib
import errno
import io
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, final

import pytest

from tcfs.cli import main
from tcfs.cli._failure import Exit
from tests.mounts import Mount

AGENTS: Final = ("designer", "developer")
_number = itertools.count()


@final
class Denial(Exception):
    """What somebody was told who was refused: what every program says, and what we say."""

    def __init__(self, told: str, explained: str, code: int | None) -> None:
        super().__init__(f"{told} ({explained})")
        self.told = told
        self.explained = explained
        self.code = code  # None: this door tells no errno


class Hand(Protocol):
    """One agent at a door. A refusal is a Denial."""

    def write(self, path: str, data: str | bytes) -> None: ...

    def append(self, path: str, data: str | bytes) -> None: ...

    def exclusive(self, path: str, data: str | bytes) -> None: ...

    def read(self, path: str) -> str: ...

    def ls(self, path: str) -> list[str]: ...

    def rm(self, path: str) -> None: ...

    def rm_tree(self, path: str) -> None: ...

    def mkdir(self, path: str) -> None: ...


@dataclass
class Door:
    """A project with nobody else in it, and two agents."""

    designer: Hand
    developer: Hand


@final
class Shell:
    """An agent with a mount of its own."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount

    def write(self, path: str, data: str | bytes) -> None:
        self._run('cat > "$0"', path, data)

    def append(self, path: str, data: str | bytes) -> None:
        self._run('cat >> "$0"', path, data)

    def exclusive(self, path: str, data: str | bytes) -> None:
        self._run('dd of="$0" conv=excl status=none', path, data)

    def read(self, path: str) -> str:
        return self._run('cat "$0"', path)

    def ls(self, path: str) -> list[str]:
        return self._run('ls "$0"', path).splitlines()

    def rm(self, path: str) -> None:
        self._run('rm "$0"', path)

    def rm_tree(self, path: str) -> None:
        self._run('rm -r "$0"', path)

    def mkdir(self, path: str) -> None:
        self._run('mkdir "$0"', path)

    def _run(self, script: str, path: str, data: str | bytes = b"") -> str:
        before = self._errors()
        done = subprocess.run(
            ["bash", "-c", script, path],
            cwd=self._mount.path,
            input=data.encode() if isinstance(data, str) else data,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            timeout=30,
            check=False,
        )
        if done.returncode != 0:
            told = done.stderr.decode()
            code = next(
                (it for it in errno.errorcode if told.rstrip().endswith(os.strerror(it))), -1
            )
            raise Denial(told, self._errors().removeprefix(before), code)
        return done.stdout.decode()

    def _errors(self) -> str:
        # Of the one who acted: by the path, or by the mount.
        return "".join(
            (self._mount.path / "as" / agent / ".tcfs" / "errors").read_text() for agent in AGENTS
        )


@final
class Command:
    """An agent with nothing but the command line."""

    def __init__(self, store: Path | str, agent: str, *options: str) -> None:
        self._options = ["--store", str(store), "--agent", agent, *options]

    def write(self, path: str, data: str | bytes) -> None:
        self.run("put", path, data=data)

    def append(self, path: str, data: str | bytes) -> None:
        self.run("append", path, data=data)

    def exclusive(self, path: str, data: str | bytes) -> None:
        self.run("put", "--exclusive", path, data=data)

    def read(self, path: str) -> str:
        return self.run("cat", path)

    def ls(self, path: str) -> list[str]:
        return self.run("ls", path).splitlines()

    def rm(self, path: str) -> None:
        self.run("rm", path)

    def rm_tree(self, path: str) -> None:
        self.run("rm", "-r", path)

    def mkdir(self, path: str) -> None:
        self.run("mkdir", path)

    def run(self, command: str, *arguments: str, data: str | bytes = b"") -> str:
        """Run one command line in this process; what it prints is returned."""
        code, out, err = self.outcome(command, *arguments, data=data)
        if code != Exit.DONE:
            assert code == Exit.FAILED, (code, err)
            raise Denial(err, err, None)
        assert err == ""
        return out

    def outcome(
        self, command: str, *arguments: str, data: str | bytes = b""
    ) -> tuple[int, str, str]:
        """Run one command line, and return its exit code and what it printed."""
        given = io.BytesIO(data.encode() if isinstance(data, str) else data)
        out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(err):
            patch.setattr(sys, "stdin", io.TextIOWrapper(given))
            patch.setattr(sys, "stdout", out)
            code = main([command, *arguments, *self._options])
        out.flush()
        return code, out.buffer.getvalue().decode(), err.getvalue()  # type: ignore[attr-defined]  # BytesIO


@pytest.fixture(scope="session")
def doors_home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tcfs-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(path / "state"))
        patch.delenv("TRACECRAFT_AGENT", raising=False)
        yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def mounts(doors_home: Path) -> Iterator[Door]:
    """Yield the door that is a mount, for each of two agents."""
    store = str(doors_home / "mounted")
    with (
        Mount(doors_home, store, "designer") as designer,
        Mount(doors_home, store, "developer") as developer,
    ):
        yield Door(Shell(designer), Shell(developer))


@pytest.fixture(scope="session")
def store(doors_home: Path) -> Path:
    """Return the store of the door that has no mount."""
    return doors_home / "commanded"


@pytest.fixture(scope="session")
def designer(store: Path) -> Command:
    """Return an agent without a mount."""
    made = Command(store, "designer")
    made.write("agents/designer", "Initialized\n")
    return made


@pytest.fixture(scope="session")
def developer(store: Path) -> Command:
    """Return another agent without a mount."""
    made = Command(store, "developer")
    made.write("agents/developer", "Initialized\n")
    return made


@pytest.fixture(params=["mount", "command"])
def door(request: pytest.FixtureRequest) -> Door:
    """Return either door."""
    if request.param == "mount":
        made: Door = request.getfixturevalue("mounts")
        return made
    return Door(request.getfixturevalue("designer"), request.getfixturevalue("developer"))


@pytest.fixture
def x() -> str:
    """Return a name that no other test uses."""
    return f"x{next(_number)}"
