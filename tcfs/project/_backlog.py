"""All steps of a project, seen as work: which are ready, which wait for which, what is left.

Each of a step's documents is read once a version. This room neither claims nor waits.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, final

import trio

from tcfs.project._together import all_of
from tcfs.project._watch import Changes
from tcfs.project.after import after_of
from tcfs.project.steps import Context, StepSummary
from tcfs.project.steps._look import parse_claim, parse_status
from tcfs.project.steps._state import effective
from tcfs.stores import Entry, ETag, Object
from tcfs.wire import keys
from tcfs.wire.documents import Claim, State, Status
from tcfs.wire.ids import StepId

SOON: Final = 0.05  # seconds: a lease is looked at again no sooner


@final
@dataclass(slots=True)
class _Work:
    """One step. `asked` is when the newest question was put whose answer this is."""

    asked: float = -math.inf
    objects: dict[str, ETag] = field(default_factory=dict)  # by key
    modified: int = 0  # of the newest, as the last listing told
    claim: Claim | None = None
    claim_modified: int = 0
    status: Status | None = None
    after: Sequence[StepId] | None = ()  # None: nobody can read it
    state: State = State.PENDING  # lease apart

    def take(self, key: str, found: Object | None) -> None:
        """Take note of one of the documents, or that there is none."""
        if found is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = found.etag
        if key.endswith("/claim.json"):
            self.claim = parse_claim(found)
            self.claim_modified = found.modified if found else 0
        elif key.endswith("/status.json"):
            self.status = parse_status(found)
        else:
            self.after = after_of(found)

    def judge(self) -> None:
        """Tell its state by what was taken note of."""
        self.state = effective(self.claim, self.status, ran_out=False).state

    @property
    def leased(self) -> Claim | None:
        """The claim by which it is in progress, if that may run out."""
        claim = self.claim if self.state is State.IN_PROGRESS else None
        return claim if claim is not None and claim.lease is not None else None


@final
class Backlog:
    """The steps of a project. It shows what there was when it was last told to look."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._steps: dict[StepId, _Work] = {}
        self._open: set[StepId] = set()  # pending, or in progress
        self._ready: set[StepId] = set()  # pending, and all that comes first is complete
        self._leased: set[StepId] = set()  # in progress, until a lease runs out
        self._waiting: defaultdict[StepId, set[StepId]] = defaultdict(set)  # for a step, by it
        self._cycles: Sequence[Sequence[StepId]] | None = ()  # None: to be looked for

    # looking

    async def list(self) -> None:
        """Look at all of it: one listing, and the documents that are new in it.

        Raises what a listing and a get raise.
        """
        asked = trio.current_time()
        found: dict[StepId, dict[str, ETag]] = {}
        modified: dict[StepId, int] = {}
        async for page in self._context.documents.store.list(keys.STEPS):
            for entry in page:
                if (name := keys.step_of(entry.key)) is not None:
                    step = StepId(name)
                    found.setdefault(step, {})[entry.key] = entry.etag
                    modified[step] = max(modified.get(step, 0), entry.modified)
        gone: dict[StepId, dict[str, ETag]] = {it: {} for it in self._steps if it not in found}
        await self._take({**found, **gone}, asked)
        for step, newest in modified.items():
            if step in self._steps:
                self._steps[step].modified = newest

    async def change(self, changes: Changes) -> None:
        """Look at what changed; raises what a get raises."""
        asked = trio.current_time()
        wanted: dict[StepId, dict[str, ETag]] = {}
        for key, etag in changes.items():
            if (name := keys.step_of(key)) is None:
                continue
            step = StepId(name)
            known = self._steps.get(step)
            objects = wanted.setdefault(step, dict(known.objects) if known else {})
            if etag is None:
                objects.pop(key, None)
            else:
                objects[key] = etag
        await self._take(wanted, asked)

    async def refresh(self, step: StepId, *, max_age: float = 0.0) -> None:
        """Look at one step, and nothing else of it than what decides; raises what a get raises."""
        asked = trio.current_time()
        read = self._context.documents.read
        names = _documents(step)
        answers = await all_of([partial(read, it, max_age=max_age) for it in names], len(names))
        work = self._steps.get(step)
        if work is None or work.asked <= asked:
            self._put(step, work or _Work(), dict(zip(names, answers, strict=True)), asked)

    async def _take(self, wanted: Mapping[StepId, Mapping[str, ETag]], asked: float) -> None:
        """Take these for all the objects of those steps, and read the documents not known."""
        documents = self._context.documents
        new: dict[StepId, list[str]] = {}
        found: dict[str, Object] = {}
        unread: list[Entry] = []
        for step, objects in wanted.items():
            known = self._steps.get(step)
            before = known.objects if known else {}
            new[step] = [it for it in _documents(step) if objects.get(it) != before.get(it)]
            for key in new[step]:
                if (etag := objects.get(key)) is not None:
                    entry = Entry(key, etag, 0, 0)
                    if (there := documents.known(entry)) is not None:
                        found[key] = there
                    else:
                        unread.append(entry)
        if unread:
            found.update(await documents.read_many(unread))
        for step, names in new.items():
            work = self._steps.get(step) or _Work()
            if work.asked <= asked:  # else it was looked at since the question was put
                work.objects = dict(wanted[step])
                self._put(step, work, {it: found.get(it) for it in names}, asked)
        if any(it.leased for step in new if (it := self._steps.get(step))):
            await self._context.clock.ask(documents.store)  # a mount knows by its heartbeats

    def _put(
        self, step: StepId, work: _Work, found: Mapping[str, Object | None], asked: float
    ) -> None:
        before = set(work.after or ()) if step in self._steps else set()
        was_complete = self._is_complete(step)
        for key, there in found.items():
            work.take(key, there)
        work.judge()
        work.asked = asked
        if work.objects:
            self._steps[step] = work
        else:
            self._steps.pop(step, None)
        now = set(work.after or ()) if work.objects else set()
        if before != now:
            self._cycles = None
            for first in before - now:
                self._waiting[first].discard(step)
            for first in now - before:
                self._waiting[first].add(step)
        self._sort(step)
        if was_complete != self._is_complete(step):
            for other in self._waiting[step]:
                self._sort(other)

    def _sort(self, step: StepId) -> None:
        """Take note of what a step is by what is known of it, and of those that come first."""
        work = self._steps.get(step)
        state = work.state if work is not None else State.COMPLETE
        ready = state is State.PENDING and self._comes_next(step)
        leased = work is not None and work.leased is not None
        for group, belongs in (
            (self._open, not state.final), (self._ready, ready), (self._leased, leased),
        ):  # fmt: skip
            (group.add if belongs else group.discard)(step)

    # what there was

    def ready(self) -> Sequence[StepId]:
        """Return the steps that are pending and come after nothing unfinished."""
        return [*self._ready, *(it for it in self._leased if self.is_ready(it))]

    def is_ready(self, step: StepId) -> bool:
        """Tell whether a step is one of those."""
        work = self._steps.get(step)
        return work is not None and self._is_pending(work) and self._comes_next(step)

    def summary(self, step: StepId) -> StepSummary:
        """Return when the newest object of a step was written, as the last listing told."""
        return StepSummary(step, self._steps[step].modified)

    def is_done(self) -> bool:
        """Tell whether nothing is pending, and nothing in progress."""
        return not self._open

    def next_end(self) -> float:
        """Return in how many seconds the next lease runs out; infinity where none will."""
        left = [self._left(self._steps[it]) for it in self._leased]
        return min((max(SOON, it) for it in left if it is not None and it > 0), default=math.inf)

    def cycles(self) -> Sequence[Sequence[StepId]]:
        """Return the steps that wait for each other, each cycle from its first id on."""
        if self._cycles is None:
            self._cycles = _cycles({step: it.after or () for step, it in self._steps.items()})
        return [it for it in self._cycles if all(self._is_pending(self._steps[a]) for a in it)]

    def _is_pending(self, work: _Work) -> bool:
        if work.state is State.IN_PROGRESS:
            left = self._left(work)
            return left is not None and left <= 0
        return work.state is State.PENDING

    def _comes_next(self, step: StepId) -> bool:
        after = self._steps[step].after
        return after is not None and all(self._is_complete(it) for it in after)

    def _is_complete(self, step: StepId) -> bool:
        work = self._steps.get(step)
        return work is not None and work.state is State.COMPLETE

    def _left(self, work: _Work) -> float | None:
        claim = work.leased
        return self._context.tenures.left(claim, work.claim_modified) if claim else None


def _documents(step: StepId) -> Sequence[str]:
    return (keys.claim(step), keys.status(step), keys.after(step))


def _cycles(after: Mapping[StepId, Sequence[StepId]]) -> Sequence[Sequence[StepId]]:
    """Return a cycle of each knot of steps that wait for each other; by depth first search."""
    found: dict[tuple[StepId, ...], None] = {}
    done: set[StepId] = set()
    for start in sorted(after):
        way: list[StepId] = []
        on_the_way: set[StepId] = set()
        rests = [iter((start,))]
        while rests:
            step = next(rests[-1], None)
            if step is None:
                rests.pop()
                if way:
                    done.add(way[-1])
                    on_the_way.discard(way.pop())
            elif step in on_the_way:
                cycle = way[way.index(step) :]
                first = cycle.index(min(cycle))
                found[(*cycle[first:], *cycle[:first])] = None
            elif step not in done and step in after:
                way.append(step)
                on_the_way.add(step)
                rests.append(iter(after[step]))
    return [list(it) for it in found]
