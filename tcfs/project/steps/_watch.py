"""Steps as they are, for all who wait for them: read once a change, however many they are."""

import logging
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Final, final

import trio

from tcfs.project._apart import start_apart
from tcfs.project._watch import TICK, Watcher
from tcfs.project.steps._context import Context
from tcfs.project.steps._look import Look
from tcfs.stores import ETag, StoreError
from tcfs.stores.deadline import DEFAULT, within
from tcfs.wire import keys
from tcfs.wire.ids import StepId

log: Final = logging.getLogger(__name__)


@final
@dataclass(slots=True)
class _Topic:
    """A step somebody waits for. `latest` is shared by all who do."""

    waiters: int = 0
    latest: Look | None = None
    event: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


@final
class StepWatcher:
    """Gives those who wait for a step every new look at it."""

    def __init__(self, context: Context, watcher: Watcher, nursery: trio.Nursery) -> None:
        self._context = context
        self._watcher = watcher
        self._nursery = nursery
        self._topics: dict[StepId, _Topic] = {}

    async def looks(self, step: StepId) -> AsyncGenerator[Look, None]:
        """Yield the step as it is, at once and after every change, for as long as it is asked.

        Errors of the store are waited out: who waits for a step waits for the store as well.
        """
        topic = self._topics.get(step)
        if topic is None:
            topic = self._topics[step] = _Topic()
            start_apart(self._nursery, self._follow, step, topic)
        topic.waiters += 1
        try:
            while True:
                changed = topic.event
                if topic.latest is not None:
                    yield topic.latest
                await changed.wait()
        finally:
            topic.waiters -= 1
            if not topic.waiters:
                topic.scope.cancel()
                if self._topics.get(step) is topic:
                    del self._topics[step]

    async def _follow(self, step: StepId, topic: _Topic) -> None:
        with topic.scope, self._watcher.watch(keys.step(step), within=keys.STEPS) as watch:
            while True:
                try:
                    await self._refresh(step, topic)
                except Exception as error:
                    bug = not isinstance(error, StoreError)
                    log.warning("waiting for steps/%s: %s", step, error, exc_info=bug)
                    await trio.sleep(TICK)
                    continue
                await watch.changes()
                while topic.latest is not None and _shows(topic.latest, step, watch.known):
                    await watch.changes()

    async def _refresh(self, step: StepId, topic: _Topic) -> None:
        with within(DEFAULT):
            topic.latest = await self._context.look(step)
        event, topic.event = topic.event, trio.Event()
        event.set()


def _shows(seen: Look, step: StepId, known: Mapping[str, ETag] | None) -> bool:
    """Tell whether a look is at the very versions that are there by now."""
    return known is not None and (seen.claim_etag, seen.status_etag) == (
        known.get(keys.claim(step)),
        known.get(keys.status(step)),
    )
