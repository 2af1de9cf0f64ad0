"""A store whose every request is told of: what it took, and what it changed.

Whoever waits for a change that this very process makes need not ask the bucket for it, and what
a mount asks of its bucket can be counted, both without anybody in between knowing.
"""

import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Sequence,
)
from typing import Final, Protocol, Self, TypeVar, final

from tcfs.stores._base import Buffer, Dated, Entry, ETag, NotModified, Object, Offset, Range, Store
from tcfs.stores._wrapper import Wrapper

T = TypeVar("T")


class Observer(Protocol):
    """Who is told. It must not fail, nor take time."""

    def asked(self, verb: str, seconds: float, error: Exception | None) -> None:
        """Take note of a request that was answered, or failed."""
        ...

    def changed(self, key: str, etag: ETag | None) -> None:
        """Take note of a write that surely happened; without an ETag the object is gone."""
        ...


@final
class Observed(Wrapper):
    """`store`, whose requests `observer` is told of."""

    def __init__(self, store: Store, observer: Observer) -> None:
        super().__init__(store)
        self._observer: Final = observer

    async def get(self, key: str, *, if_none_match: ETag | None = None) -> Object | NotModified:
        """Return an object, or NotModified; raises as `Store.get` does."""
        return await self._told("GET", self._store.get(key, if_none_match=if_none_match))

    async def get_range(self, key: str, offset: int, length: int) -> Range:
        """Return a range of an object; raises as `Store.get_range` does."""
        return await self._told("GET", self._store.get_range(key, offset, length))

    async def head(self, key: str) -> Entry:
        """Return what a listing would show; raises as `Store.head` does."""
        return await self._told("HEAD", self._store.head(key))

    async def clock(self) -> Offset | None:
        """Return what the store's clock shows; raises as `Store.clock` does."""
        return await self._told("HEAD", self._store.clock())

    async def put(
        self, key: str, body: Buffer, *, if_absent: bool = False, if_match: ETag | None = None
    ) -> ETag:
        """Store an object whole; raises as `Store.put` does."""
        put = self._store.put(key, body, if_absent=if_absent, if_match=if_match)
        etag = await self._told("PUT", put)
        self._observer.changed(key, etag)
        return etag

    async def put_dated(self, key: str, body: bytes, *, if_match: ETag | None = None) -> Dated:
        """Store an object and learn the time; raises as `Store.put_dated` does."""
        dated = await self._told("PUT", self._store.put_dated(key, body, if_match=if_match))
        self._observer.changed(key, dated.etag)
        return dated

    async def delete(self, key: str, *, if_match: ETag | None = None) -> None:
        """Remove an object; raises as `Store.delete` does."""
        await self._told("DELETE", self._store.delete(key, if_match=if_match))
        self._observer.changed(key, None)

    def list(
        self, prefix: str, *, start_after: str | None = None
    ) -> AsyncIterator[Sequence[Entry]]:
        """Yield the objects under `prefix`, in pages; raises as `Store.list` does."""
        return _Pages(self._store.list(prefix, start_after=start_after), self._observer)

    async def list_dir(self, prefix: str) -> tuple[Sequence[str], Sequence[Entry]]:
        """Return one level below `prefix`; raises as `Store.list_dir` does."""
        return await self._told("LIST", self._store.list_dir(prefix))

    async def any_under(self, prefix: str) -> bool:
        """Tell whether at least one key begins with `prefix`."""
        return await self._told("LIST", self._store.any_under(prefix))

    async def upload(
        self,
        key: str,
        parts: AsyncIterable[bytes],
        *,
        if_absent: bool = False,
        if_match: ETag | None = None,
    ) -> ETag:
        """Store an object of any size from its parts; raises as `Store.upload` does."""
        upload = self._store.upload(key, parts, if_absent=if_absent, if_match=if_match)
        etag = await self._told("UPLOAD", upload)
        self._observer.changed(key, etag)
        return etag

    async def copy(self, source: str, target: str) -> ETag:
        """Store an object under a second key; raises as `Store.copy` does."""
        etag = await self._told("COPY", self._store.copy(source, target))
        self._observer.changed(target, etag)
        return etag

    async def _told(self, verb: str, request: Awaitable[T]) -> T:
        return await _timed(verb, lambda: request, self._observer)


@final
class _Pages:
    """A listing, each page of which is a request."""

    def __init__(self, pages: AsyncIterator[Sequence[Entry]], observer: Observer) -> None:
        self._pages = pages
        self._observer = observer
        self._asked = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[Entry]:
        began = time.monotonic()
        try:
            return await _timed("LIST", self._pages.__anext__, self._observer)
        except StopAsyncIteration:
            if not self._asked:  # that there is nothing took a request to know
                self._observer.asked("LIST", time.monotonic() - began, None)
            raise
        finally:
            self._asked = True


async def _timed(verb: str, request: Callable[[], Awaitable[T]], observer: Observer) -> T:
    began = time.monotonic()
    try:
        answer = await request()
    except StopAsyncIteration:  # no request: the last page said that it is the last
        raise
    except Exception as error:
        observer.asked(verb, time.monotonic() - began, error)
        raise
    observer.asked(verb, time.monotonic() - began, None)
    return answer
