"""What of a mount must survive its crash: what it may have made, and what it holds (protocol.md).

A claim is entered before it is sent and struck out before its caller is told it won. What stays
is given back: by this mount while it lives, by the next one on this host after a crash. What is
held is written down as well, and the next mount of the same agent carries on. Both outlive the
process, not the host: nothing is synced, since a host that lost power tells nobody.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, final

import orjson

from tcfs.project._flock import alone, locked
from tcfs.project._local import write_private
from tcfs.project.errors import Refused
from tcfs.wire.ids import AgentId, is_fresh

HELD: Final = "held"  # the directory of what is held
FORGOTTEN: Final = 30 * 86400  # seconds after which nobody comes back for what was held
PATIENCE: Final = 600  # seconds after the last attempt, for a request that arrives late


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """A write of a claim or a lock, by the nonce it carries; `key` is where."""

    nonce: str
    key: str
    agent: AgentId


@final
@dataclass(frozen=True, slots=True)
class Holding:
    """A claim or a lock that an agent holds through a mount; `bound` to an open file, or not."""

    key: str
    agent: AgentId
    id: str
    seconds: int  # of its lease; 0: it has none
    bound: bool = False


@final
@dataclass(slots=True)
class _Doubt:
    entry: Entry
    since: float
    next: float


@final
class Journal:
    """One mount's entries, each a small file in a directory that this process has locked."""

    def __init__(self, root: Path, mount: str, agent: str = "") -> None:
        """Use `root`, a directory of this store and project alone, for a mount of `agent`."""
        self.mount = mount
        self._agent = agent
        self._root = root
        self._home = root / mount
        self._held = self._home / HELD
        for directory in (*reversed(root.parents), root):
            # `parents=True` would make them as open as the umask says.
            directory.mkdir(mode=0o700, exist_ok=True)
        with alone(root):  # or a mount that starts now takes over what is not locked yet
            self._home.mkdir(mode=0o700, exist_ok=True)
            self._lock = locked(self._home)
        self._doubted: dict[str, _Doubt] = {}
        self._gone = set[str]()  # whose directories may be gone by now

    def enter(self, entry: Entry) -> None:
        """Enter a write before it is sent."""
        text = orjson.dumps({"key": entry.key, "agent": entry.agent})
        temporary = self._home / f".{entry.nonce}"
        write_private(temporary, text)
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

    def has(self, nonce: str | None) -> bool:
        """Tell whether a write is to be undone."""
        return nonce in self._doubted

    def due(self, prefix: str = "") -> list[Entry]:
        """Return the writes below `prefix` that it is time to look for, and undo; ever less often.

        Those that may no longer arrive are struck out.
        """
        now = time.monotonic()
        due = []
        for doubt in list(self._doubted.values()):
            if not doubt.entry.key.startswith(prefix):
                continue
            if now - doubt.since > PATIENCE:
                self.strike(doubt.entry.nonce)
            elif now >= doubt.next:
                doubt.next = now + (now - doubt.since) / 4
                due.append(doubt.entry)
        return due

    def keep(self, holding: Holding) -> None:
        """Write down what is held from now on."""
        self._held.mkdir(mode=0o700, exist_ok=True)
        text = orjson.dumps({"mount_of": self._agent, **asdict(holding)})
        write_private(self._of(holding.id), text)

    def drop(self, id: str) -> None:
        """Strike out what is held no more."""
        self._of(id).unlink(missing_ok=True)

    def _of(self, id: str) -> Path:
        # Who carries on a claim has its id from the bucket: it is whatever somebody wrote there.
        return self._held / sha256(id.encode(errors="replace")).hexdigest()[:32]

    def inherit(self, *, carry_on: bool = False) -> list[Holding]:
        """Take over what mounts of this host left that are no more, to be undone.

        With `carry_on` what the mounts of this agent held is taken over as well, and returned.
        """
        holdings: list[Holding] = []
        with alone(self._root):
            for home in self._root.iterdir():
                if home == self._home or not home.is_dir():
                    continue
                lock = locked(home)
                if lock is None:
                    continue  # that mount lives
                try:
                    self._gone.add(home.name)
                    holdings += self._take_over(home, carry_on)
                finally:
                    os.close(lock)
        return holdings

    def is_gone(self, mount: str) -> bool:
        """Tell whether a mount of this host is surely no more; false: it lives, or who knows.

        Of another host's there is no directory here, nor is there once somebody has taken it over.
        """
        if mount in self._gone:
            return True
        if not is_fresh(mount):  # another's word, which is to be no path
            return False
        with alone(self._root):
            try:
                lock = locked(self._root / mount)
            except OSError:
                return False
            if lock is None:
                return False
            os.close(lock)
        self._gone.add(mount)
        return True

    def _take_over(self, home: Path, carry_on: bool) -> list[Holding]:
        for entry in _entries(home):
            self.enter(entry)
            self.doubt(entry)
            (home / entry.nonce).unlink()
        holdings = []
        for path in _files(home / HELD):
            fields = _fields(path)
            of = fields.pop("mount_of", None)
            if carry_on and of == self._agent:
                with suppress(TypeError):  # of another version of tcfs
                    holdings.append(Holding(**fields))
                    self.keep(holdings[-1])
                path.unlink()
            elif time.time() - path.stat().st_mtime > FORGOTTEN:
                path.unlink()
        if not any(_files(home / HELD)):
            shutil.rmtree(home)
        return holdings

    def close(self) -> None:
        """Let go; what is still entered or held is for the next mount."""
        with alone(self._root):
            if not any(_entries(self._home)) and not any(_files(self._held)):
                shutil.rmtree(self._home)
        if self._lock is not None:
            os.close(self._lock)


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

    def leave(self) -> None:
        """Leave what was entered to be undone, whatever the act comes to: it may yet arrive."""
        self._journal.doubt(*self._entries)
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
    for path in _files(home):
        if fields := _fields(path):
            yield Entry(path.name, fields["key"], fields["agent"])


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return [it for it in directory.iterdir() if it.is_file() and not it.name.startswith(".")]


def _fields(path: Path) -> dict[str, Any]:
    try:
        fields = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        return {}  # a crash left it half written: nothing was sent by then
    return fields if isinstance(fields, dict) else {}
