"""Every command but `tcfs mount` works where pyfuse3, or its library, is not installed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tcfs.cli import _main
from tcfs.cli._failure import Exit

Tcfs = Callable[..., "subprocess.CompletedProcess[str]"]

SCRIPT = """
import sys
sys.modules["pyfuse3"] = None  # whoever imports it is told ImportError
from tcfs.cli import main
sys.exit(main(sys.argv[1:]))
"""
LINES = {
    "umount": ("umount", "nowhere"),
    "init": ("init", "--backend", "file", "--bucket", "store", "--project", "p"),
    "status": ("status", "store"),
    "ls": ("ls", "--store", "store"),
    "cat": ("cat", "steps/x/status", "--store", "store"),
    "put": ("put", "memory/k", "--store", "store"),
    "append": ("append", "memory/k", "--store", "store"),
    "rm": ("rm", "-r", "steps/y", "--store", "store"),
    "mkdir": ("mkdir", "-p", "memory/a", "--store", "store"),
    "stat": ("stat", "memory", "--store", "store"),
    "wait": ("wait", "x", "--timeout", "0", "--store", "store"),
    "complete": ("complete", "x", "--store", "store"),
    "reopen": ("reopen", "x", "--store", "store"),
    "history": ("history", "none", "--store", "store"),
    "doctor": ("doctor", "store"),
    "mirror": ("mirror", "--all", "--store", "store"),
    "session": ("session", "list", "--store", "store"),
}
REFUSED = {
    "umount": Exit.FAILED,
    "wait": Exit.TIMED_OUT,
    "history": Exit.FAILED,
    "mirror": Exit.FAILED,  # there are no transcripts
}


@pytest.fixture
def bare(work: Path, home: Path) -> Tcfs:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            cwd=work,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_all_commands_are_tried() -> None:
    assert {*LINES, "mount", "demo"} == {*_main.COMMANDS}


@pytest.mark.parametrize("command", [it for it in LINES if it != "doctor"])
def test_command_works_where_nothing_can_be_mounted(bare: Tcfs, command: str) -> None:
    """Every command but `tcfs mount` works where nothing can be mounted."""
    done = bare(*LINES[command])
    assert done.returncode == REFUSED.get(command, Exit.DONE), done.stderr
    assert "pyfuse3" not in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_says_what_is_missing(bare: Tcfs) -> None:
    done = bare("doctor", "store")
    (line,) = (it for it in done.stdout.splitlines() if it.startswith("NOT pyfuse3"))
    assert "pip install pyfuse3" in line
    assert "ok  store" in done.stdout, "and goes on"
    assert (done.returncode, done.stderr) == (Exit.FAILED, "")


def test_mount_says_what_is_missing(bare: Tcfs, work: Path) -> None:
    done = bare("mount", "store", str(work / "place"))
    assert (done.returncode, done.stdout) == (Exit.FAILED, "")
    assert "mounting needs pyfuse3 and libfuse3; install them" in done.stderr
    assert done.stderr.startswith("tcfs: ")
    assert done.stderr.count("\n") == 1
