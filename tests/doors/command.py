"""The door that needs no mount: `tcfs ls`, `cat`, `put`, …, run in this process."""

import contextlib
import io
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import final

import pytest

from tcfs.cli import main
from tcfs.cli._failure import Exit
from tests.doors.hands import Denial, Seen
from tests.mounts import SOURCE


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

    def read_bytes(self, path: str) -> bytes:
        return self._printed("cat", path)

    def ls(self, path: str) -> list[str]:
        return self.run("ls", path).splitlines()

    def stat(self, path: str) -> Seen:
        shown = json.loads(self.run("stat", "--json", path))
        modified = datetime.fromisoformat(shown["modified"]).timestamp() if shown["modified"] else 0
        return Seen(shown["kind"], shown["size"], modified, shown["writable"], shown["target"])

    def rm(self, path: str) -> None:
        self.run("rm", path)

    def rm_tree(self, path: str) -> None:
        self.run("rm", "-r", path)

    def mkdir(self, path: str) -> None:
        self.run("mkdir", path)

    def mkdir_parents(self, path: str) -> None:
        self.run("mkdir", "-p", path)

    def run(self, command: str, *arguments: str, data: str | bytes = b"") -> str:
        """Run one command line in this process; what it prints is returned."""
        return self._printed(command, *arguments, data=data).decode()

    def outcome(
        self, command: str, *arguments: str, data: str | bytes = b""
    ) -> tuple[int, str, str]:
        """Run one command line, and return its exit code and what it printed."""
        code, out, err = self._outcome(command, *arguments, data=data)
        return code, out.decode(), err

    def _printed(self, command: str, *arguments: str, data: str | bytes = b"") -> bytes:
        code, out, err = self._outcome(command, *arguments, data=data)
        if code != Exit.DONE:
            assert code == Exit.FAILED, (code, err)
            raise Denial(err, err, None)
        assert err == ""
        return out

    def _outcome(self, command: str, *arguments: str, data: str | bytes) -> tuple[int, bytes, str]:
        given = io.BytesIO(data.encode() if isinstance(data, str) else data)
        printed, err = io.BytesIO(), io.StringIO()
        out = io.TextIOWrapper(printed)
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(err):
            patch.setattr(sys, "stdin", io.TextIOWrapper(given))
            patch.setattr(sys, "stdout", out)
            code = main([command, *arguments, *self._options])
        out.flush()
        return code, printed.getvalue(), err.getvalue()


def process(store: Path, *arguments: str, **more: object) -> "subprocess.Popen[str]":
    """Start a command in a process of its own, whose pipes are the test's."""
    command = [sys.executable, "-m", "tcfs.cli", *arguments, "--store", str(store)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(command, env=environment, text=True, **(pipes | more))  # type: ignore[call-overload, no-any-return]  # by name
