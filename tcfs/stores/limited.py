"""A store as it may be used after what it was seen to do with conditions.

A service that ignores `If-None-Match` answers success to everybody: such a write must not be sent
at all. Reads, and writes without a condition, go through as they are. A conditional delete has
no imitation: whoever deletes looks at `capabilities` first, and has another way (protocol.md).
"""

from collections.abc import AsyncIterable, AsyncIterator, Collection, Sequence
from typing import Final, Protocol, final

from tcfs.stores._base import (
    Buffer,
    Capabilities,
    Dated,
    Entry,
    ETag,
    NotModified,
    Object,
    Offset,
    Range,
    Store,
)
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
class Limited:
    """`store` with `capabilities`; what they lack of conditional puts `otherwise` does."""

    def __init__(self, store: Store, capabilities: Capabilities, otherwise: Otherwise) -> None:
        self.capabilities = capabilities
        self._store: Final = store
        self._otherwise = otherwise

    def judge(self, capabilities: Capabilities, otherwise: Otherwise) -> None:
        """Take note of what was found since; it counts for all that is sent from now on."""
        self.capabilities = capabilities
        self._otherwise = otherwise

    @property
    def url(self) -> str:
        """Where this is."""
        return self._store.url

    @property
    def identity(self) -> str:
        """Which project of which service this is."""
        return self._store.identity

    def secrets(self) -> Collection[str]:
        """Return what requests are and were signed with."""
        return self._store.secrets()

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

    async def clock(self) -> Offset | None:
        """Return what the store's clock shows; raises as `Store.clock` does."""
        return await self._store.clock()

    async def delete(self, key: str, *, if_match: ETag | None = None) -> None:
        """Remove an object; raises as `Store.delete` does."""
        if if_match is not None and not self.capabilities.delete:
            raise Unsupported(f"{key!r} is kept: this store deletes whatever the condition")
        await self._store.delete(key, if_match=if_match)

    async def get(self, key: str, *, if_none_match: ETag | None = None) -> Object | NotModified:
        """Return an object, or NotModified; raises as `Store.get` does."""
        return await self._store.get(key, if_none_match=if_none_match)

    async def get_range(self, key: str, offset: int, length: int) -> Range:
        """Return a range of an object; raises as `Store.get_range` does."""
        return await self._store.get_range(key, offset, length)

    async def head(self, key: str) -> Entry:
        """Return what a listing would show; raises as `Store.head` does."""
        return await self._store.head(key)

    def list(
        self, prefix: str, *, start_after: str | None = None
    ) -> AsyncIterator[Sequence[Entry]]:
        """Yield the objects under `prefix`, in pages; raises as `Store.list` does."""
        return self._store.list(prefix, start_after=start_after)

    async def list_dir(self, prefix: str) -> tuple[Sequence[str], Sequence[Entry]]:
        """Return one level below `prefix`; raises as `Store.list_dir` does."""
        return await self._store.list_dir(prefix)

    async def any_under(self, prefix: str) -> bool:
        """Tell whether at least one key begins with `prefix`."""
        return await self._store.any_under(prefix)

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

    async def copy(self, source: str, target: str) -> ETag:
        """Store an object under a second key; raises as `Store.copy` does."""
        return await self._store.copy(source, target)

    async def aclose(self) -> None:
        """Let go of what the store holds."""
        await self._store.aclose()

    def _trusts(self, if_absent: bool, if_match: ETag | None) -> bool:
        if if_absent:
            return self.capabilities.create
        return if_match is None or self.capabilities.replace
