"""Where objects live. This room knows nothing of steps or mail."""

from tcfs.stores._base import Capabilities, Entry, ETag, NotModified, Object, Store
from tcfs.stores._errors import (
    AlreadyExists,
    Conflict,
    Denied,
    InvalidKey,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    ReadOnly,
    StoreError,
    StoreFull,
    Unavailable,
    Unsupported,
)

__all__ = [
    "AlreadyExists",
    "Capabilities",
    "Conflict",
    "Denied",
    "ETag",
    "Entry",
    "InvalidKey",
    "NotFound",
    "NotModified",
    "Object",
    "OutcomeUnknown",
    "PreconditionFailed",
    "ReadOnly",
    "Store",
    "StoreError",
    "StoreFull",
    "Unavailable",
    "Unsupported",
]
