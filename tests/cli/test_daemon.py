"""Going on in the background."""

import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tcfs.cli import _daemon

START = """
import logging, os, signal, sys, threading
from pathlib import Path
from tcfs.cli import _daemon
from tcfs.cli._failure import Failure

SESSION = os.getsid(0)

def body(ready):
{body}

def explain(error):
    return error if isinstance(error, Failure) else None

log = Path(sys.argv[1])
logging.basicConfig(filename=log)
try:
    print(_daemon.detach(body, explain, log, patience={patience}))
except Failure as failure:
    sys.exit(f"{{failure}} ({{int(failure.code)}})")
"""


def start(
    tmp_path: Path, body: str, patience: float = 30
) -> tuple["subprocess.CompletedProcess[str]", str]:
    """Run `body` in a daemon; return what starting it gave, and its log once it has ended."""
    log = tmp_path / "log"
    log.touch()
    # The daemon inherits this, and nobody else: its end is the daemon's.
    reading, writing = os.pipe()
    script = START.format(body=f"    {body}", patience=patience)
    done = subprocess.run(
        [sys.executable, "-c", script, log],
        pass_fds=[writing],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    os.close(writing)
    ended, _, _ = select.select([reading], [], [], 30)
    os.close(reading)
    assert ended, "the daemon goes on for ever"
    return done, log.read_text()


def test_command_returns_with_what_daemon_says_when_ready(tmp_path: Path) -> None:
    done, _ = start(tmp_path, "ready('mounted\\nand more'); ready('twice is once')")
    assert (done.stdout, done.stderr, done.returncode) == ("mounted\nand more\n", "", 0)


def test_daemon_has_left_the_terminal_and_the_directory(tmp_path: Path) -> None:
    body = (
        "ready('yes'); print(os.getcwd(), os.getsid(0) not in (os.getpid(), SESSION),"
        " sys.stdin.read() == '', flush=True)"
    )
    _, log = start(tmp_path, body)
    assert log == "/ True True\n"


def test_failure_before_it_is_ready_is_the_command_s(tmp_path: Path) -> None:
    done, log = start(tmp_path, "raise Failure('no store; make one')")
    assert (done.stderr, done.returncode) == ("no store; make one (1)\n", 1)
    assert "no store; make one" in log


def test_failure_after_it_was_ready_is_in_the_log(tmp_path: Path) -> None:
    done, log = start(tmp_path, "ready('yes'); raise Failure('it went away; look')")
    assert (done.stdout, done.returncode) == ("yes\n", 0)
    assert "it went away; look" in log


def test_bug_leaves_its_traceback_in_the_log(tmp_path: Path) -> None:
    done, log = start(tmp_path, "1 / 0")
    assert done.stderr == f"the mount ended with an error of its own; see {tmp_path}/log (1)\n"
    assert "ZeroDivisionError" in log
    assert "Traceback" in log


def test_daemon_that_vanishes_is_noticed(tmp_path: Path) -> None:
    done, _ = start(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    assert done.stderr == f"the mount ended before it was ready; see {tmp_path}/log (1)\n"


def test_daemon_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    done, _ = start(tmp_path, "signal.pause()", patience=0.2)
    assert done.stderr == f"nothing answers after 0 s; see {tmp_path}/log (124)\n"


def test_systemd_is_told(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.bind(address)
        _daemon.notify("READY=1", {"NOTIFY_SOCKET": address})
        assert service.recv(100) == b"READY=1"


def test_systemd_that_does_not_listen_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _daemon.notify("READY=1", {})
    assert not caplog.records
    _daemon.notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert "systemd does not hear us" in caplog.text
