"""The one table from what is raised to what the kernel, and so every program, is told."""

import errno
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tcfs import stores
from tcfs.project import errors
from tcfs.wire import InvalidName, Malformed

ERRNO: Final[Mapping[type[Exception], int]] = MappingProxyType(
    {
        stores.NotFound: errno.ENOENT,
        stores.AlreadyExists: errno.EEXIST,
        stores.PreconditionFailed: errno.ESTALE,
        stores.Conflict: errno.EAGAIN,
        stores.Denied: errno.EACCES,
        stores.OutcomeUnknown: errno.EIO,
        stores.Unavailable: errno.ETIMEDOUT,
        stores.InvalidKey: errno.EINVAL,
        stores.Oversized: errno.EFBIG,
        stores.ReadOnly: errno.EROFS,
        stores.StoreFull: errno.ENOSPC,
        stores.Unsupported: errno.EOPNOTSUPP,
        errors.Held: errno.EEXIST,
        errors.Exists: errno.EEXIST,
        errors.Missing: errno.ENOENT,
        errors.NotHolder: errno.EPERM,
        errors.NotAllowed: errno.EPERM,
        errors.Invalid: errno.EINVAL,
        errors.TooLarge: errno.EFBIG,
        errors.MessageTooLong: errno.EMSGSIZE,
        errors.ViewOnly: errno.EROFS,
        errors.OtherDirectory: errno.EXDEV,
        errors.NotEmpty: errno.ENOTEMPTY,
        errors.WontComplete: errno.ECANCELED,
        errors.NothingLeft: errno.ENODATA,
        errors.Busy: errno.EAGAIN,
        InvalidName: errno.EINVAL,
        Malformed: errno.EINVAL,
    }
)


def errno_of(error: Exception) -> int | None:
    """Return the errno of an error in the table; None for one that is a bug."""
    for kind in type(error).__mro__:
        if kind in ERRNO:
            return ERRNO[kind]
    return None
