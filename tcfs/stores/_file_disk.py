# Paths are bytes here, since keys are UTF-8 in any locale; pathlib has none of those.
# ruff: noqa: PTH102, PTH208
"""Steps on the disk that hold whatever happens between them: crashes, and other processes.

Nothing below the root is reached by its path, but from descriptor to descriptor: a symbolic link
that somebody put there would lead out of the store. All functions block, and raise OSError.
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
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A FIFO or a link that somebody put there must not block or mislead us.
_PLAIN: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@final
class Disk:
    """The directory of a store, and the private directory in it."""

    def __init__(self, root: bytes) -> None:
        self.root: Final = root
        self._anchored = False  # the root's own name is durable

    @contextmanager
    def directory(self, path: bytes, *, make: bool = False) -> Iterator[int]:
        """Give the descriptor of a directory below the root; `path` is empty for the root.

        Raises:
            FileNotFoundError: there is none, and it is not to be made.
            NotADirectoryError: an object or a symbolic link is in the way.
        """
        if make:
            # Its mail is nobody else's. Users who share a store make its directory themselves.
            self._anchored = not _make(self.root) and self._anchored
        fd = os.open(self.root, _DIRECTORY)
        try:
            for name in path.split(b"/") if path else ():
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=fd)
                above, fd = fd, os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.close(above)
            yield fd
        finally:
            os.close(fd)

    def open_object(self, key: bytes) -> tuple[int, os.stat_result]:
        """Open an object for reading.

        Raises:
            FileNotFoundError: there is none, or something else has its name.
        """
        above, name = _split(key)
        try:
            with self.directory(above) as directory:
                return open_regular(directory, name)
        except NotADirectoryError:
            raise FileNotFoundError(errno.ENOENT, "part of the key is no directory") from None

    @contextmanager
    def temporary(self) -> Iterator[tuple[int, bytes]]:
        """Give a new file's descriptor and name; it is gone at the end.

        The file is locked while in use, so that `sweep` knows a leftover.
        """
        name = b"new-" + os.urandom(16).hex().encode()
        fd = self._private(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd, name
        finally:
            # It was renamed, or all of the store was removed.
            with suppress(FileNotFoundError), self.directory(PRIVATE) as directory:
                os.unlink(name, dir_fd=directory)
            os.close(fd)

    @contextmanager
    def lock(self, key: bytes, seconds: float) -> Iterator[None]:
        """Keep all other processes and threads from replacing or deleting an object.

        Raises:
            Unavailable: somebody else kept it locked for that long.
        """
        fd = self._private(b"lock-%02x" % (zlib.crc32(key) % _STRIPES), os.O_RDWR | os.O_CREAT)
        try:
            _take(fd, seconds)
            yield
        finally:
            os.close(fd)  # lets go of the lock, too

    def link(self, temporary: bytes, key: bytes) -> None:
        """Give a file a key that has none yet.

        Raises:
            FileExistsError: the key has an object; link(2) is the arbiter.
            OSError ELOOP: it has what is neither a file nor a directory.
        """
        self._place(temporary, key, _link)

    def rename(self, temporary: bytes, key: bytes) -> None:
        """Give a file a key, in place of whatever object has it."""
        self._place(temporary, key, _rename)

    def remove(self, key: bytes) -> None:
        """Delete an object, and the directories that it leaves empty."""
        above, name = _split(key)
        with self.directory(above) as directory:
            os.unlink(name, dir_fd=directory)
        while above:
            above, name = _split(above)
            try:
                with self.directory(above) as directory:
                    os.rmdir(name, dir_fd=directory)
            except OSError:
                break  # something else is in it, or has just been put or pruned

    def sync_above(self, key: bytes) -> None:
        """Make the directories above a key durable, each as it is now.

        All of them: one that was there already may have been made a moment ago by a process that
        has not come to its own fsync. A clean one costs microseconds.
        """
        above = key
        while above:
            above, _ = _split(above)
            # Gone: somebody deleted the object and pruned; that removal is what is made durable
            # with the directory above.
            with (
                suppress(FileNotFoundError, NotADirectoryError),
                self.directory(above) as directory,
            ):
                os.fsync(directory)
        if not self._anchored:
            # Once: what lies around a store may change all the time, and be costly to sync.
            _sync(_split(self.root)[0])
            self._anchored = True

    def sweep(self) -> None:
        """Remove temporaries that a crash left behind."""
        with suppress(FileNotFoundError), self.directory(PRIVATE) as directory:
            for name in os.listdir(directory):
                if name.startswith("new-"):
                    _sweep_one(directory, name)

    def _private(self, name: bytes, flags: int) -> int:
        """Open a file in the private directory, which is made if need be."""
        try:
            with self.directory(PRIVATE) as directory:
                return os.open(name, flags | _PLAIN, 0o666, dir_fd=directory)
        except FileNotFoundError:
            with self.directory(PRIVATE, make=True) as directory:
                return os.open(name, flags | _PLAIN, 0o666, dir_fd=directory)

    def _place(
        self, temporary: bytes, key: bytes, move: Callable[[int, bytes, int, bytes], None]
    ) -> None:
        above, name = _split(key)
        while True:
            try:
                with self.directory(PRIVATE) as private, self.directory(above) as directory:
                    move(private, temporary, directory, name)
            except FileNotFoundError:
                # No parent yet, or it was pruned since: as often as that happens.
                if self._mode(PRIVATE + b"/" + temporary) is None:
                    text = "the store's directory was removed while it was written to"
                    raise OSError(errno.EIO, text) from None
                with suppress(FileNotFoundError), self.directory(above, make=True):
                    continue
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                mode = self._mode(key) or stat.S_IFREG
                if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                    text = "a link, or another thing that is no file, has this name"
                    raise OSError(errno.ELOOP, text) from None
                if not stat.S_ISDIR(mode):
                    raise
                # Directories without an object are not there: a crash, or another create, left it.
                self._prune_empty(key)
            else:
                return

    def _prune_empty(self, path: bytes) -> None:
        above, name = _split(path)
        with suppress(FileNotFoundError), self.directory(above) as directory:
            for _, below, _, inside in os.fwalk(name, topdown=False, dir_fd=directory):
                for each in below:
                    os.rmdir(each, dir_fd=inside)  # raises ENOTEMPTY where there is an object
            os.rmdir(name, dir_fd=directory)

    def _mode(self, path: bytes) -> int | None:
        """Return what is at a path; None where nothing is."""
        above, name = _split(path)
        try:
            with self.directory(above) as directory:
                return os.lstat(name, dir_fd=directory).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None


def open_regular(directory: int, name: bytes) -> tuple[int, os.stat_result]:
    """Open a file for reading in a directory that is open.

    Raises:
        FileNotFoundError: there is none, or something else has its name.
        OSError ELOOP: a symbolic link has it.
    """
    try:
        fd = os.open(name, os.O_RDONLY | _PLAIN, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise FileNotFoundError(errno.ENOENT, "a socket") from None
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "no regular file")
    return fd, found


def _make(path: bytes) -> bool:
    """Make a directory; tell whether it was not there. Those above it are durable before it is."""
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        above, _ = _split(path)
        _make(above)
        _sync(_split(above)[0])
        return _make(path)
    except FileExistsError:
        return False
    return True


def _sync(path: bytes) -> None:
    """Make the names in a directory durable; in one that cannot be opened none is ours."""
    with suppress(PermissionError):
        fd = os.open(path or b"/", _DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _split(path: bytes) -> tuple[bytes, bytes]:
    """Return the directory that something lies in, and its name there."""
    above, _, name = path.rpartition(b"/")
    return above, name


def _link(private: int, temporary: bytes, directory: int, name: bytes) -> None:
    os.link(temporary, name, src_dir_fd=private, dst_dir_fd=directory, follow_symlinks=False)


def _rename(private: int, temporary: bytes, directory: int, name: bytes) -> None:
    os.rename(temporary, name, src_dir_fd=private, dst_dir_fd=directory)


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


def _sweep_one(directory: int, name: str) -> None:
    with suppress(FileNotFoundError, PermissionError):  # swept by another; another user's
        found = os.lstat(name, dir_fd=directory)
        if not stat.S_ISREG(found.st_mode) or time.time() - found.st_mtime < _STALE:
            return  # not ours, or it may not have been locked yet
        fd, _ = open_regular(directory, os.fsencode(name))
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name, dir_fd=directory)
        except BlockingIOError:
            return  # in use
        finally:
            os.close(fd)
