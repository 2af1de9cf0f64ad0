"""Everything a store can answer but success.

StoreError
 ├─ NotFound            there is no such object
 ├─ AlreadyExists       `if_absent`, and there is one
 ├─ PreconditionFailed  `if_match`, and the object is another, or gone
 ├─ Conflict            somebody else writes this very key; try again
 ├─ Denied              the store knows who we are, or does not, and refuses
 ├─ Unavailable         no answer, or "not now"; try again
 │   └─ OutcomeUnknown  no answer to a write: it may have happened, or may yet
 ├─ InvalidKey          this store has no room for such a key
 ├─ Oversized           the object is too large to be fetched whole
 ├─ ReadOnly            this store takes no writes
 ├─ StoreFull           there is no space left
 └─ Unsupported         this store cannot do that at all
"""

from typing import final


class StoreError(Exception):
    """The base of the tree. The text says what happened and what to do."""


@final
class NotFound(StoreError):
    """There is no such object."""


@final
class AlreadyExists(StoreError):
    """A create was conditional on absence, and the key is taken."""


@final
class PreconditionFailed(StoreError):
    """A write was conditional on an ETag, and the object is another one or gone."""


@final
class Conflict(StoreError):
    """Another request for this key is under way; this one changed nothing."""


@final
class Denied(StoreError):
    """Credentials are missing, wrong, or do not reach this far."""


class Unavailable(StoreError):
    """The store cannot be reached, or asks to be left alone for `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@final
class OutcomeUnknown(Unavailable):
    """A write was sent and not answered: it may have happened, or may yet happen."""


@final
class InvalidKey(StoreError):
    """The store cannot hold an object under this key."""


@final
class Oversized(StoreError):
    """The object is too large to be fetched whole; a range of it can be."""


@final
class ReadOnly(StoreError):
    """The store, or the mount, takes no writes."""


@final
class StoreFull(StoreError):
    """There is no space left in the store."""


@final
class Unsupported(StoreError):
    """The store has no such operation."""
