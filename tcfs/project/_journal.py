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
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import orjson

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
        self._home.mkdir(parents=True, mode=0o700, exist_ok=True)
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
        if not any(_entries(self._home)):
            shutil.rmtree(self._home)
        if self._lock is not None:
            os.close(self._lock)


def _locked(home: Path) -> int | None:
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _entries(home: Path) -> Iterator[Entry]:
    for path in home.iterdir():
        if not path.name.startswith("."):
            fields = orjson.loads(path.read_bytes())
            yield Entry(path.name, fields["step"], fields["agent"])
