"""What this mount may have made in the bucket without having told anybody (protocol.md).

A claim is entered before it is sent and struck out before its caller is told it won. What stays
is given back: by this mount while it lives, by the next one on this host after a crash. An entry
outlives the process, not the host: it is not synced, since a host that lost power tells nobody.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, final

import orjson

from tcfs.project.errors import Refused
from tcfs.wire.ids import AgentId, StepId

PATIENCE: Final = 600  # seconds after the last attempt, for a request that arrives late


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """A write of a claim, by the nonce it carries."""

    nonce: str
    step: StepId
    agent: AgentId


@final
@dataclass(slots=True)
class _Doubt:
    entry: Entry
    since: float
    next: float


@final
class Journal:
    """One mount's entries, each a small file in a directory that this process has locked."""

    def __init__(self, root: Path, mount: str) -> None:
        """Use `root`, a directory of this store and project alone, for the mount `mount`."""
        self._root = root
        self._home = root / mount
        for directory in (*reversed(root.parents), root):
            # `parents=True` would make them as open as the umask says.
            directory.mkdir(mode=0o700, exist_ok=True)
        with _alone(root):  # or a mount that starts now takes over what is not locked yet
            self._home.mkdir(mode=0o700, exist_ok=True)
            self._lock = _locked(self._home)
        self._doubted: dict[str, _Doubt] = {}

    def enter(self, entry: Entry) -> None:
        """Enter a write before it is sent."""
        text = orjson.dumps({"step": entry.step, "agent": entry.agent})
        temporary = self._home / f".{entry.nonce}"
        temporary.write_bytes(text)
        temporary.rename(self._home / entry.nonce)

    def strike(self, *nonces: str) -> None:
        """Strike out writes whose outcome is known."""
        for nonce in nonces:
            self._doubted.pop(nonce, None)
            (self._home / nonce).unlink(missing_ok=True)

    def doubt(self, *entries: Entry) -> None:
        """Leave writes entered: nobody will be told they won, so they are to be undone."""
        now = time.monotonic()
        self._doubted.update((entry.nonce, _Doubt(entry, now, now)) for entry in entries)

    def due(self) -> list[Entry]:
        """Return the writes that it is time to look for, and undo; ever less often.

        Those that may no longer arrive are struck out.
        """
        now = time.monotonic()
        due = []
        for doubt in list(self._doubted.values()):
            if now - doubt.since > PATIENCE:
                self.strike(doubt.entry.nonce)
            elif now >= doubt.next:
                doubt.next = now + (now - doubt.since) / 4
                due.append(doubt.entry)
        return due

    def inherit(self) -> None:
        """Take over what mounts of this host left that are no more."""
        with _alone(self._root):
            for home in self._root.iterdir():
                if home == self._home or not home.is_dir():
                    continue
                lock = _locked(home)
                if lock is None:
                    continue  # that mount lives
                for entry in _entries(home):
                    self.enter(entry)
                    self.doubt(entry)
                shutil.rmtree(home)
                os.close(lock)

    def close(self) -> None:
        """Let go; what is still entered is for the next mount to undo."""
        with _alone(self._root):
            if not any(_entries(self._home)):
                shutil.rmtree(self._home)
        if self._lock is not None:
            os.close(self._lock)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Be the only mount of this host that makes, takes over or removes a directory in `root`."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked(home: Path) -> int | None:
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@final
class Untold:
    """The writes of one act that nobody has been told of yet.

    At the end of the block they are struck out, if it succeeds or ends in a refusal (nothing of
    them is there then, or it holds nothing). Whatever else ends it leaves them to be undone:
    an error, and being cancelled as well, since a write may be there by then.
    """

    __slots__ = ("_entries", "_journal")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._entries: list[Entry] = []

    def enter(self, entry: Entry) -> None:
        """Enter a write before it is sent."""
        self._journal.enter(entry)
        self._entries.append(entry)

    def strike(self) -> None:
        """Strike out what was entered: surely nothing of it was written."""
        self._journal.strike(*(entry.nonce for entry in self._entries))
        self._entries.clear()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Strike out, or leave to be undone."""
        if error is None or isinstance(error, Refused):
            self.strike()
        else:
            self._journal.doubt(*self._entries)


def _entries(home: Path) -> Iterator[Entry]:
    for path in home.iterdir():
        if not path.name.startswith("."):
            fields = orjson.loads(path.read_bytes())
            yield Entry(path.name, fields["step"], fields["agent"])
