"""Real mounts, made by the real command, and the shells that use them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Self, final

from tests.servers import Account

PATIENCE: Final = 30.0  # seconds for what must come about at all
SOURCE: Final = Path(__file__).resolve().parents[1]


def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait for a condition, and fail where it does not come about."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"waited {patience} s for {what}"
        time.sleep(0.02)


def credentials(account: Account) -> dict[str, str]:
    """Return the environment that makes an account known, to us and to the reference."""
    return {
        "AWS_ACCESS_KEY_ID": account.access_key,
        "AWS_SECRET_ACCESS_KEY": account.secret_key,
        "AWS_DEFAULT_REGION": account.region,
    }


@final
class Mount:
    """A mount of `store` for `agent`, made by `tcfs mount`. Ends with `close`, whatever happened.

    `options` and `environment` are for a store on a server; `program` is what to run as `tcfs`.
    """

    def __init__(
        self,
        home: Path,
        store: str,
        agent: str,
        *options: str,
        environment: Mapping[str, str] | None = None,
        program: str = "tcfs.cli",
    ) -> None:
        self.path = home / f"mnt-{agent}"
        self._log = home / f"mount-{agent}.log"
        self._command = [
            *(sys.executable, "-m", program, "mount", store, str(self.path)),
            *("--agent", agent, "--foreground", *options),
        ]
        inherited = {k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"}
        self._environment = {
            **inherited,
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "PYTHONPATH": str(SOURCE),
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes]
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Mount, and return once the mount answers."""
        with self._log.open("ab") as output:
            begin = output.tell()
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=self._log.parent,
                start_new_session=True,
            )

        def answers() -> bool:
            assert self.process.poll() is None, self.log
            return b"mounted " in self._log.read_bytes()[begin:]

        until(answers, "the mount")

    @property
    def log(self) -> str:
        """What the mount said."""
        return self._log.read_text()

    def sh(
        self, script: str, *, timeout: float = 60, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script in bash, in the mount."""
        inherited = {k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"}
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.path,
            env=inherited | environment,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=timeout,
            check=False,
        )

    def out(self, script: str, **environment: str) -> str:
        """Run a script that must succeed, and return what it printed."""
        done = self.sh(script, **environment)
        assert done.returncode == 0, (script, done.stdout, done.stderr, self.log)
        return done.stdout

    def popen(self, script: str) -> subprocess.Popen[str]:
        """Start a script in bash, in the mount; its output is read by `communicate`."""
        inherited = {k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"}
        return subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.path,
            env=inherited,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )

    def errors(self) -> str:
        """Return `.tcfs/errors`."""
        return (self.path / ".tcfs" / "errors").read_text()

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the mount, and wait for it to be gone."""
        self.process.send_signal(how)
        self.process.wait(PATIENCE)
        if how is signal.SIGKILL:
            self._unmount()

    def close(self) -> None:
        """End the mount if it is there; leave nothing mounted."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._unmount()

    def _unmount(self) -> None:
        mounted = Path("/proc/self/mounts").read_text()
        if f" {self.path} fuse" in mounted:
            command = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-uz"]
            # `auto_unmount` may be quicker.
            subprocess.run([*command, str(self.path)], check=False, stderr=subprocess.DEVNULL)


def is_reading(pid: int, name: str) -> bool:
    """Tell whether a thread of a process is in a read of a file called `name`."""
    try:
        tasks = [it.name for it in Path(f"/proc/{pid}/task").iterdir()]
        return any(_reads(pid, task, name) for task in tasks)
    except (OSError, ValueError):
        return False  # it is gone, or between two system calls


def _reads(pid: int, task: str, name: str) -> bool:
    # `syscall` is "<number> <arguments in hex>"; on x86-64, read is 0 and pread64 is 17.
    fields = Path(f"/proc/{pid}/task/{task}/syscall").read_text().split()
    if fields[0] not in ("0", "17"):
        return False
    return Path(f"/proc/{pid}/fd/{int(fields[1], 16)}").readlink().name == name


def children(pid: int) -> list[int]:
    """Return the children of a process; none when it is gone."""
    try:
        return [int(it) for it in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def family(pid: int) -> list[int]:
    """Return a process and its children: bash becomes what it runs, or starts it."""
    return [pid, *children(pid)]
