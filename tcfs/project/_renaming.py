"""Renaming an object, which a store cannot do: it is copied there, and then removed."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from tcfs.project._appends import MERGED
from tcfs.project._reading import Reading
from tcfs.project.errors import Exists, Missing, OtherDirectory
from tcfs.stores import (
    AlreadyExists,
    Entry,
    ETag,
    NotFound,
    PreconditionFailed,
    Store,
    StoreError,
)

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
        except StoreError:
            await _give_back(store, new, taken)
            raise
        moved = Moved(entry.etag, Reading(store, new, etag, entry.size, entry.modified))
        try:
            guard = entry.etag if store.capabilities.delete else None
            await store.delete(key, if_match=guard)
        except PreconditionFailed:
            newer = await _head(store, key)
            if newer is None:
                return moved  # somebody removed what was copied: it is gone from there, as asked
            entry = newer
        else:
            return moved
    raise PreconditionFailed(f"{key} kept changing; {new} has a copy of it, try again")


async def _take(store: Store, entry: Entry, new: str) -> ETag:
    """Take a name that must be free: with the file itself, if it is small."""
    body = b""
    if 0 < entry.size <= MERGED:
        body = (await store.get_range(entry.key, 0, entry.size)).body
    try:
        return await store.put(new, body, if_absent=True)
    except AlreadyExists:
        raise Exists(f"{new} exists") from None


async def _give_back(store: Store, new: str, taken: ETag | None) -> None:
    if taken is not None and store.capabilities.delete:
        with suppress(StoreError):  # the caller hears of what went wrong before
            await store.delete(new, if_match=taken)


async def _head(store: Store, key: str) -> Entry | None:
    try:
        return await store.head(key)
    except NotFound:
        return None
