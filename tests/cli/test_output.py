"""Where a command prints to, and reads from, may be closed, full, or not ready: cli.md."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tcfs.cli._failure import Exit
from tests.mounts import until

Run = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-m", "tcfs.cli"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def environ(work: Path) -> dict[str, str]:
    ours = {name: it for name, it in os.environ.items() if not name.startswith("XDG_")}
    return ours | {"HOME": str(work), "TRACECRAFT_AGENT": "designer"}


@pytest.fixture(scope="module")
def run(work: Path, environ: dict[str, str]) -> Run:
    """Return what runs one command line on a store that has a value and its versions."""

    def call(*arguments: str, how: str = "", **more: Any) -> "subprocess.CompletedProcess[str]":
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        return subprocess.run(
            ["sh", "-c", f'exec "$0" "$@" {how}', *COMMAND, *arguments],
            cwd=work,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            **(given | more),
        )

    for value in ("one\n", "two\n"):
        done = call("put", "memory/k", "--store", "store", stdin=None, input=value)
        assert (done.returncode, done.stderr) == (Exit.DONE, "")
    return call


@pytest.fixture
def nobody() -> Iterator[int]:
    """Yield a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


PRINTING = [
    ("ls", "memory", "--store", "store"),
    ("ls", "-l", "--json", "memory", "--store", "store"),
    ("stat", "memory/k", "--store", "store"),
    ("cat", "memory/k", "status", "--store", "store"),
    ("history", "k", "--store", "store"),
    ("history", "k", "--json", "--store", "store"),
    ("status", "store"),
    ("status", "--json", "store"),
    ("complete", "design", "--store", "store"),
    ("--help",),
    ("ls", "--help"),
    ("init", "--backend", "file", "--bucket", "store"),
]


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_reader_that_has_gone_is_no_error(run: Run, nobody: int, arguments: tuple[str]) -> None:
    """That nobody reads on what a command prints is no failure: `tcfs ls steps | head -1`."""
    done = run(*arguments, stdout=nobody)
    assert (done.returncode, done.stderr) == (Exit.DONE, "")


def test_what_came_of_it_is_told_by_the_code_whoever_reads(run: Run, nobody: int) -> None:
    done = run("wait", "x", "--timeout", "0", "--json", "--store", "store", stdout=nobody)
    assert done.returncode == Exit.TIMED_OUT
    assert done.stderr.endswith("; wait longer with --timeout\n")
    known = run("doctor", "store").returncode
    assert run("doctor", "store", stdout=nobody).returncode == known
    assert run("doctor", "store", "--json", stdout=nobody).returncode == known


@pytest.mark.parametrize("arguments", PRINTING[:-3], ids=" ".join)
def test_output_that_cannot_be_written_is_a_failure(run: Run, arguments: tuple[str]) -> None:
    done = run(*arguments, how="> /dev/full")
    assert done.returncode == Exit.FAILED
    assert done.stderr == (
        "tcfs: the output cannot be written: No space left on device; redirect it elsewhere\n"
    )


@pytest.mark.parametrize("arguments", PRINTING[:8], ids=" ".join)
def test_no_output_is_a_failure_of_what_prints(run: Run, arguments: tuple[str]) -> None:
    done = run(*arguments, how=">&-")
    assert done.returncode == Exit.FAILED
    assert done.stderr == ("tcfs: there is no standard output to print to; redirect it: > FILE\n")


def test_no_output_is_no_matter_for_what_acts(run: Run) -> None:
    done = run("complete", "design", "--store", "store", how=">&-")
    assert (done.returncode, done.stderr) == (Exit.DONE, "")
    assert run("cat", "steps/design/status", "--store", "store").stdout == "complete\n"


def test_nowhere_for_errors_leaves_the_code(run: Run, nobody: int) -> None:
    for how in ("2>&-", "2> /dev/full"):
        done = run("cat", "memory/none", "--store", "store", how=how)
        assert (done.returncode, done.stdout) == (Exit.FAILED, "")
    done = run("wait", "x", "--timeout", "0", "--store", "store", how="2>&-")
    assert (done.returncode, done.stdout) == (Exit.TIMED_OUT, "")


@pytest.mark.parametrize("command", ["put", "append"])
def test_no_input_is_a_failure_and_stores_nothing(run: Run, command: str) -> None:
    done = run(command, "memory/k", "--store", "store", how="<&-")
    assert done.returncode == Exit.FAILED
    assert done.stderr.startswith("tcfs: there is no standard input to read; name a FILE")
    assert run("cat", "memory/k", "--store", "store").stdout == "two\n"


def test_input_that_has_nothing_yet_is_waited_for(
    run: Run, work: Path, environ: dict[str, str]
) -> None:
    """Whoever has the other end of a pipe, or the terminal, may have made it non-blocking."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    command = [*COMMAND, "put", "memory/late", "--store", "store"]
    with subprocess.Popen(
        command, cwd=work, env=environ, stdin=reading, stderr=subprocess.PIPE
    ) as put:
        os.close(reading)
        until(lambda: put.poll() is not None or _waits_for_input(put.pid), "it to read")
        os.write(writing, b"late\n")
        os.close(writing)
        assert put.stderr is not None
        assert (put.wait(30), put.stderr.read()) == (Exit.DONE, b"")
    assert run("cat", "memory/late", "--store", "store").stdout == "late\n"


def _waits_for_input(pid: int) -> bool:
    """Tell whether a process has asked epoll for its stdin."""
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(OSError):  # closed meanwhile
            if any(line.split()[:2] == ["tfd:", "0"] for line in info.read_text().splitlines()):
                return True
    return False
