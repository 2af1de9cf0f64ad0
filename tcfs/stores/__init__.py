"""Where objects live. This room knows nothing of steps or mail."""

from tcfs.stores._base import MAX_WHOLE, Capabilities, Entry, ETag, NotModified, Object, Store
from tcfs.stores._errors import (
    AlreadyExists,
    Conflict,
    Denied,
    InvalidKey,
    NotFound,
    OutcomeUnknown,
    Oversized,
    PreconditionFailed,
    ReadOnly,
    StoreError,
    StoreFull,
    Unavailable,
    Unsupported,
)

__all__ = [
    "MAX_WHOLE",
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
    "Oversized",
    "PreconditionFailed",
    "ReadOnly",
    "Store",
    "StoreError",
    "StoreFull",
    "Unavailable",
    "Unsupported",
]
