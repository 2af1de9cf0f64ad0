"""A store in front of another, which does what the other does but for what it says itself."""

from collections.abc import AsyncIterable, AsyncIterator, Collection, Sequence
from typing import Final

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


class Wrapper:
    """All of `Store`, as `store` does it; raises what that raises."""

    def __init__(self, store: Store) -> None:
        self._store: Final = store

    @property
    def capabilities(self) -> Capabilities:
        """What the store can do, as it is known by now."""
        return self._store.capabilities

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

    async def get(self, key: str, *, if_none_match: ETag | None = None) -> Object | NotModified:
        """Return an object, or NotModified."""
        return await self._store.get(key, if_none_match=if_none_match)

    async def get_range(self, key: str, offset: int, length: int) -> Range:
        """Return a range of an object."""
        return await self._store.get_range(key, offset, length)

    async def head(self, key: str) -> Entry:
        """Return what a listing would show."""
        return await self._store.head(key)

    async def clock(self) -> Offset | None:
        """Return what the store's clock shows."""
        return await self._store.clock()

    async def put(
        self, key: str, body: Buffer, *, if_absent: bool = False, if_match: ETag | None = None
    ) -> ETag:
        """Store an object whole."""
        return await self._store.put(key, body, if_absent=if_absent, if_match=if_match)

    async def put_dated(self, key: str, body: bytes, *, if_match: ETag | None = None) -> Dated:
        """Store an object and learn the time."""
        return await self._store.put_dated(key, body, if_match=if_match)

    async def delete(self, key: str, *, if_match: ETag | None = None) -> None:
        """Remove an object."""
        await self._store.delete(key, if_match=if_match)

    def list(
        self, prefix: str, *, start_after: str | None = None
    ) -> AsyncIterator[Sequence[Entry]]:
        """Yield the objects under `prefix`, in pages."""
        return self._store.list(prefix, start_after=start_after)

    async def list_dir(self, prefix: str) -> tuple[Sequence[str], Sequence[Entry]]:
        """Return one level below `prefix`."""
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
        """Store an object of any size from its parts."""
        return await self._store.upload(key, parts, if_absent=if_absent, if_match=if_match)

    async def copy(self, source: str, target: str) -> ETag:
        """Store an object under a second key."""
        return await self._store.copy(source, target)

    async def aclose(self) -> None:
        """Let go of what the store holds."""
        await self._store.aclose()
