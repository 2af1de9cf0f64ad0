"""The command line as a user runs it, with a home of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Tcfs = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory that somebody works in."""
    work = tmp_path / "work"
    work.mkdir()
    return work


@pytest.fixture
def tcfs(home: Path, work: Path) -> Tcfs:
    def run(*arguments: str | Path, **environ: str) -> "subprocess.CompletedProcess[str]":
        ours = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "TCFS_", "TRACECRAFT_", "XDG_"))
        }
        return subprocess.run(
            [sys.executable, "-m", "tcfs.cli", *map(str, arguments)],
            cwd=work,
            env=ours | {"HOME": str(home)} | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
