"""What changes in the bucket, for all who follow it (tree.md, `.tcfs/events`).

One task follows for all of them, and only while there are any: a tick of the watcher is one listing
of the project. It reads what it needs to tell the state of a step, and whether an agent's document
says more than that the agent is still there. Knows keys, and no paths.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final, NamedTuple, final

import trio

from tcfs.project._apart import start_apart, survived
from tcfs.project._beats import Beats, is_agent, is_claim, is_lock
from tcfs.project._clock import Clock
from tcfs.project._documents import Documents
from tcfs.project._watch import Told, Watch, Watcher
from tcfs.project.steps import effective
from tcfs.project.steps._look import parse_claim, parse_status
from tcfs.project.steps._state import Effective
from tcfs.stores import Entry, ETag, Object, StoreError
from tcfs.stores.deadline import DEFAULT, within
from tcfs.wire import keys
from tcfs.wire.documents import Agent, Claim
from tcfs.wire.ids import StepId
from tcfs.wire.locks import Lock

log: Final = logging.getLogger(__name__)
KEPT: Final = 10_000  # events that a follower may be behind
STEPS_AT_ONCE: Final = 64  # steps whose state is read; where more changed at once, none is
OURS: Final = ".tcfs/"  # where a store is tried out

RanOut = Callable[[Claim | None, int], bool]


@final
class What(Enum):
    """What happened to an object."""

    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"


@final
@dataclass(frozen=True, slots=True)
class Event:
    """An object that changed, and when that was seen here.

    `state` is what its step, or its agent, is in by then. `agent` holds or finished the step, has
    the lock, or sent the message. Both are None where nothing at hand tells.
    """

    time: str
    what: What
    key: str
    state: str | None = None
    agent: str | None = None


@final
class Follower:
    """One who follows, and what it has not taken yet: the latest of that, if it is too much."""

    __slots__ = ("_dropped", "_events", "_some")

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._dropped = 0
        self._some = trio.Event()

    def __len__(self) -> int:
        return len(self._events)

    async def some(self) -> None:
        """Wait until there is something to take."""
        await self._some.wait()

    def take(self, most: int) -> tuple[int, Sequence[Event]]:
        """Return how many events were dropped, and at most so many of those after."""
        dropped, self._dropped = self._dropped, 0
        taken = [self._events.popleft() for _ in range(min(most, len(self._events)))]
        if not self._events:
            self._some = trio.Event()
        return dropped, taken

    def tell(self, events: Sequence[Event]) -> None:
        """Take note of what happened."""
        self._events.extend(events)
        while len(self._events) > KEPT:
            self._events.popleft()
            self._dropped += 1
        if self._events:
            self._some.set()


class _Seen(NamedTuple):
    state: str | None = None
    agent: str | None = None
    beat: bool = False  # all that changed is that it is still there


@final
class Events:
    """Tells what changes in a project to all who follow."""

    def __init__(
        self,
        watcher: Watcher,
        documents: Documents,
        clock: Clock,
        ran_out: RanOut,
        nursery: trio.Nursery,
    ) -> None:
        self._watcher = watcher
        self._documents = documents
        self._clock = clock
        self._ran_out = ran_out
        self._nursery = nursery
        self._followers: set[Follower] = set()
        self._scope: trio.CancelScope | None = None  # of the task, while there is one
        self._turn = trio.Lock()
        self._beats = Beats()

    async def follow(self) -> Follower:
        """Return one who is told whatever changes from when this returns; then call `leave`.

        It may be told of what changed up to a tick before as well, where somebody follows already.
        Raises what a listing or a get raises.
        """
        async with self._turn:
            if self._scope is None:
                with ExitStack() as stack:
                    watch = stack.enter_context(self._watcher.watch(""))
                    await watch.begin()
                    await self._learn(watch.known or {})
                    self._scope = trio.CancelScope()
                    start_apart(self._nursery, self._run, watch, self._scope, stack.pop_all())
            follower = Follower()
            self._followers.add(follower)
            return follower

    def leave(self, follower: Follower) -> None:
        """Take note that nobody reads what this one is told; the last one ends it all."""
        self._followers.discard(follower)
        if not self._followers and self._scope is not None:
            self._scope.cancel()
            self._scope = None

    async def _run(self, watch: Watch, scope: trio.CancelScope, watching: ExitStack) -> None:
        with watching, scope:
            while True:
                await survived(partial(self._tell, await watch.told(), watch))

    async def _tell(self, told: Told, watch: Watch) -> None:
        events = await self._events(told, watch.known or {})
        for follower in self._followers:
            follower.tell(events)

    async def _learn(self, known: Mapping[str, ETag]) -> None:
        """Read the agents' documents: what the next one says that they did not is an event."""
        self._beats.clear()
        agents = [key for key in known if is_agent(key)]
        found = await self._documents.read_many(_entry(key, known[key]) for key in agents)
        for key, etag in known.items():
            if is_agent(key):
                self._beats.is_beat(key, found.get(key))
            elif is_claim(key) or is_lock(key):
                # One that nobody here has read yet is told of once for nothing: reading all of
                # them would be a request each.
                self._beats.is_beat(key, self._documents.known(_entry(key, etag)))

    async def _events(self, told: Told, known: Mapping[str, ETag]) -> list[Event]:
        changes = {
            key: _what(told, key)
            for key, etag in told.changes.items()
            if not _is_bookkeeping(key) and (etag is not None or key not in told.new)
        }
        now = self._clock.iso()
        seen = await self._seen(changes, known) if changes else {}
        return [
            Event(now, what, key, it.state, it.agent)
            for key, what in changes.items()
            for it in [seen.get(key) or _Seen(agent=_sender(key))]
            if not (it.beat and what is What.CHANGED)
        ]

    async def _seen(
        self, changes: Mapping[str, What], known: Mapping[str, ETag]
    ) -> dict[str, _Seen]:
        """Read the agents, steps and locks that changed; where the store is away, say nothing.

        A document that was read or written here costs no request.
        """
        states = {key: StepId(step) for key in changes if (step := _step_of_state(key))}
        others = [key for key in changes if is_agent(key) or is_lock(key)]
        steps = set(states.values())
        if len(steps) > STEPS_AT_ONCE:
            states, steps = {}, set()
        wanted = [key for step in steps for key in (keys.claim(step), keys.status(step))] + others
        try:
            with within(DEFAULT):
                found = await self._documents.read_many(
                    _entry(key, known[key]) for key in wanted if key in known
                )
        except StoreError as error:
            log.warning("what changed is told without its state: %s", error)
            return {}
        judged = {step: self._effective(step, found) for step in steps}
        seen = {key: self._of_step(key, judged[step], found) for key, step in states.items()}
        return seen | {key: self._of_other(key, found) for key in others}

    def _of_step(self, key: str, now: Effective, found: Mapping[str, Object]) -> _Seen:
        beat = is_claim(key) and self._beats.is_beat(key, found.get(key))
        return _Seen(now.state.value, now.agent, beat)

    def _of_other(self, key: str, found: Mapping[str, Object]) -> _Seen:
        beat = self._beats.is_beat(key, found.get(key))
        match self._beats.said(key):
            case Agent(status=status):
                return _Seen(status, None, beat)
            case Lock(agent=agent):
                return _Seen(None, agent, beat)
        return _Seen(None, None, beat)

    def _effective(self, step: StepId, found: Mapping[str, Object]) -> Effective:
        at = found.get(keys.claim(step))
        claim, status = parse_claim(at), parse_status(found.get(keys.status(step)))
        return effective(claim, status, ran_out=self._ran_out(claim, at.modified if at else 0))


def _what(told: Told, key: str) -> What:
    if told.changes[key] is None:
        return What.REMOVED
    return What.CREATED if key in told.new else What.CHANGED


def _entry(key: str, etag: ETag) -> Entry:
    return Entry(key, etag, 0, 0)


def _step_of_state(key: str) -> str | None:
    """Return the step of a claim or a status, None for another object."""
    return keys.step_of(key) if is_claim(key) or key.endswith("/status.json") else None


def _is_bookkeeping(key: str) -> bool:
    """Tell whether an object is there for another's sake: a value's version, a read mark."""
    if key.startswith(keys.MESSAGES):
        return key.endswith("/_cursor.json")
    return key.startswith((OURS, keys.HISTORY))


def _sender(key: str) -> str | None:
    if not key.startswith(keys.MESSAGES):
        return None
    leaf = keys.append_leaf(key.rpartition("/")[2])
    return leaf.agent if leaf else None
