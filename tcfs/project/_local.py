"""Bytes on the local disk, in a file without a name: a crash leaves nothing behind.

The disk is read and written from the event loop: through the page cache, 1 MiB takes less than
handing it to a thread and back.
"""

import errno
import os
import tempfile
from pathlib import Path
from typing import IO, Final, final

from tcfs.stores import Buffer

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def write_private(path: Path, data: bytes) -> None:
    """Write a file that is this user's only, whatever the umask; not through a link.

    Raises OSError; ENOSPC has a text that says where.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        if error.errno in _FULL:
            raise _full(path.parent, "what must survive a crash") from None
        raise


def _full(directory: Path, what: str) -> OSError:
    return OSError(errno.ENOSPC, f"no space left in {directory} for {what}; free some")


@final
class LocalFile:
    """A file in `directory`, which is made, as the file is, when something is to be kept."""

    __slots__ = ("_closed", "_directory", "_file")

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._closed = False

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes; those that were never written are NULs."""
        body = os.pread(self._fd(), size, offset) if size else b""
        while len(body) < size:
            more = os.pread(self._fd(), size - len(body), offset + len(body))
            if not more:
                return body + bytes(size - len(body))
            body += more
        return body

    def write(self, offset: int, data: Buffer) -> None:
        """Put `data` at `offset`; raises OSError ENOSPC, having written some of it perhaps."""
        left = memoryview(data)
        try:
            while left:
                count = os.pwrite(self._fd(), left, offset)
                left, offset = left[count:], offset + count
        except OSError as error:
            if error.errno in _FULL:
                raise _full(self._directory, "what is not stored yet") from None
            raise

    def truncate(self, size: int) -> None:
        """Cut or extend it."""
        os.ftruncate(self._fd(), size)

    def close(self) -> None:
        """Let go of the disk, for good."""
        self._closed = True
        if self._file is not None:
            self._file.close()
            self._file = None

    def _fd(self) -> int:
        if self._file is None:
            if self._closed:  # another, empty one would be taken for what was written
                raise OSError(errno.EBADF, "what was written here was let go of")
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            where = self._directory
            self._file = tempfile.TemporaryFile(dir=where, buffering=0)  # noqa: SIM115 - by `close`
        return self._file.fileno()
