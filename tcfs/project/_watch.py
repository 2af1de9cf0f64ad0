"""The one watcher of a mount: it asks the bucket only while somebody waits.

It knows keys and their versions, and nothing of what they mean. What this mount writes itself
wakes those who wait at once; what others write, within a tick (architecture.md, freshness).
"""

import logging
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, final

import trio

from tcfs.project._apart import start_apart, survived
from tcfs.project._together import all_of
from tcfs.stores import Entry, ETag, Store, StoreError
from tcfs.stores.deadline import DEFAULT, within

log: Final = logging.getLogger(__name__)
TICK: Final = 1.0  # seconds
AT_ONCE: Final = 16  # listings of one tick

Changes = Mapping[str, ETag | None]
"""What changed, by key; None: it is gone."""


@final
class Told(NamedTuple):
    """What changed, and which of those keys were not there before."""

    changes: Changes
    new: frozenset[str]


@final
@dataclass(frozen=True, slots=True)
class _Ask:
    """A listing: the keys that begin with `prefix`, and come after `after`."""

    prefix: str
    after: str | None = None

    def covers(self, key: str) -> bool:
        return key.startswith(self.prefix) and (self.after is None or key > self.after)


@final
@dataclass(slots=True)
class _Topic:
    """What one listing shows, for all who watch it; `known` is None before the first."""

    watches: set["Watch"] = field(default_factory=set)
    known: dict[str, ETag] | None = None
    asked: float = float("-inf")  # trio time at which the question was put that told


@final
class Watch:
    """One who waits for changes below a prefix."""

    __slots__ = ("_begin", "_changes", "_event", "_new", "_topic", "within")

    def __init__(
        self, topic: _Topic, within: str | None, begin: Callable[[], Awaitable[None]]
    ) -> None:
        self.within = within
        self._topic = topic
        self._begin = begin
        self._changes: dict[str, ETag | None] = {}
        self._new: set[str] = set()
        self._event = trio.Event()

    @property
    def known(self) -> Mapping[str, ETag] | None:
        """What is there, as far as is known by now; None before the first listing."""
        return self._topic.known

    async def changes(self) -> Changes:
        """Wait for changes since this was last called, and return them.

        The first ones are all that is there, unless `begin` was awaited before.
        """
        return (await self.told()).changes

    async def told(self) -> Told:
        """Wait as `changes` does, and return as well which of those are new."""
        await self._event.wait()
        told = Told(self._changes, frozenset(self._new))
        self._forget()
        return told

    async def begin(self) -> None:
        """Begin with what is there now: only what changes from here on is told.

        Raises what a listing raises.
        """
        await self._begin()
        self._forget()

    def tell(self, changes: Changes, before: Mapping[str, ETag]) -> None:
        """Take note of changes to what there was `before`, and wake whoever waits."""
        for key, etag in changes.items():
            if key not in self._changes and key not in before:
                self._new.add(key)
            self._changes[key] = etag
        self._event.set()

    def _forget(self) -> None:
        self._changes, self._new, self._event = {}, set(), trio.Event()


@final
class Watcher:
    """Tells those who watch what changes in a bucket."""

    def __init__(self, store: Store, nursery: trio.Nursery) -> None:
        self._store = store
        self._nursery = nursery
        self._topics: dict[_Ask, _Topic] = {}
        self._pages: dict[str, int] = {}  # of a listing, as it was last seen
        self._ours: dict[str, tuple[float, ETag | None]] = {}  # our last writes: trio time, version
        self._ticking = False
        self.ticks = 0  # so far

    @contextmanager
    def watch(
        self, prefix: str, *, after: str | None = None, within: str | None = None
    ) -> Iterator[Watch]:
        """Watch the keys that begin with `prefix`, and come after `after`, during the block.

        `within` is a prefix that many watch parts of, such as all steps: where that is fewer
        requests it is listed as a whole. Errors of the store are waited out.
        """
        ask = _Ask(prefix, after)
        topic = self._topics.setdefault(ask, _Topic())
        watch = Watch(topic, within, partial(self._begin, ask))
        topic.watches.add(watch)
        if topic.known is not None:
            watch.tell(topic.known, {})
        if not self._ticking:
            self._ticking = True
            start_apart(self._nursery, self._tick)
        try:
            yield watch
        finally:
            topic.watches.discard(watch)
            if not topic.watches:
                del self._topics[ask]

    def changed(self, key: str, etag: ETag | None) -> None:
        """Take note of a write of this mount; without an ETag the object is gone."""
        if not self._topics:
            return
        self._ours[key] = (trio.current_time(), etag)
        for ask, topic in self._topics.items():
            if ask.covers(key):
                for watch in topic.watches:
                    watch.tell({key: etag}, topic.known or {})
                if topic.known is not None:
                    _note(topic.known, key, etag)

    async def _begin(self, ask: _Ask) -> None:
        if self._topics[ask].known is None:
            self._show(ask, {ask}, *await self._listed(ask))

    async def _tick(self) -> None:
        try:
            while self._topics:
                began = trio.current_time()
                await trio.sleep(TICK)
                self.ticks += 1
                await survived(self._look)
                # A bucket that takes long to list is not to be asked without a pause.
                took = trio.current_time() - began - TICK
                await trio.sleep(max(0.0, took - TICK))
        finally:
            self._ticking = False
            self._ours.clear()

    async def _look(self) -> None:
        plan = self._plan()
        asks = [partial(self._listed_or_not, ask) for ask in plan]
        oldest = trio.current_time()
        for answer in await all_of(asks, AT_ONCE) if asks else []:
            if answer is not None:
                ask, began, entries = answer
                self._show(ask, plan[ask], began, entries)
        self._ours = {key: ours for key, ours in self._ours.items() if ours[0] >= oldest}

    def _plan(self) -> dict[_Ask, set[_Ask]]:
        """Return what to list, with the topics that each listing serves: the fewest requests."""
        plan: dict[_Ask, set[_Ask]] = {}
        parts: dict[str, set[_Ask]] = {}
        group = {ask: _within(topic) for ask, topic in self._topics.items()}
        whole = [ask for ask in group if ask.after is None and group[ask] is None]
        for ask, prefix in group.items():
            wider = [it for it in whole if it != ask and ask.prefix.startswith(it.prefix)]
            if wider:
                widest = min(wider, key=lambda it: it.prefix)
                plan.setdefault(widest, set()).add(ask)
            elif prefix is not None:
                parts.setdefault(prefix, set()).add(ask)
            else:
                plan.setdefault(ask, set()).add(ask)
        self._pages = {it: pages for it, pages in self._pages.items() if it in parts}
        for whole_of, asks in parts.items():
            if len(asks) > self._pages.get(whole_of, 1):
                plan[_Ask(whole_of)] = asks
            else:
                plan.update((ask, {ask}) for ask in asks)
        return plan

    async def _listed_or_not(self, ask: _Ask) -> tuple[_Ask, float, dict[str, ETag]] | None:
        try:
            with within(DEFAULT):
                return (ask, *await self._listed(ask))
        except StoreError as error:
            log.warning("waiting for changes below %s: %s", ask.prefix or "the root", error)
            return None

    async def _listed(self, ask: _Ask) -> tuple[float, dict[str, ETag]]:
        began = trio.current_time()
        pages: list[Sequence[Entry]] = []
        async for page in self._store.list(ask.prefix, start_after=ask.after):
            pages.append(page)
        self._pages[ask.prefix] = max(1, len(pages))
        return began, {entry.key: entry.etag for page in pages for entry in page}

    def _show(self, listing: _Ask, asks: set[_Ask], began: float, listed: dict[str, ETag]) -> None:
        # What we wrote since the question was put, its answer may not know.
        ours = {key: etag for key, (at, etag) in self._ours.items() if at >= began}
        # Nothing else gets its turn meanwhile: what a million keys need not take is left out.
        whole = listing if listing.after is None else None
        ordered = [] if asks == {whole} else sorted(listed)
        for ask in asks:
            topic = self._topics.get(ask)
            if topic is None or topic.asked > began:
                continue  # nobody watches, or a later question was answered first
            if ask == whole:
                found = dict(listed)
            else:
                below = _below(ordered, ask.prefix)
                found = {key: listed[key] for key in below if ask.covers(key)}
            before = topic.known or {}
            for key, version in ours.items():
                if ask.covers(key):
                    _note(found, key, version)
            changes: dict[str, ETag | None] = {
                key: etag for key, etag in found.items() if before.get(key) != etag
            }
            changes.update((key, None) for key in sorted(before.keys() - found.keys()))
            first, topic.known, topic.asked = topic.known is None, found, began
            if changes or first:
                for watch in topic.watches:
                    watch.tell(changes, before)


def _within(topic: _Topic) -> str | None:
    return next((it.within for it in topic.watches if it.within is not None), None)


def _note(known: dict[str, ETag], key: str, etag: ETag | None) -> None:
    if etag is None:
        known.pop(key, None)
    else:
        known[key] = etag


def _below(ordered: list[str], prefix: str) -> Iterator[str]:
    for index in range(bisect_left(ordered, prefix), len(ordered)):
        if not ordered[index].startswith(prefix):
            return
        yield ordered[index]
