"""A deterministic scheduler: an act of one mount, and all that may come between its requests.

A world (`World`) says how things may have begun, what mounts do, and what must hold. `explore`
plays every schedule of some: each act, each act of another mount in each gap between its requests,
each write of it that is lost, late or refused, and each request at which its mount dies. What is
violated is told by the smallest schedule that violates it.

What is explored, with what in the gaps:

| acts                                | lost, late | crash | others in every gap              |
|-------------------------------------|------------|-------|----------------------------------|
| steps: claim, finish, give back,    | yes        | yes   | the same, of another agent and   |
| reopen, annotate, renew, hold       |            |       | of the same; run out leases      |
| ready: take and keep, take and die  | yes        | yes   | claim, finish, give back, take   |
| after: set, add                     | yes        | yes   | the same                         |
| locks: take, hold, give back, renew | yes        | yes   | the same; run out leases         |
| memory: set, append, create, delete | yes        | yes   | the same                         |
| files: add, replace, rename, remove | yes        | yes   | the same                         |
| mail: send, by the outbox too       | yes        | yes   | read, send                       |
| unread: read and mark               | yes        | yes   | the same by another mount; mail  |
| mirror: flush, merge, take over     | yes        | yes   | test_mirroring_exploration.py    |
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import count, product
from pathlib import Path
from random import Random
from typing import ClassVar, Final, NamedTuple, Protocol, final

import trio

from tcfs.project import Project
from tcfs.stores import Capabilities
from tcfs.wire.ids import AgentId
from tests.memory_store import ALL, Fault, MemoryStore
from tests.project.parties import A, B, mounted

SHRINKS: Final = 200  # schedules that are tried to find a smaller one


class World(Protocol):
    """How things may begin, what mounts do, and what must hold. `store` is nobody's client."""

    store: MemoryStore
    leases: ClassVar[tuple[int, int]]

    async def begin(self, start: str, one: Project, two: Project) -> None:
        """Make how it begins."""

    async def act(self, mount: Project, name: str) -> None:
        """Do one act, and keep book of what its agent is told."""

    def check(self, when: str) -> None:
        """See that all holds that must hold at every moment."""

    def died(self, mount: Project, again: Project) -> None:
        """A mount was killed in its act, and is made again."""

    async def settle(self, one: Project, two: Project, *, last: bool) -> None:
        """Let what is to come come; then everything must be right, and usable."""


Make = Callable[[MemoryStore], World]


class Fate(NamedTuple):
    """What happens to which write of the first, and when it is delivered if it is late."""

    write: int
    fault: Fault
    delivery: str = "end"  # or "before B", "after B", "last"


class Crash(NamedTuple):
    """At which request of the first its mount dies: before it, or when it was done."""

    request: int
    done: bool


@final
@dataclass(frozen=True, slots=True)
class Schedule:
    """What is done, and what comes between."""

    start: str
    first: str
    second: str | None = None
    gap: int | None = None  # before which request of the first the second acts; None: after all
    fate: Fate | None = None
    crash: Crash | None = None
    agent: AgentId = B  # of the second mount
    capabilities: Capabilities = ALL

    @property
    def size(self) -> tuple[int, ...]:
        """Fewer interruptions first, then earlier ones."""
        parts = [self.gap, self.fate and self.fate.write, self.crash and self.crash.request]
        interruptions = [it for it in parts if it is not None]
        return len(interruptions), self.second is not None, sum(interruptions)

    def __str__(self) -> str:
        lines = [f"it begins: {self.start}", f"the first: {self.first}"]
        if self.fate is not None:
            number, fault, delivery = self.fate
            lines.append(f"its write {number}: {fault.name.lower()}, delivered: {delivery}")
        if self.crash is not None:
            how = "was done" if self.crash.done else "is made"
            lines.append(f"it dies: when its request {self.crash.request} {how}")
        if self.second is not None:
            when = "afterwards" if self.gap is None else f"before its request {self.gap}"
            lines.append(f"the second, {self.agent}: {self.second}, {when}")
        return "\n".join(lines)

    def smaller(self) -> Iterator["Schedule"]:
        """Yield schedules with less in them, or the same earlier."""
        if self.fate is not None:
            yield replace(self, fate=None)
        if self.crash is not None:
            yield replace(self, crash=None)
        if self.second is not None:
            yield replace(self, second=None, gap=None)
        if self.gap is not None:
            yield replace(self, gap=None)
            yield from (replace(self, gap=it) for it in range(self.gap))
        if self.crash is not None:
            before = range(self.crash.request)
            yield from (replace(self, crash=Crash(it, False)) for it in before)
        if self.fate is not None:
            for write in range(self.fate.write):
                yield replace(self, fate=self.fate._replace(write=write))


@final
@dataclass
class _Play:
    """One schedule under way."""

    schedule: Schedule
    world: World
    store: MemoryStore
    asked: list[str] = field(default_factory=list)
    acted: bool = False
    died: bool = False
    writes: int = 0
    life: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self, state: Path) -> bool:
        """Return whether the first came to where it was to be interrupted."""
        schedule, world = self.schedule, self.world
        ours, theirs = world.leases
        async with AsyncExitStack() as stack:
            other = self.store.other()
            two = await stack.enter_async_context(
                mounted(other, state / "b", schedule.agent, theirs)
            )
            with self.life:
                async with mounted(self.store, state / "a", A, ours) as one:
                    await world.begin(schedule.start, one, two)
                    await self._act(one, two)
                    if not self.died:
                        await self._second(two)
                        world.check("after both")
                        await world.settle(one, two, last=self._delivery == "last")
            if self.died:
                self.store.each = None
                self.store._scripts.clear()
                again = await stack.enter_async_context(
                    mounted(self.store.other(), state / "a", A, ours)
                )
                world.died(one, again)
                await self._second(two)
                await world.settle(again, two, last=self._delivery == "last")
        reached = self.died if schedule.crash is not None else True
        return reached and (schedule.gap is None or len(self.asked) > schedule.gap)

    async def _act(self, one: Project, two: Project) -> None:
        store, schedule = self.store, self.schedule

        async def each(number: int, verb: str, key: str) -> None:
            at = len(self.asked)
            self.asked.append(f"{verb} {key}")
            if at == schedule.gap:
                await self._second(two)
            fate = schedule.fate
            if verb in ("PUT", "DELETE"):
                if fate is not None and self.writes == fate.write:
                    store.fail(key, fate.fault, verb=verb)
                self.writes += 1
            if schedule.crash is not None and at == schedule.crash.request:
                (store.after if schedule.crash.done else store.before)(verb, key, self._die)

        store.each = each
        await self.world.act(one, schedule.first)
        store.each = None
        store._scripts.clear()

    async def _die(self) -> None:
        self.died = True
        self.life.cancel()

    async def _second(self, two: Project) -> None:
        if self.acted or self.schedule.second is None:
            return
        self.acted = True
        if self._delivery == "before B":
            self.store.deliver()
        await self.world.act(two, self.schedule.second)
        if self._delivery == "after B":
            self.store.deliver()

    @property
    def _delivery(self) -> str | None:
        return self.schedule.fate and self.schedule.fate.delivery


async def play(make: Make, schedule: Schedule, state: Path) -> bool:
    """Play one schedule; return whether the first came to where it was to be interrupted."""
    store = MemoryStore(schedule.capabilities)
    world = make(store.other())
    play = _Play(schedule, world, store)
    try:
        return await play.run(state)
    except Exception as error:
        violated = _innermost(error)
        violated.add_note("\n".join(f"  {at}: {it}" for at, it in enumerate(play.asked)))
        raise violated from None


async def explore(
    directory: Path,
    make: Make,
    start: str,
    *,
    firsts: Sequence[str],
    seconds: Sequence[str | None] = (None,),
    fates: Sequence[Fate | None] = (None,),
    crashes: bool = False,
    agent: AgentId = B,
    capabilities: Capabilities = ALL,
    most: int | None = None,
) -> int:
    """Play every schedule of these; return how many there were.

    With `most`, only of so many triples of acts and a fate: always the same ones, by a seed. All
    are for the long run (tests/faults).

    With `crashes` the first dies at each of its requests, and the second acts before it is back;
    else the second acts in each gap of the first.
    """
    played = 0
    triples = list(product(firsts, seconds, fates))
    if most is not None:
        triples = Random(len(triples)).sample(triples, min(most, len(triples)))
    for first, second, fate in triples:
        base = Schedule(start, first, second, None, fate, None, agent, capabilities)
        reached = True
        for at in count():
            for schedule in _interrupted(base, at, crashes):
                reached = await _played(make, schedule, directory / str(played))
                played += 1
            if not reached or (second is None and not crashes):
                break
    return played


def _interrupted(base: Schedule, at: int, crashes: bool) -> Iterator[Schedule]:
    if crashes:
        yield from (replace(base, crash=Crash(at, done)) for done in (False, True))
    elif base.second is None:
        yield base
    else:
        yield replace(base, gap=at)


def _innermost(error: BaseException) -> BaseException:
    """Return what went wrong, out of the groups that nurseries make of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _played(make: Make, schedule: Schedule, state: Path) -> bool:
    try:
        return await play(make, schedule, state)
    except Exception as error:
        smallest, why = await shrunk(make, schedule, error, state)
        why.add_note(f"the smallest schedule that violates something:\n{smallest}")
        raise why from None


async def shrunk(
    make: Make, schedule: Schedule, error: Exception, state: Path
) -> tuple[Schedule, Exception]:
    """Return the smallest schedule found that violates something as well, and what it violates."""
    tried = count()
    smaller = schedule.smaller()
    while (candidate := next(smaller, None)) is not None:
        number = next(tried)
        if number == SHRINKS:
            break
        if candidate.size >= schedule.size:
            continue
        try:
            await play(make, candidate, state.with_name(f"{state.name}-{number}"))
        except Exception as violated:
            schedule, error = candidate, violated
            smaller = schedule.smaller()
    return schedule, error
