# Paths are bytes here, since keys are UTF-8 in any locale; pathlib has none of those.
# ruff: noqa: PTH103, PTH106, PTH108, PTH116
"""Steps on the disk that hold whatever happens between them: crashes, and other processes.

All functions block, and raise OSError.
"""

import errno
import fcntl
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, final

from tcfs.stores._errors import Unavailable
from tcfs.stores._file_keys import PRIVATE

_STRIPES: Final = 64  # locks; keys share them by their hash
_STALE: Final = 60.0  # seconds after which a temporary that nobody holds is a leftover
_POLL: Final = (0.0002, 0.01)  # seconds between looks at a lock: the first, the longest


@final
class Disk:
    """The directory of a store, and the private directory in it."""

    def __init__(self, root: bytes) -> None:
        self.root: Final = root
        self._private: Final = root + b"/" + PRIVATE

    def path(self, key: bytes) -> bytes:
        """Return where an encoded key lies."""
        return self.root + b"/" + key

    def open_object(self, key: bytes) -> tuple[int, os.stat_result]:
        """Open an object for reading.

        Raises:
            FileNotFoundError: there is none, or something else has its name.
        """
        try:
            # A FIFO that somebody put there must not block us.
            fd = os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except NotADirectoryError:
            raise FileNotFoundError(errno.ENOENT, "part of the key is an object") from None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "no regular file")
        return fd, found

    @contextmanager
    def temporary(self) -> Iterator[tuple[int, bytes]]:
        """Give a new file's descriptor and path; the path is gone at the end.

        The file is locked while in use, so that `sweep` knows a leftover.
        """
        path = self._private + b"/new-" + os.urandom(16).hex().encode()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(self._private, exist_ok=True)
            fd = os.open(path, flags, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd, path
        finally:
            with suppress(FileNotFoundError):  # it was renamed
                os.unlink(path)
            os.close(fd)

    @contextmanager
    def lock(self, key: bytes, seconds: float) -> Iterator[None]:
        """Keep all other processes and threads from replacing or deleting an object.

        Raises:
            Unavailable: somebody else kept it locked for that long.
        """
        path = self._private + b"/lock-%02x" % (zlib.crc32(key) % _STRIPES)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(self._private, exist_ok=True)
            fd = os.open(path, flags, 0o666)
        try:
            _take(fd, seconds)
            yield
        finally:
            os.close(fd)  # lets go of the lock, too

    def link(self, temporary: bytes, key: bytes) -> None:
        """Give a file a key that has none yet.

        Raises:
            FileExistsError: the key has an object; link(2) is the arbiter.
        """
        self._place(temporary, key, os.link)

    def rename(self, temporary: bytes, key: bytes) -> None:
        """Give a file a key, in place of whatever object has it."""
        self._place(temporary, key, os.rename)

    def remove(self, key: bytes) -> None:
        """Delete an object, and the directories that it leaves empty."""
        os.unlink(self.path(key))
        parent = self.path(key).rpartition(b"/")[0]
        while parent != self.root:
            try:
                os.rmdir(parent)
            except OSError:
                break  # something else is in it, or has just been put or pruned
            parent = parent.rpartition(b"/")[0]

    def sync_above(self, key: bytes) -> None:
        """Make the directories above a key durable, each as it is now.

        All of them: one that was there already may have been made a moment ago by a process that
        has not come to its own fsync. A clean one costs microseconds.
        """
        parent = self.path(key)
        while parent != self.root:
            parent = parent.rpartition(b"/")[0]
            # Gone: somebody deleted the object and pruned; that removal is what is made durable
            # with the directory above.
            with suppress(FileNotFoundError, NotADirectoryError):
                _sync_directory(parent)

    def sweep(self) -> None:
        """Remove temporaries that a crash left behind."""
        with suppress(FileNotFoundError), os.scandir(self._private) as found:
            for entry in found:
                if entry.name.startswith(b"new-"):
                    _sweep_one(entry.path)

    def _place(self, temporary: bytes, key: bytes, move: Callable[[bytes, bytes], None]) -> None:
        path = self.path(key)
        while True:
            try:
                move(temporary, path)
            except FileNotFoundError:
                # No parent yet, or it was pruned since: as often as that happens.
                _still_there(temporary)
                self._make_parents(key)
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                if not _is_directory(path):
                    raise
                # Directories without an object are not there: a crash, or another create, left it.
                self._prune_empty(path)
            else:
                return

    def _make_parents(self, key: bytes) -> None:
        parent = self.path(key).rpartition(b"/")[0]
        try:
            os.makedirs(parent, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, "part of the key is an object") from None
        except FileNotFoundError:
            return  # pruned while we made it; the caller tries again

    def _prune_empty(self, path: bytes) -> None:
        with suppress(FileNotFoundError):
            for directory, _, _ in os.walk(path, topdown=False):
                os.rmdir(directory)  # raises ENOTEMPTY where there is an object


def _take(fd: int, seconds: float) -> None:
    # Not a blocking flock: a process stopped while it holds one would hold our threads for good.
    until = time.monotonic() + seconds
    pause, longest = _POLL
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() + pause > until:
                raise Unavailable("another process keeps this key locked; try again") from None
            time.sleep(pause)
            pause = min(2 * pause, longest)
        else:
            return


def _sync_directory(path: bytes) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sweep_one(path: bytes) -> None:
    with suppress(FileNotFoundError, PermissionError):  # swept by another; another user's
        if time.time() - os.stat(path).st_mtime < _STALE:
            return  # it may not have been locked yet
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        except BlockingIOError:
            return  # in use
        finally:
            os.close(fd)


def _still_there(temporary: bytes) -> None:
    if not os.path.lexists(temporary):
        raise OSError(errno.EIO, "the store's directory was removed while it was written to")


def _is_directory(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
