"""The one watcher of a mount: it asks the bucket only while somebody waits."""

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final, final

import trio

from tcfs.project._apart import start_apart
from tcfs.project._documents import Documents
from tcfs.project.steps._look import Look, look
from tcfs.stores import ETag, StoreError
from tcfs.stores.deadline import DEFAULT, within
from tcfs.wire import keys
from tcfs.wire.ids import StepId

log: Final = logging.getLogger(__name__)
TICK: Final = 1.0  # seconds: architecture.md, freshness


@final
@dataclass(slots=True)
class _Topic:
    """A step somebody waits for. `latest` is shared by all who do, however many."""

    waiters: int = 0
    latest: Look | None = None
    asked: float = float("-inf")  # trio time at which `latest` was asked for
    event: trio.Event = field(default_factory=trio.Event)
    stale: bool = False  # something changed while a look was under way
    looking: bool = False


@final
class Watcher:
    """Tells waiters of changes: at once of this mount's own, within a tick of others'."""

    def __init__(self, documents: Documents, nursery: trio.Nursery) -> None:
        self._documents = documents
        self._nursery = nursery
        self._topics: dict[StepId, _Topic] = {}
        self._ticking = False

    async def looks(self, step: StepId) -> AsyncGenerator[Look, None]:
        """Yield the step as it is, at once and after every change, for as long as it is asked.

        Errors of the store are waited out: who waits for a step waits for the store as well.
        """
        topic = self._topics.setdefault(step, _Topic())
        topic.waiters += 1
        try:
            if trio.current_time() - topic.asked > TICK:
                await self._refresh(step, topic)
            if not self._ticking:
                self._ticking = True
                start_apart(self._nursery, self._tick)
            while True:
                changed = topic.event
                if topic.latest is not None:
                    yield topic.latest
                await changed.wait()
        finally:
            topic.waiters -= 1
            if not topic.waiters:
                self._topics.pop(step, None)

    def changed(self, step: StepId) -> None:
        """Take note of a change that this mount made."""
        topic = self._topics.get(step)
        if topic is not None:
            start_apart(self._nursery, self._refresh, step, topic)

    async def _refresh(self, step: StepId, topic: _Topic) -> None:
        if topic.looking:
            topic.stale = True
            return
        topic.looking = True
        try:
            topic.stale = True
            while topic.stale:
                topic.stale = False
                topic.asked = trio.current_time()
                with within(DEFAULT):
                    topic.latest = await look(self._documents, step)
        except StoreError as error:
            log.warning("waiting for steps/%s: %s", step, error)
        finally:
            topic.looking = False
        event, topic.event = topic.event, trio.Event()
        event.set()

    async def _tick(self) -> None:
        pages = 1  # of a listing of all steps, as far as is known
        try:
            while self._topics:
                await trio.sleep(TICK)
                topics = dict(self._topics)
                prefixes = [keys.step(step) for step in topics]
                if len(prefixes) > pages:
                    prefixes = [keys.STEPS]
                try:
                    with within(DEFAULT):
                        etags, pages_read = await self._listed(prefixes)
                except StoreError as error:
                    log.warning("waiting for %d steps: %s", len(topics), error)
                    continue
                if prefixes == [keys.STEPS]:
                    pages = pages_read
                for step, topic in topics.items():
                    now = (etags.get(keys.claim(step)), etags.get(keys.status(step)))
                    seen = topic.latest
                    if seen is None or now != (seen.claim_etag, seen.status_etag):
                        self._nursery.start_soon(self._refresh, step, topic)
        finally:
            self._ticking = False

    async def _listed(self, prefixes: list[str]) -> tuple[dict[str, ETag], int]:
        etags: dict[str, ETag] = {}
        pages = 0
        for prefix in prefixes:
            async for page in self._documents.store.list(prefix):
                pages += 1
                etags.update((entry.key, entry.etag) for entry in page)
        return etags, pages
