"""Documents as they were last seen, so that seeing them again costs no more than asking."""

import logging
import math
import sys
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

import trio

from tcfs.stores import Entry, ETag, NotFound, NotModified, Object, Oversized, Store

log: Final = logging.getLogger(__name__)
LIMIT: Final = 64 << 20  # bytes: architecture.md, freshness
WALK: Final = 0.05  # seconds: an OPEN may use what the LOOKUP of the same path walk fetched
KEPT: Final = 460  # bytes that keeping an object takes beside its body, keys and all: measured
NO_DOCUMENT: Final = b'"an object that is too large to be a document; see .tcfs/raw"'
AT_ONCE: Final = 64  # requests of one `read_many`


@final
@dataclass(frozen=True, slots=True)
class _Seen:
    object: Object | None
    asked: float  # trio time at which the question was put; it was so at some moment since
    told: float  # trio time before which no question was put whose answer may replace this

    @property
    def size(self) -> int:
        return KEPT + (sys.getsizeof(self.object.body) if self.object else 0)


@final
class Documents:
    """A bounded cache of small objects by key; every read says how old its answer may be."""

    def __init__(self, store: Store, *, limit: int = LIMIT, slack: float = 0.0) -> None:
        """`slack` is the least of all ages that are allowed, in seconds; no age is still none."""
        self.store = store
        self._slack = slack
        self._limit = limit
        self._size = 0
        self.hits = self.unchanged = self.fetched = 0  # reads: by the cache alone, or asked
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    @property
    def size(self) -> int:
        """What all of it takes, in bytes."""
        return self._size

    async def read(self, key: str, *, max_age: float = 0.0) -> Object | None:
        """Return the object at `key`, or None if there is none.

        The answer was true at some moment after `max_age` seconds ago. Raises what a get raises.
        """
        seen = self._seen.get(key)
        asked = trio.current_time()
        if seen is not None and max_age and asked - seen.asked <= max(max_age, self._slack):
            self.hits += 1
            return seen.object
        known = seen.object if seen else None
        try:
            answer = await self.store.get(key, if_none_match=known.etag if known else None)
        except NotFound:
            answer = None
        except Oversized as error:
            # Like every object that is no document: it is there, and nothing can be read from it.
            log.warning("%s", error)
            answer = Object(NO_DOCUMENT, ETag(""), 0)
        if isinstance(answer, NotModified):
            self.unchanged += 1
            answer = known
        else:
            self.fetched += 1
        self._remember(key, answer, asked)
        return answer

    async def read_entry(self, entry: Entry) -> Object | None:
        """Return the object that a listing just showed, from the cache if it is that version."""
        seen = self._seen.get(entry.key)
        if seen is not None and seen.object is not None and seen.object.etag == entry.etag:
            self._seen.move_to_end(entry.key)
            self.hits += 1
            return seen.object
        return await self.read(entry.key)

    async def read_many(self, entries: Iterable[Entry]) -> dict[str, Object]:
        """Return the objects that a listing just showed, by key; those gone since are left out."""
        found: dict[str, Object] = {}
        queue = iter(list(entries))

        async def worker() -> None:
            for entry in queue:
                answer = await self.read_entry(entry)
                if answer is not None:
                    found[entry.key] = answer

        errors: list[Exception] = []

        async def guarded(scope: trio.CancelScope) -> None:
            try:
                await worker()
            except Exception as error:  # as it is: a nursery would wrap it in a group
                errors.append(error)
                scope.cancel()

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(guarded, nursery.cancel_scope)
        if errors:
            raise errors[0]
        return found

    def has(self, key: str) -> bool:
        """Tell whether there was an object at `key` when it was last looked at."""
        seen = self._seen.get(key)
        return seen is not None and seen.object is not None

    def known(self, entry: Entry) -> Object | None:
        """Return the object that a listing just showed if it is here already."""
        seen = self._seen.get(entry.key)
        match = seen is not None and seen.object is not None and seen.object.etag == entry.etag
        return seen.object if seen and match else None

    def sending(self, key: str) -> float:
        """Take note that a write of ours is sent now, and return when that is."""
        self.forget(key)
        return trio.current_time()

    def wrote(self, key: str, body: bytes, etag: ETag, modified: int, *, sent: float) -> None:
        """Take note of a write of ours that surely happened, between `sent` and now.

        A read that began before now and is answered later changes nothing then. That others have
        written since, while our answer was on its way, or we stood still, a read will tell.
        """
        self._done(key, Object(body, etag, modified), sent)

    def deleted(self, key: str, *, sent: float) -> None:
        """Take note of a delete of ours that surely happened, as `wrote` does of a write."""
        self._done(key, None, sent)

    def _done(self, key: str, now: Object | None, sent: float) -> None:
        # What was read meanwhile may be what was there before, or what has come after.
        doubtful = key in self._seen
        self.forget(key)
        self._keep(key, _Seen(now, -math.inf if doubtful else sent, trio.current_time()))

    def forget(self, key: str) -> None:
        """Take note that the object may have changed."""
        seen = self._seen.pop(key, None)
        if seen is not None:
            self._size -= seen.size

    def _remember(self, key: str, answer: Object | None, asked: float) -> None:
        before = self._seen.get(key)
        if before is not None and before.told > asked:
            return  # a later question was answered first
        self.forget(key)
        self._keep(key, _Seen(answer, asked, asked))

    def _keep(self, key: str, seen: _Seen) -> None:
        self._seen[key] = seen
        self._size += seen.size
        while self._size > self._limit:
            _, oldest = self._seen.popitem(last=False)
            self._size -= oldest.size
