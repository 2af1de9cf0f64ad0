"""A store that nothing is written to, whoever asks: what `--read-only` promises.

The kernel refuses the writes of a read-only mount; this is for what a mount would write by
itself: marking mail as read, mending a status, a heartbeat.
"""

from collections.abc import AsyncIterable, AsyncIterator, Collection, Sequence
from typing import Final, NoReturn, final

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
from tcfs.stores._errors import ReadOnly


@final
class Reading:
    """`store`, to be read only."""

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
        """Return an object, or NotModified; raises as `Store.get` does."""
        return await self._store.get(key, if_none_match=if_none_match)

    async def get_range(self, key: str, offset: int, length: int) -> Range:
        """Return a range of an object; raises as `Store.get_range` does."""
        return await self._store.get_range(key, offset, length)

    async def head(self, key: str) -> Entry:
        """Return what a listing would show; raises as `Store.head` does."""
        return await self._store.head(key)

    async def clock(self) -> Offset | None:
        """Return what the store's clock shows; raises as `Store.clock` does."""
        return await self._store.clock()

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

    async def put(
        self, key: str, body: Buffer, *, if_absent: bool = False, if_match: ETag | None = None
    ) -> ETag:
        """Refuse."""
        self._refuse(key)

    async def put_dated(self, key: str, body: bytes, *, if_match: ETag | None = None) -> Dated:
        """Refuse."""
        self._refuse(key)

    async def delete(self, key: str, *, if_match: ETag | None = None) -> None:
        """Refuse."""
        self._refuse(key)

    async def upload(
        self,
        key: str,
        parts: AsyncIterable[bytes],
        *,
        if_absent: bool = False,
        if_match: ETag | None = None,
    ) -> ETag:
        """Refuse."""
        self._refuse(key)

    async def copy(self, source: str, target: str) -> ETag:
        """Refuse."""
        self._refuse(target)

    async def aclose(self) -> None:
        """Let go of what the store holds."""
        await self._store.aclose()

    def _refuse(self, key: str) -> NoReturn:
        raise ReadOnly(f"{key!r} is not written: this mount is read-only; mount it without")
