"""What identifies a version of a file.

Up to 1 MiB the hash of the content: inode numbers and times are used again (on ext4, 500 of 500
replaced files had an inode and mtime seen before). Above that a random id in an extended
attribute, or inode, mtime and size where a file system has none.
"""

import errno
import hashlib
import os
import struct
import time
from typing import Final, final

from tcfs.stores._base import ETag

HASHED: Final = 1 << 20  # bytes
_NAME: Final = "user.tcfs.etag"
_SIGNATURE: Final = struct.Struct("=QQQqq")
_NO_XATTR: Final = frozenset(
    {errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM, errno.ENOSPC, errno.E2BIG}
)


def of_content(body: bytes) -> ETag:
    """Return the ETag of a small object's content."""
    return ETag(hashlib.blake2b(body, digest_size=16).hexdigest())


def of_large(fd: int, stat: os.stat_result) -> ETag:
    """Return the ETag of an open large file."""
    try:
        return ETag(os.getxattr(fd, _NAME).decode("ascii", "replace"))
    except OSError as error:
        if error.errno not in _NO_XATTR:
            raise
    return ETag(f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}")


def mark_large(fd: int) -> ETag:
    """Give an open, complete large file its ETag, and return it."""
    etag = os.urandom(16).hex()
    try:
        os.setxattr(fd, _NAME, etag.encode())
    except OSError as error:
        if error.errno not in _NO_XATTR:
            raise
        return of_large(fd, os.fstat(fd))
    return ETag(etag)


def of_open(fd: int, stat: os.stat_result) -> ETag:
    """Return the ETag of an open file of any size."""
    if stat.st_size > HASHED:
        return of_large(fd, stat)
    return of_content(os.pread(fd, HASHED + 1, 0))


@final
class Hashes:
    """Remembers the hashes of files that cannot have changed since, so that listings are cheap.

    A file is known again by inode, size, mtime and ctime. Nobody sets a ctime, but it is as
    coarse as the kernel's tick, so two changes may share one: a hash is kept only if the ctime
    had been past for 2 s *before* the content was read. Any later change then has another.
    """

    _SETTLED: Final = 2_000_000_000  # ns; ticks are 1 to 10 ms, some network servers' 1 s
    _ROOM: Final = 1 << 18  # files; some 50 MB

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}  # ETags as bytes, which take half of the room

    def find(self, stat: os.stat_result) -> ETag | None:
        """Return the ETag of the file that has this stat, if it is known."""
        etag = self._known.get(_signature(stat))
        return None if etag is None else ETag(etag.decode())

    def settled(self, stat: os.stat_result) -> bool:
        """Tell whether a file with this stat, whose content is yet to be read, can be kept."""
        return 0 < stat.st_ctime_ns < time.time_ns() - self._SETTLED

    def keep(self, stat: os.stat_result, etag: ETag) -> None:
        """Remember the ETag of a file that was `settled` before its content was read."""
        # Listings go through the whole of a directory, so the newest are no likelier than others.
        if len(self._known) >= self._ROOM:
            self._known.clear()
        self._known[_signature(stat)] = etag.encode()


def _signature(stat: os.stat_result) -> bytes:
    return _SIGNATURE.pack(
        stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    )
