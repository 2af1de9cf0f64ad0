"""A store as it may be used after what it was seen to do with conditions.

A service that ignores `If-None-Match` answers success to everybody: such a write must not be sent
at all. Reads, and writes without a condition, go through as they are. A conditional delete has
no imitation: whoever deletes looks at `capabilities` first, and has another way (protocol.md).
"""

from collections.abc import AsyncIterable
from typing import Protocol, final

from tcfs.stores._base import Buffer, Capabilities, Dated, ETag, Store
from tcfs.stores._errors import (
    AlreadyExists,
    Denied,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    ReadOnly,
    Unavailable,
    Unsupported,
)
from tcfs.stores._wrapper import Wrapper


class Otherwise(Protocol):
    """What is done about a write whose condition the store cannot be trusted with."""

    async def allow(self, key: str, base: ETag | None) -> None:
        """Return where it may be written all the same: over the version `base`, or over nothing.

        Raises as `Store.put` does.
        """
        ...

    async def confirm(self, key: str, written: ETag) -> None:
        """Return where what was written is what is there; raises as `Store.put` does."""
        ...


@final
class Refused:
    """It is not written; `error` is what is raised instead."""

    def __init__(self, error: type[Denied] | type[ReadOnly] | type[Unsupported], why: str) -> None:
        self._error = error
        self._why = why

    async def allow(self, key: str, base: ETag | None) -> None:
        """Refuse."""
        raise self._error(self._why)

    async def confirm(self, key: str, written: ETag) -> None:
        """Refuse; nothing was written."""
        raise self._error(self._why)


@final
class BestEffort:
    """Look, write, look again.

    Of two that write at the same time both may win: one's two looks may both come before the
    other's write, or both after.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def allow(self, key: str, base: ETag | None) -> None:
        """Compare what is there now."""
        there = await self._etag(key)
        if base is None and there is not None:
            raise AlreadyExists(f"{key!r} exists already")
        if there != base:
            raise PreconditionFailed(f"{key!r} is not the version this was based on, or gone")

    async def confirm(self, key: str, written: ETag) -> None:
        """Compare what is there now with what was written."""
        try:
            there = await self._etag(key)
        except Unavailable as error:
            raise OutcomeUnknown(f"{key!r} was written and not read back ({error})") from error
        if there != written:
            raise PreconditionFailed(f"{key!r} was written by another at the same time")

    async def _etag(self, key: str) -> ETag | None:
        try:
            return (await self._store.head(key)).etag
        except NotFound:
            return None


@final
class Limited(Wrapper):
    """`store` with `capabilities`; what they lack of conditional puts `otherwise` does."""

    def __init__(self, store: Store, capabilities: Capabilities, otherwise: Otherwise) -> None:
        super().__init__(store)
        self._capabilities = capabilities
        self._otherwise = otherwise

    @property
    def capabilities(self) -> Capabilities:
        """What the store was found to do."""
        return self._capabilities

    def judge(self, capabilities: Capabilities, otherwise: Otherwise) -> None:
        """Take note of what was found since; it counts for all that is sent from now on."""
        self._capabilities = capabilities
        self._otherwise = otherwise

    async def put(
        self, key: str, body: Buffer, *, if_absent: bool = False, if_match: ETag | None = None
    ) -> ETag:
        """Store an object whole; raises as `Store.put` does."""
        if self._trusts(if_absent, if_match):
            return await self._store.put(key, body, if_absent=if_absent, if_match=if_match)
        await self._otherwise.allow(key, if_match)
        written = await self._store.put(key, body)
        await self._otherwise.confirm(key, written)
        return written

    async def put_dated(self, key: str, body: bytes, *, if_match: ETag | None = None) -> Dated:
        """Store an object and learn the time; raises as `Store.put_dated` does."""
        if not self._trusts(False, if_match):
            # Nobody else writes what is put so, or it does not matter: no claim is.
            if_match = None
        return await self._store.put_dated(key, body, if_match=if_match)

    async def delete(self, key: str, *, if_match: ETag | None = None) -> None:
        """Remove an object; raises as `Store.delete` does."""
        if if_match is not None and not self.capabilities.delete:
            raise Unsupported(f"{key!r} is kept: this store deletes whatever the condition")
        await self._store.delete(key, if_match=if_match)

    async def upload(
        self,
        key: str,
        parts: AsyncIterable[bytes],
        *,
        if_absent: bool = False,
        if_match: ETag | None = None,
    ) -> ETag:
        """Store an object of any size from its parts; raises as `Store.upload` does."""
        if self._trusts(if_absent, if_match):
            return await self._store.upload(key, parts, if_absent=if_absent, if_match=if_match)
        await self._otherwise.allow(key, if_match)
        written = await self._store.upload(key, parts)
        await self._otherwise.confirm(key, written)
        return written

    def _trusts(self, if_absent: bool, if_match: ETag | None) -> bool:
        if if_absent:
            return self.capabilities.create
        return if_match is None or self.capabilities.replace
