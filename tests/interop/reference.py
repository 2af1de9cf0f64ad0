"""The reference tool from PyPI, pinned, in an environment of its own, run as a user would.

An environment is made once and kept in `<sys.prefix>/reference/<version>`: only the first run of
the tests downloads.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self, final

from tests.mounts import PATIENCE, SOURCE
from tests.servers import Account

VERSIONS: Final = ("0.2.0", "0.2.5")
NEWEST: Final = VERSIONS[-1]
PROGRAMS: Final = Path(__file__).with_name("programs")
_KEPT: Final = Path(sys.prefix) / "reference"
_LOCK: Final = SOURCE / "requirements.lock"


def install(version: str) -> Path:
    """Return the environment of a version, made if it is not there; safe in concurrent runs."""
    environment = _KEPT / version
    requirement = f"tracecraft-ai=={version}"
    wanted = f"{requirement} {sys.version} {hashlib.sha256(_LOCK.read_bytes()).hexdigest()}\n"
    done = environment / "installed"
    _KEPT.mkdir(parents=True, exist_ok=True)
    with (_KEPT / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != wanted:
            done.unlink(missing_ok=True)
            _run(sys.executable, "-m", "venv", "--clear", str(environment))
            # What both need is as fixed for the one as for the other.
            pip = (str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet")
            _run(*pip, "--no-input", "--disable-pip-version-check", "-c", str(_LOCK), requirement)
            done.write_text(wanted)
    return environment


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=inherited(), check=False)
    if done.returncode != 0:
        raise RuntimeError(
            f"the reference tool could not be installed: {' '.join(command)} ended with "
            f"{done.returncode}\n{done.stdout}{done.stderr}"
        )


def inherited() -> dict[str, str]:
    """Return this process's environment without what would change who acts, or how."""
    ours = ("TRACECRAFT_", "PYTHON", "HF_")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)}


@final
@dataclass(frozen=True, slots=True)
class Done:
    """What a call of the command line came to."""

    code: int
    out: str
    err: str


@final
class Reference:
    """`tracecraft` in a home of its own, on a project; `agent` is who it was made for by `init`."""

    def __init__(
        self, version: str, home: Path, account: Account, project: str, agent: str
    ) -> None:
        self.version = version
        self.home = home
        self.agent = agent
        self.project = project
        self.account = account
        self._bin = install(version) / "bin"
        home.mkdir(parents=True, exist_ok=True)
        self.out(
            *("init", "--endpoint", account.endpoint, "--bucket", account.bucket),
            *("--project", project, "--agent", agent),
            *("--access-key", account.access_key, "--secret-key", account.secret_key),
        )

    def run(self, *arguments: str, agent: str | None = None) -> Done:
        """Run the command, as `agent` by `TRACECRAFT_AGENT` if that is given."""
        done = subprocess.run(
            [str(self._bin / "tracecraft"), *arguments],
            cwd=self.home,
            env=self._environment() | ({"TRACECRAFT_AGENT": agent} if agent else {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def out(self, *arguments: str, agent: str | None = None) -> str:
        """Run the command, which must succeed, and return what it printed."""
        done = self.run(*arguments, agent=agent)
        assert done.code == 0, (arguments, done)
        return done.out

    def refusal(self, *arguments: str, agent: str | None = None) -> str:
        """Run the command, which must fail, and return what it said."""
        done = self.run(*arguments, agent=agent)
        assert done.code != 0, (arguments, done)
        return done.err

    def start(self, program: str, *arguments: str) -> "Process":
        """Start one of `programs/` in the reference's environment and home."""
        command = [str(self._bin / "python"), str(PROGRAMS / program), *arguments]
        return Process(command, self.home, self._environment())

    def _environment(self) -> Mapping[str, str]:
        return inherited() | {"HOME": str(self.home)}


@final
class Process:
    """A running program that answers a line of JSON for each it is sent."""

    def __init__(self, command: list[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, request: object) -> None:
        """Send a request; its answer comes in turn."""
        print(json.dumps(request), file=self._pipe(self._process.stdin), flush=True)

    def receive(self) -> Any:
        """Return the next answer."""
        line = self._pipe(self._process.stdout).readline()
        assert line, f"{self._process.args} ended with {self._process.wait(PATIENCE)}"
        return json.loads(line)

    def close(self) -> None:
        """End it: it ends when its input does."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe(self._process.stdin).close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._pipe(self._process.stdout).close()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe
