"""Mounts that start fast and die hard: for hundreds of `kill -9` in one run.

A process that has everything imported forks a mount in the tenth of the time that
`python -m tcfs.cli mount` takes; from there on it is that command.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, final

from tests.mounts import PATIENCE, SOURCE, until


@final
class Forge:
    """A process that forks mounts."""

    def __enter__(self) -> Self:
        """Start it; it imports meanwhile."""
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.crashes.mounts"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=SOURCE,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End it; what it forked lives on."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def fork(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> int:
        """Run `tcfs` with these arguments; return the process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"arguments": arguments, "environment": dict(environment), "log": str(log)}
        with self._turn:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


@final
class Mount:
    """A mount of `store` for `agent`, that may be killed, and started again on the same host."""

    def __init__(
        self,
        forge: Forge,
        home: Path,
        store: str,
        agent: str,
        *options: str,
        environment: Mapping[str, str],
    ) -> None:
        """Name it; `home` is its user's, so all that a crash of it leaves lies there."""
        home.mkdir(exist_ok=True)
        self.agent: Final = agent
        self.path: Final = home / "m"
        self.state: Final = home / "state"
        self._forge = forge
        self._log = home / "log"
        self._arguments = ["mount", store, str(self.path), "--agent", agent, "--foreground"]
        self._arguments += options
        inherited = {k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"}
        self._environment = {
            **inherited,
            "HOME": str(home),
            "XDG_STATE_HOME": str(self.state),
            "XDG_CACHE_HOME": str(home.parent / "cache"),
            **environment,
        }
        self._pid = 0
        self._end = -1

    def start(self) -> None:
        """Mount, and return once the mount answers. What a dead one left is in its way or not."""
        with self._log.open("ab") as output:
            begin = output.tell()
        self._pid = self._forge.fork(self._arguments, self._environment, self._log)
        self._end = os.pidfd_open(self._pid)

        def answers() -> bool:
            said = self._log.read_bytes()[begin:]
            assert not self._gone(0), said
            return b"mounted " in said

        until(answers, "the mount")

    @property
    def log(self) -> str:
        """What the mount said."""
        return self._log.read_text()

    def kill(self) -> None:
        """Let it die at once, wherever it is."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._end, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until it is gone."""
        assert self._gone(PATIENCE), f"process {self._pid} does not end"
        os.close(self._end)
        self._end = -1

    def close(self) -> None:
        """End it if it is there; leave nothing mounted."""
        if self._end >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._end, signal.SIGTERM)
            if not self._gone(PATIENCE):
                self.kill()
            self.wait()
        if f" {self.path} fuse" in Path("/proc/self/mounts").read_text():
            command = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-uz"]
            subprocess.run([*command, str(self.path)], check=False, stderr=subprocess.DEVNULL)

    def popen(self, script: str, **environment: str) -> subprocess.Popen[str]:
        """Start a script in bash, in the mount; its output is read by `communicate`."""
        inherited = {k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"}
        return subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.path,
            env=inherited | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
        )

    def out(self, script: str, **environment: str) -> str:
        """Run a script that must succeed, and return what it printed."""
        with self.popen(script, **environment) as shell:
            printed, _ = shell.communicate(timeout=2 * PATIENCE)
        assert shell.returncode == 0, (self.agent, script, printed, self.log[-4000:])
        return printed

    def look(self, script: str, **environment: str) -> str:
        """Return what a script printed, on one line, whatever failed in it."""
        with self.popen(f"exec 2> /dev/null; {script}", **environment) as shell:
            printed, _ = shell.communicate(timeout=2 * PATIENCE)
        return " ".join(printed.split())

    def entered(self) -> dict[str, str]:
        """Return what its journal has not struck out: the keys by their nonces."""
        return {nonce: it["key"] for nonce, it in self._journal("*/*/*")}

    def bound(self) -> list[str]:
        """Return the keys of what it holds for as long as a file is open."""
        return [it["key"] for _, it in self._journal("*/*/held/*") if it["bound"]]

    def _journal(self, pattern: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in (self.state / "tcfs" / "journal").glob(pattern):
            # Struck out meanwhile; a directory; half written.
            with suppress(FileNotFoundError, IsADirectoryError, json.JSONDecodeError):
                if not path.name.startswith("."):
                    yield path.name, json.loads(path.read_bytes())

    def _gone(self, seconds: float) -> bool:
        if self._end < 0:
            return True
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def _forge() -> None:
    import boto3  # noqa: F401  # what a mount comes to need, it has
    import obstore  # noqa: F401

    import tcfs.cli._serve
    import tcfs.cli.mount  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what it forks
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
        print(pid, flush=True)


def _become(order: dict[str, Any]) -> None:
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND)
        for fd, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
            os.dup2(file, fd)
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.argv = ["tcfs", *order["arguments"]]
        from tcfs.cli import main

        code = main() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _forge()
