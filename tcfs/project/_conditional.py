"""Conditional writes whose answer may get lost (protocol.md, lost answers).

Every logical write carries one nonce in all its attempts, and the number of the attempt, so that
no two have the same bytes. Whatever an attempt met but success, the key is read back: a 412 may
be the answer to our own success, whose first answer got lost.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, final

from tcfs.project._documents import Documents
from tcfs.stores import (
    AlreadyExists,
    Conflict,
    ETag,
    NotFound,
    Object,
    OutcomeUnknown,
    PreconditionFailed,
    Store,
    StoreError,
    Unavailable,
)
from tcfs.stores.backoff import another, pauses

Encode = Callable[[int], bytes]
"""Gives the body of the attempt of that number, from 1 on."""
Mine = Callable[[Object], bool]
"""Tells whether an object carries the nonce of the write in question."""

_RETRIED: Final = (AlreadyExists, PreconditionFailed, Conflict, Unavailable)


@final
class Lost(Exception):
    """Somebody else's write came first; `current` is what is there now.

    `unanswered` is whether an attempt of ours got no answer: it may have been there for a moment,
    and been replaced.
    """

    def __init__(self, current: Object | None, *, unanswered: bool) -> None:
        super().__init__("another write came first")
        self.current = current
        self.unanswered = unanswered


@final
class Writer:
    """Conditional writes to one store, kept in step with one cache."""

    def __init__(self, store: Store, documents: Documents, now: Callable[[], int]) -> None:
        self._store = store
        self._documents = documents
        self._now = now

    async def write(self, key: str, encode: Encode, mine: Mine, base: ETag | None) -> Object:
        """Create `key` (`base` None), or replace the version `base`; return what is there then.

        Raises:
            Lost: it is not what is there.
            OutcomeUnknown: no answer until the deadline; it may be written, or may yet be.
            Unavailable, Denied, InvalidKey, ReadOnly, StoreFull, Unsupported: not written.
        """
        unanswered: Exception | None = None
        for attempt, pause in enumerate(pauses(), 1):
            body = encode(attempt)
            sent = self._documents.sending(key)
            try:
                if base is None:
                    etag = await self._store.put(key, body, if_absent=True)
                else:
                    etag = await self._store.put(key, body, if_match=base)
            except _RETRIED as error:
                if isinstance(error, OutcomeUnknown):
                    unanswered = error
            except StoreError as error:
                if unanswered:
                    raise _unknown(key, unanswered) from error
                raise
            else:
                written = Object(body, etag, self._now())
                self._documents.wrote(key, body, etag, written.modified, sent=sent)
                return written
            current = await self._read_back(key, unanswered)
            if current is not None and mine(current):
                return current
            if (current.etag if current else None) != base:
                raise Lost(current, unanswered=unanswered is not None)
            if not await another(pause):
                break
        if unanswered:
            raise _unknown(key, unanswered)
        raise Unavailable(f"{key} could not be written before the deadline; try again")

    async def delete(self, key: str, base: ETag, ours: Mine) -> None:
        """Delete the version `base` of `key`. `ours` tells whether what is there is of the same
        tenure as what was to be deleted: if not, that one is gone, and so the delete is done.

        Raises:
            Lost: surely not deleted, and another version of the same tenure is there.
            OutcomeUnknown: no answer until the deadline.
            Unavailable, Denied, ReadOnly, Unsupported: not deleted.
        """
        unanswered: Exception | None = None
        for pause in pauses():
            sent = self._documents.sending(key)
            try:
                await self._store.delete(key, if_match=base)
            except (PreconditionFailed, NotFound, Conflict, Unavailable) as error:
                if isinstance(error, OutcomeUnknown):
                    unanswered = error
            except StoreError as error:
                if unanswered:
                    raise _unknown(key, unanswered) from error
                raise
            else:
                self._documents.deleted(key, sent=sent)
                return
            current = await self._read_back(key, unanswered)
            if current is None or not ours(current):
                return
            if current.etag != base:
                raise Lost(current, unanswered=unanswered is not None)
            if not await another(pause):
                break
        if unanswered:
            raise _unknown(key, unanswered)
        raise Unavailable(f"{key} could not be deleted before the deadline; try again")

    async def _read_back(self, key: str, unanswered: Exception | None) -> Object | None:
        try:
            return await self._documents.read(key)
        except StoreError as error:
            if unanswered:
                raise _unknown(key, unanswered) from error
            raise


@contextmanager
def begun(what: str) -> Iterator[None]:
    """Have an act of which `what` says the first half be unknown, where the rest gets no answer.

    Raises:
        OutcomeUnknown: instead of Unavailable and Conflict, which would say that nothing is there.
    """
    try:
        yield
    except OutcomeUnknown:
        raise
    except (Conflict, Unavailable) as error:
        raise OutcomeUnknown(
            f"{what}, and the store did not take the rest ({error}); look before trying again"
        ) from error


def _unknown(key: str, cause: Exception) -> OutcomeUnknown:
    error = OutcomeUnknown(
        f"the store did not say whether {key} was written ({cause}); read it before trying again"
    )
    error.__cause__ = cause
    return error
