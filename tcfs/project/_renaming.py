"""Renaming an object, which a store cannot do: it is copied there, and then removed."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from tcfs.project._appends import MERGED
from tcfs.project._conditional import begun
from tcfs.project._reading import Reading
from tcfs.project.errors import Exists, Missing, OtherDirectory
from tcfs.stores import (
    AlreadyExists,
    Conflict,
    Entry,
    ETag,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    Store,
    StoreError,
    Unavailable,
)
from tcfs.stores.backoff import another, pauses

COPIED: Final = 5 << 30  # bytes that a service copies by itself: S3's limit
_ATTEMPTS: Final = 5  # while others write what is renamed


@final
@dataclass(frozen=True, slots=True)
class Moved:
    """What was the version `was` of an object is `version`, at its new key."""

    was: ETag
    version: Reading


async def move(store: Store, key: str, new: str, *, exclusive: bool) -> Moved:
    """Move an object, in place of what is there unless `exclusive`.

    Raises:
        Exists: `exclusive`, and there is one.
        OtherDirectory: it is a directory, or larger than a service copies by itself.
        PreconditionFailed: it was replaced at every attempt.
        OutcomeUnknown: `new` may be there, beside it or in its place.
        Missing
    """
    entry = await _head(store, key)
    if entry is None:
        if await store.any_under(f"{key}/"):
            raise OtherDirectory(f"{key} is a directory; copy it, then remove the old one")
        raise Missing(f"{key} does not exist")
    if entry.size > COPIED:
        raise OtherDirectory(f"{key} is too large to be renamed; copy it, remove the old one")
    taken = await _take(store, entry, new) if exclusive else None
    for _ in range(_ATTEMPTS):
        try:
            etag = await store.copy(key, new)
        except StoreError as error:
            there = (
                await _left(store, entry, new) if taken and isinstance(error, NotFound) else None
            )
            if there is not None:
                return Moved(
                    entry.etag, Reading(store, new, there.etag, there.size, there.modified)
                )
            if taken is None or await _gave_back(store, new, taken):
                raise
            raise OutcomeUnknown(
                f"{new} may be there as well as {key} ({error}); look before trying again"
            ) from error
        moved = Moved(entry.etag, Reading(store, new, etag, entry.size, entry.modified))
        with begun(f"{new} has a copy of {key}"):
            newer = await _removed(store, entry)
        if newer is None:
            return moved
        entry = newer
    raise PreconditionFailed(f"{key} kept changing; {new} has a copy of it, try again")


async def _take(store: Store, entry: Entry, new: str) -> ETag:
    """Take a name that must be free: with the file itself, if it is small."""
    body = b""
    if 0 < entry.size <= MERGED:
        body = bytes((await store.get_range(entry.key, 0, entry.size)).body)
    for pause in pauses():
        try:
            return await store.put(new, body, if_absent=True)
        except AlreadyExists:
            raise Exists(f"{new} exists") from None
        except OutcomeUnknown:
            raise
        except (Conflict, Unavailable) as error:
            # Nothing was stored. A store tries again by itself only what has no condition.
            if not await another(pause):
                raise Unavailable(f"{entry.key} could not be renamed ({error})") from error
    raise AssertionError("the pauses never end")


async def _removed(store: Store, entry: Entry) -> Entry | None:
    """Remove what was copied; return what another put there meanwhile, None if nothing is."""
    guard = entry.etag if store.capabilities.delete else None
    unanswered = False
    for pause in pauses():
        try:
            await store.delete(entry.key, if_match=guard)
        except PreconditionFailed as error:
            newer = await _head(store, entry.key)
            if newer is not None and unanswered:
                # Copied as well, it would be in the place of what may have been moved already.
                raise OutcomeUnknown(
                    f"{entry.key} was written while it was removed, before that or after;"
                    " look at both names before trying again"
                ) from error
            return newer
        except (Conflict, Unavailable) as error:
            unanswered = unanswered or isinstance(error, OutcomeUnknown)
            # An attempt whose answer was lost is found done by the next.
            if not await another(pause):
                raise
        else:
            return None
    raise AssertionError("the pauses never end")


async def _left(store: Store, entry: Entry, new: str) -> Entry | None:
    """Return what is at `new` if it may be all that is left of a small file that is gone.

    Whoever moved the file there as well stored the same bytes, so they have the ETag of what was
    taken: it is not given back, or they would lose it. Who removed the file meant what was copied.
    """
    return await _head(store, new) if entry.size <= MERGED else None


async def _gave_back(store: Store, new: str, taken: ETag) -> bool:
    if store.capabilities.delete:
        with suppress(StoreError):  # the caller hears of what went wrong before
            await store.delete(new, if_match=taken)
            return True
    return False


async def _head(store: Store, key: str) -> Entry | None:
    try:
        return await store.head(key)
    except NotFound:
        return None
