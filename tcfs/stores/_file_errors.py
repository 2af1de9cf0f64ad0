"""What the kernel says about a file, as an error of our tree."""

import errno
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tcfs.stores._errors import (
    Denied,
    InvalidKey,
    NotFound,
    ReadOnly,
    StoreError,
    StoreFull,
    Unavailable,
    Unsupported,
)

_TABLE: Final[Mapping[int, tuple[type[StoreError], str]]] = MappingProxyType(
    {
        errno.ENOENT: (NotFound, "there is no such object"),
        errno.ENOSPC: (StoreFull, "no space is left; delete something"),
        errno.EDQUOT: (StoreFull, "the disk quota is used up; delete something"),
        errno.EACCES: (Denied, "the directory's permissions do not allow it"),
        errno.EPERM: (Denied, "the file system does not allow it"),
        errno.EROFS: (ReadOnly, "the file system is mounted read-only"),
        errno.ENOTDIR: (
            InvalidKey,
            "part of this key is an object itself, or a link; rename it",
        ),
        errno.EISDIR: (InvalidKey, "other keys begin with this one; choose another name"),
        errno.ENOTEMPTY: (InvalidKey, "other keys begin with this one; choose another name"),
        errno.ENAMETOOLONG: (InvalidKey, "the path is too long; choose a shorter name"),
        errno.ELOOP: (InvalidKey, "a symbolic link, or no file, has this name; remove it"),
        errno.EILSEQ: (InvalidKey, "the file system does not take this name"),
        errno.EINVAL: (InvalidKey, "the file system does not take this name"),
        errno.EXDEV: (Unsupported, "the store's directory spans several file systems"),
        errno.EMLINK: (Unsupported, "the file system is out of hard links"),
        errno.EFBIG: (Unsupported, "the file system does not hold files that big"),
        errno.EOPNOTSUPP: (Unsupported, "the file system cannot do that"),
        errno.ENOSYS: (Unsupported, "the file system cannot do that"),
    }
)


def translate(error: OSError, key: str) -> StoreError:
    """Return the error of our tree for what went wrong with the object at `key`."""
    kind, advice = _TABLE.get(
        error.errno or 0, (Unavailable, f"{error.strerror or error}; try again")
    )
    return kind(f"{key!r}: {advice}")
