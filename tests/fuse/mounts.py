"""A real mount of the small tree of `served.py`, and the shells that use it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, final

import tcfs

SERVED: Final = Path(__file__).with_name("served.py")
PATIENCE: Final = 10.0


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, and fail where it does not come about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE} s for {what}"
        time.sleep(0.02)


@final
class Mount:
    """A served mount. `path` is where; `log` is what the server wrote."""

    def __init__(
        self, path: Path, log: Path, *, limit: float = 30, unmount: str = "manual"
    ) -> None:
        self.path = path
        self._log = log
        with suppress(FileExistsError):  # a dead mount point is there, and cannot be looked at
            path.mkdir()
        source = str(Path(tcfs.__file__).parents[1])
        environment = {k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", str(SERVED), str(path), str(limit), unmount],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment | {"PYTHONPATH": source},
            )

    def ready(self) -> "Mount":
        def answers() -> bool:
            assert self.process.poll() is None, self.log
            return "READY\n" in self.log

        until(answers, "the mount")
        return self

    @property
    def log(self) -> str:
        return self._log.read_text()

    def sh(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script in bash, in the mount."""
        inherited = {k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"}
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.path,
            env=inherited | environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def commits(self, name: str) -> list[str]:
        """Return what was committed under a path, one text a commit."""
        lines = (self.path / "commits").read_text().splitlines()
        return [line[len(name) + 1 :] for line in lines if line.startswith(f"{name} ")]

    def read(self, name: str) -> str:
        return (self.path / name).read_text()

    def end(self) -> None:
        subprocess.run(
            ["fusermount3", "-u", "-z", "-q", str(self.path)], check=False, capture_output=True
        )
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def mounted(path: Path) -> str:
    """Return the type of what is mounted on a path, empty for nothing."""
    lines = [line.split(" ") for line in Path("/proc/mounts").read_text().splitlines()]
    return "".join(fields[2] for fields in lines if fields[1] == str(path))
