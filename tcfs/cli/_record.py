"""One mount a mount point: a locked file for each says who serves it.

The lock is the process's: it goes when the process does, however it ends, so nothing here is ever
stale.
"""

import fcntl
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

from tcfs.cli._failure import Failure
from tcfs.cli._places import slug
from tcfs.wire import Malformed, json


@final
@dataclass(frozen=True, slots=True)
class Record:
    """Who serves a mount point."""

    mountpoint: str
    pid: int
    store: str
    agent: str
    log: str | None


@final
class Hold:
    """The lock of one mount point, shared by this process and those it forks."""

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def write(self, record: Record) -> None:
        """Say who serves it."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dump(asdict(record)), 0)

    def release(self) -> None:
        """Let the mount point go, for every process that shares the lock."""
        self._path.unlink(missing_ok=True)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def take(mountpoint: Path, state: Path) -> Hold:
    """Take the lock of a mount point; `state` is tcfs's state directory.

    It lasts until `release`, or the end of the last process that shares it.

    Raises:
        Failure: it is served by another process.
    """
    path = _path(mountpoint, state)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise _taken(mountpoint, state) from None
        if _is_still(descriptor, path):
            return Hold(path, descriptor)
        os.close(descriptor)  # whoever held it has just removed it


def look(mountpoint: Path, state: Path) -> Record | None:
    """Return who serves a mount point now; None where nobody of this user does."""
    path = _path(mountpoint, state)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _parse(os.pread(descriptor, 1 << 16, 0))
    finally:
        os.close(descriptor)
    return None


def _path(mountpoint: Path, state: Path) -> Path:
    return state / "mounts" / f"{slug(mountpoint)}.json"


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _parse(data: bytes) -> Record | None:
    try:
        return Record(**json.load_object(data))
    except (Malformed, TypeError):  # not yet written, or by another version
        return None


def _taken(mountpoint: Path, state: Path) -> Failure:
    record = look(mountpoint, state)
    what = "something" if record is None else f"{record.store} as agent {record.agent}"
    return Failure(
        f"{mountpoint} has {what} mounted already;"
        f" run: tcfs umount {mountpoint}, or name another mount point"
    )
