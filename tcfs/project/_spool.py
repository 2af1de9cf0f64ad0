"""Mail that could not be delivered yet, on this host's disk, where it outlives the process.

Each mount has a directory of its own, which it has locked: one that nobody has locked was left by
a mount that is no more, and the next one locks it, and sends what is in it from where it is. Unlike
the journal's entries these are synced, since whoever sent the mail was told that it will arrive.
"""

import heapq
import itertools
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

import orjson

from tcfs.project._flock import alone, locked
from tcfs.project._local import write_private
from tcfs.project._outgoing import Outgoing, outgoing_key
from tcfs.wire import Malformed
from tcfs.wire.ids import AgentId, Mailbox
from tcfs.wire.mail import Message

SUFFIX: Final = ".json"
FIRST_LINE: Final = 80  # characters of a message that are shown while it waits
NEW: Final = ".new"  # not yet synced

log: Final = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class Kept:
    """A message on the disk, but for its text.

    `number` is its place among those this mount sends. `key` is under which it may lie in the
    bucket already, None before the first attempt. `refused` is why the store does not take it.
    """

    path: Path
    number: int
    box: Mailbox
    sender: AgentId
    id: str
    sent_at: str
    first_line: str
    key: str | None = None
    refused: str | None = None

    def key_at(self, stamp: int) -> str:
        """Return the key for an attempt that is begun at `stamp`."""
        return outgoing_key(self.box, self.sender, self.id, stamp)


@final
class Spool:
    """One mount's waiting mail, a file a message, numbered in the order it was accepted.

    Every call may take as long as the disk does, and raises OSError. `add`, `change` and `remove`
    may come from several threads at once.
    """

    def __init__(self, root: Path, mount: str) -> None:
        """Use `root`, a directory of this store and project alone, for the mount `mount`."""
        self._root = root
        self._home = root / mount
        self._locks: dict[Path, int] = {}  # by directory: its own, and those it took over
        self._opening = threading.Lock()
        self._numbers = itertools.count(1)

    @property
    def unused(self) -> bool:
        """Tell whether no mail ever waited on this host."""
        return not self._root.exists()

    def add(self, message: Outgoing, key: str | None) -> Kept:
        """Keep a message; once this returns it survives a crash of the host."""
        self._open()
        number = next(self._numbers)
        kept = _kept(self._home / f"{number:012d}{SUFFIX}", number, message, key)
        _write(kept, message.body)
        return kept

    def change(self, kept: Kept, *, key: str | None, refused: str | None = None) -> Kept:
        """Keep where a message may lie by now, or why it was refused."""
        changed = replace(kept, key=key, refused=refused)
        _write(changed, self.body(kept))
        return changed

    def body(self, kept: Kept) -> bytes:
        """Return a message's document."""
        return _load(kept.path)[1]

    def remove(self, kept: Kept) -> None:
        """Let go of a message."""
        kept.path.unlink(missing_ok=True)

    def inherit(self) -> Sequence[Kept]:
        """Take over what mounts of this host left that are no more, in the order it was accepted.

        What was refused is as good as new: the reason may be gone.
        """
        found: list[list[Kept]] = []
        with alone(self._root):
            for home in [it for it in self._root.iterdir() if it.is_dir()]:
                lock = None if home in self._locks else locked(home)
                if lock is None:
                    continue  # that mount lives
                self._locks[home] = lock
                found.append(list(_readable(home)))
                self._leave_if_empty(home)
        # Not sorted: a clock may have been set back while one of them wrote.
        together = heapq.merge(*found, key=lambda it: it.sent_at)
        return [replace(it, number=next(self._numbers), refused=None) for it in together]

    def close(self) -> None:
        """Let go; what is still kept is for the next mount to send."""
        if not self._locks:
            return
        with alone(self._root):
            for home in list(self._locks):
                self._leave_if_empty(home)
        for lock in self._locks.values():
            os.close(lock)
        self._locks.clear()

    def _open(self) -> None:
        with self._opening:
            if self._home in self._locks:
                return
            for directory in (*reversed(self._root.parents), self._root):
                directory.mkdir(mode=0o700, exist_ok=True)
            with alone(self._root):  # or a mount that starts now takes over what is not locked yet
                self._home.mkdir(mode=0o700, exist_ok=True)
                lock = locked(self._home)
                assert lock is not None, f"{self._home} is another mount's"
                self._locks[self._home] = lock
            _sync(self._root)

    def _leave_if_empty(self, home: Path) -> None:
        with suppress(OSError):  # what cannot be read stays, for somebody to look at
            home.rmdir()
            os.close(self._locks.pop(home))


def _write(kept: Kept, body: bytes) -> None:
    temporary = kept.path.with_suffix(NEW)
    fields = {"box": kept.box, "key": kept.key, "refused": kept.refused}
    try:
        write_private(temporary, orjson.dumps({**fields, "message": body.decode()}))
        _sync(temporary)
        temporary.rename(kept.path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync(kept.path.parent)


def _readable(home: Path) -> Iterator[Kept]:
    for path in sorted(home.iterdir()):
        if path.suffix == NEW:
            path.unlink()  # nobody was told that it is kept
            continue
        try:
            yield _load(path)[0]
        except (OSError, ValueError, KeyError, Malformed) as error:
            log.warning("%s is no message: %s", path, error)


def _load(path: Path) -> tuple[Kept, bytes]:
    fields = orjson.loads(path.read_bytes())
    body = fields["message"].encode()
    message = Message.parse(body)
    outgoing = Outgoing(Mailbox(fields["box"]), AgentId(message.sender), message.id or "", body)
    kept = _kept(path, int(path.stem), outgoing, fields["key"])
    return replace(kept, refused=fields["refused"]), body


def _kept(path: Path, number: int, outgoing: Outgoing, key: str | None) -> Kept:
    message = Message.parse(outgoing.body)
    return Kept(
        path=path,
        number=number,
        box=outgoing.box,
        sender=outgoing.sender,
        id=outgoing.id,
        sent_at=message.sent_at or "",
        first_line=message.text.partition("\n")[0][:FIRST_LINE],
        key=key,
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
