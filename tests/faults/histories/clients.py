"""Everybody who acts on a project in these runs, each by one small set of acts.

`put`, `append`, `cat`, `rm`, `mkdir` and `rmdir` of a path in the tree: by a shell on a mount, the
command line, the library, the reference's command line and library, or requests of one's own.
"""

import errno
import json
import os
import queue
import re
import select
import shlex
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol, Self, final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from tcfs.cli._failure import Exit
from tests.servers import Account

PROGRAMS: Final = Path(__file__).with_name("programs")
STUCK: Final = 150.0  # seconds: nothing may take longer, by far

# What a client is told that says nothing of what became of it: ours, and a mount that died.
_UNKNOWN: Final = {errno.EIO, errno.ENOTCONN, errno.ECONNABORTED, errno.EINTR}
_NAMED: Final = {
    os.strerror(it): it
    for it in (
        *(errno.EEXIST, errno.EIO, errno.EPERM, errno.ENOENT, errno.ETIMEDOUT, errno.EACCES),
        *(errno.ENOTCONN, errno.ECONNABORTED, errno.ENODATA, errno.EISDIR, errno.EAGAIN),
        *(errno.EINVAL, errno.ESTALE, errno.ECANCELED, errno.EINTR, errno.ENOTDIR),
        errno.EOPNOTSUPP,
    )
}


@final
@dataclass(frozen=True, slots=True)
class Told:
    """What a client was told: 0 or an errno, and the text it read or the error's."""

    code: int
    text: str = ""

    @property
    def done(self) -> bool:
        return self.code == 0

    @property
    def unknown(self) -> bool:
        return self.code in _UNKNOWN


class Client(Protocol):
    """Somebody who acts as one agent, one act after another."""

    agent: str
    kind: str

    def do(self, act: str, path: str, data: str = "") -> Told: ...


# a shell on a mount

_LOOP: Final = (
    'while IFS= read -r line; do out=$(eval "$line" 2>&1); printf "%d %s\\0" $? "$out"; done'
)
_LINES: Final = {
    "put": "echo {data} > {path}",
    "append": "echo {data} >> {path}",
    # A program that looks at what close says: bash does not.
    "send": "/bin/echo {data} >> {path}",
    "cat": "cat {path}",
    "rm": "rm {path}",
    "mkdir": "mkdir {path}",
    "rmdir": "rmdir {path}",
}


@final
class Shell:
    """One bash that lives as long as the run, outside the mount, on the tree of its agent."""

    kind = "shell"

    def __init__(self, tree: Path, agent: str) -> None:
        self.agent = agent
        self._tree = tree / "as" / agent
        self._bash = subprocess.Popen(
            ["bash", "--norc", "-c", _LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env={k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"} | {"LC_ALL": "C"},
            start_new_session=True,
        )

    def do(self, act: str, path: str, data: str = "") -> Told:
        where = shlex.quote(str(self._tree / path))
        line = _LINES[act].format(path=where, data=shlex.quote(data.removesuffix("\n")))
        assert self._bash.stdin is not None
        self._bash.stdin.write(line.encode() + b"\n")
        self._bash.stdin.flush()
        code, _, text = self._answer().partition(" ")
        if code == "0":
            return Told(0, f"{text}\n" if text else "")
        return Told(_errno(text), text)

    def _answer(self) -> str:
        assert self._bash.stdout is not None
        answer, end = b"", time.monotonic() + STUCK
        while not answer.endswith(b"\0"):
            ready, _, _ = select.select([self._bash.stdout], [], [], end - time.monotonic())
            assert ready, f"{self.agent} waits for {STUCK} s in its shell"
            part = os.read(self._bash.stdout.fileno(), 1 << 16)
            assert part, f"the shell of {self.agent} ended"
            answer += part
        return answer[:-1].decode()

    def close(self) -> None:
        self._bash.kill()
        self._bash.wait()
        for pipe in (self._bash.stdin, self._bash.stdout):
            if pipe is not None:
                pipe.close()


def _errno(text: str) -> int:
    # The last, since what was read comes first.
    found = re.findall("|".join(map(re.escape, _NAMED)), text)
    assert found, f"a shell says neither that it is done nor what is wrong: {text!r}"
    return _NAMED[found[-1]]


# programs that serve many agents at once


@final
class Program:
    """One of `programs/`, running; many threads ask it at once."""

    def __init__(self, command: list[str], *, environment: Mapping[str, str], home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        answering = home / "answering"
        answering.touch()
        with (home / "errors.log").open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=home,
                env={**environment, "ANSWERING": str(answering)},
                text=True,
                bufsize=1,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        assert first == '"ready"\n', (home / "errors.log").read_text()[-2000:]
        self._waiting: dict[str, queue.SimpleQueue[Told]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, **request: Any) -> Told:
        """Ask, and wait for the answer."""
        name = uuid.uuid4().hex
        told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        assert self._process.stdin is not None
        with self._lock:
            self._waiting[name] = told
            print(json.dumps({"id": name, **request}), file=self._process.stdin, flush=True)
        return told.get(timeout=STUCK)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._lock:
                waiting = self._waiting.pop(answer["id"])
            waiting.put(Told(answer["code"], answer["text"]))
        with self._lock:  # it ended: nobody is to wait for the rest
            left, self._waiting = list(self._waiting.values()), {}
        for waiting in left:
            waiting.put(Told(errno.ECONNABORTED, "the program ended"))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@final
@dataclass
class Library:
    """An agent of `by_library.py`."""

    program: Program
    agent: str
    kind: str = "library"

    def do(self, act: str, path: str, data: str = "") -> Told:
        act = "append" if act == "send" else act
        return self.program.ask(agent=self.agent, act=act, path=path, data=data)


@final
@dataclass
class Command:
    """An agent that has `tcfs put`, `append`, `cat`, `rm`, `mkdir`."""

    program: Program
    agent: str
    options: tuple[str, ...]
    kind: str = "command"

    def do(self, act: str, path: str, data: str = "") -> Told:
        verb = {"send": ["append"], "rmdir": ["rm", "-r"]}.get(act, [act])
        command = [*verb, path, *self.options]
        told = self.program.ask(agent=self.agent, command=command, data=data)
        assert "Traceback" not in told.text, told.text
        return told if told.done else Told(_meaning(told), told.text)


# What a command says, for those of its refusals that come about here.
_SAID: Final = {
    "is held by": errno.EEXIST,
    "finished by": errno.EEXIST,
    "while it was being claimed": errno.EEXIST,
    "did not say whether": errno.EIO,
    "it is unknown whether": errno.EIO,
    "is given back in a moment": errno.EIO,
    "the program ended": errno.ECONNABORTED,
    "has no value": errno.ENOENT,
}


_LATER: Final = ("try again", "read it back", "check the network", "asks for fewer requests")


def _meaning(told: Told) -> int:
    for text, code in _SAID.items():
        if text in told.text:
            return code
    # What a command does not know and what it could not do in time is one to whoever reads it.
    assert told.code == Exit.TIMED_OUT or any(it in told.text for it in _LATER), told
    return errno.EIO


@final
@dataclass
class ReferenceCommand:
    """An agent that has the reference's command line."""

    program: Program
    agent: str
    kind: str = "reference command"

    def do(self, act: str, path: str, data: str = "") -> Told:
        first, _, name = path.partition("/")
        text = data.removesuffix("\n")
        match act, first:
            case "put", "steps":
                command = ["claim", name.removesuffix("/claim")]
            case "put", "memory":
                command = ["memory", "set", name, text]
            case "cat", "memory":
                command = ["memory", "get", name]
            case "cat", "messages":
                command = ["inbox", "--new"]
            case "send", "messages":
                command = ["send", name.removesuffix("/inbox"), text]
            case _:
                raise ValueError(f"the reference does not {act} {path}")
        told = self.program.ask(agent=self.agent, command=command, data="")
        if told.done:
            return told
        return Told(errno.EEXIST if "already claimed" in told.text else errno.EIO, told.text)


@final
@dataclass
class ReferenceLibrary:
    """An agent of the reference's library, which claims."""

    program: Program
    agent: str
    kind: str = "reference library"

    def do(self, act: str, path: str, data: str = "") -> Told:
        assert act == "put"
        return self.program.ask(agent=self.agent, path=path)


# requests of one's own


@final
class Direct:
    """Who knows of the protocol what it takes to claim: a conditional put that reads back."""

    kind = "direct"

    def __init__(self, account: Account, project: str, agent: str, patience: float) -> None:
        self.agent = agent
        self._patience = patience
        self._store = S3Store(
            account.bucket,
            prefix=project,
            endpoint=account.endpoint,
            region=account.region,
            access_key_id=account.access_key,
            secret_access_key=account.secret_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": timedelta(seconds=patience / 3)},
            retry_config={"max_retries": 0},
        )

    def do(self, act: str, path: str, data: str = "") -> Told:
        """Claim a step: create its claim if it is absent, and find out whose it then is."""
        assert act == "put"
        nonce, sent = uuid.uuid4().hex, False
        body = json.dumps({"agent": self.agent, "claimed_at": None, "nonce": nonce}).encode()
        end = time.monotonic() + self._patience
        while time.monotonic() < end:
            try:
                obstore.put(self._store, f"{path}.json", body, mode="create")
            except AlreadyExistsError:
                pass  # by somebody, which may be this very request, whose answer was lost
            except BaseError:
                sent = True
            else:
                return Told(0)
            if (found := self._holder(f"{path}.json")) is not None:
                return Told(0) if found == nonce else Told(errno.EEXIST, found)
        return Told(errno.EIO if sent else errno.ETIMEDOUT)

    def _holder(self, key: str) -> str | None:
        try:
            document = json.loads(obstore.get(self._store, key).bytes().to_bytes())
        except (FileNotFoundError, BaseError, ValueError):
            return None  # there is none, or no whole answer
        return str(document.get("nonce") or document.get("agent"))


@final
class Crew:
    """What was started for a run, and is ended with it."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for end in reversed(self._ends):
            end()

    def shell(self, tree: Path, agent: str) -> Shell:
        made = Shell(tree, agent)
        self._ends.append(made.close)
        return made

    def program(
        self, python: str | Path, name: str, *arguments: str, home: Path, **environment: str
    ) -> Program:
        """Start one of `programs/`."""
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("TRACECRAFT_", "AWS_"))
        }
        made = Program(
            [str(python), str(PROGRAMS / name), *arguments],
            environment={**inherited, "HOME": str(home), **environment},
            home=home,
        )
        self._ends.append(made.close)
        return made

    def tcfs(self, name: str, *arguments: str, home: Path, **environment: str) -> Program:
        """Start one of `programs/` in this environment."""
        source = str(PROGRAMS.parents[2])
        return self.program(
            sys.executable, name, *arguments, home=home, PYTHONPATH=source, **environment
        )
