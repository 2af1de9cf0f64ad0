"""Going on in the background: the command returns once what it started is ready.

To be called before anything starts threads (trio's, obstore's): a fork leaves them behind.
"""

import contextlib
import json
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tcfs.cli._failure import Exit, Failure

PATIENCE: Final = 60.0  # seconds for a mount to answer: a probe of a far store takes its time

Ready = Callable[[str], None]
"""To be called once, with what the command prints."""

log = logging.getLogger(__name__)


def detach(
    body: Callable[[Ready], None],
    explain: Callable[[BaseException], Failure | None],
    log_file: Path,
    patience: float = PATIENCE,
) -> str:
    """Run `body` in a daemon, and return the text that it says it is ready with.

    `explain` gives the text of an error, None for a bug. What the daemon prints goes to
    `log_file`, which must be writable.

    Raises:
        Failure: the body failed before it was ready, or was not ready after `patience` seconds.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _as_daemon(body, explain, log_file, writing)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        messages = _messages(pipe.fileno(), patience, log_file)
        pid = next(messages)["pid"]
        try:
            message = next(messages)
        except BaseException:  # Ctrl-C among them: what was started must not stay
            _end(pid)
            raise
    if "failed" in message:
        raise Failure(message["failed"], Exit(message["code"]))
    return str(message["ready"])


def notify(state: str, environ: Mapping[str, str]) -> None:
    """Tell systemd, where it started us, what it wants to know (sd_notify(3))."""
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as service:
            service.sendto(state.encode(), address)
    except OSError as error:
        log.warning("systemd does not hear us at %s: %s", environ["NOTIFY_SOCKET"], error)


def _messages(pipe: int, patience: float, log_file: Path) -> Iterator[dict[str, Any]]:
    give_up = time.monotonic() + patience
    said = b""
    while True:
        left = max(0.0, give_up - time.monotonic())
        if not select.select([pipe], [], [], left)[0]:
            raise Failure(f"nothing answers after {patience:.0f} s; see {log_file}", Exit.TIMED_OUT)
        data = os.read(pipe, 1 << 16)
        if not data:
            raise Failure(f"the mount ended before it was ready; see {log_file}")
        *lines, said = (said + data).split(b"\n")
        yield from map(json.loads, lines)


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def _as_daemon(
    body: Callable[[Ready], None],
    explain: Callable[[BaseException], Failure | None],
    log_file: Path,
    writing: int,
) -> None:
    """Become a daemon, run `body`, and end; never returns."""
    code = 1
    try:
        os.setsid()
        # The second fork: what leads no session never gets a terminal.
        if os.fork() == 0:
            os.chdir("/")
            _redirect(log_file)
            _tell(writing, pid=os.getpid())
            code = _run(body, explain, log_file, writing)
            logging.shutdown()
        else:
            code = 0
    finally:
        os._exit(code)


def _run(
    body: Callable[[Ready], None],
    explain: Callable[[BaseException], Failure | None],
    log_file: Path,
    writing: int,
) -> int:
    told = False

    def ready(text: str) -> None:
        nonlocal told
        if not told:
            told = True
            _tell(writing, ready=text)
            os.close(writing)

    try:
        body(ready)
    except BaseException as error:
        failure = explain(error)
        log.critical("%s", failure or "a bug", exc_info=error if failure is None else None)
        if failure is None:
            failure = Failure(f"the mount ended with an error of its own; see {log_file}")
        if not told:
            _tell(writing, failed=str(failure), code=int(failure.code))
        return failure.code
    return 0


def _redirect(log_file: Path) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    output = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(output)


def _tell(writing: int, **message: Any) -> None:
    os.write(writing, json.dumps(message).encode() + b"\n")
