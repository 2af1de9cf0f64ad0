"""The real code, explored: act B of another mount in every gap of act A, with faults and without.

One act runs whole between two requests of another, for every gap, every pair of acts, every way a
step may have begun, and every write of A that may go wrong. What must hold is what the model of
the protocol was checked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pytest
import trio

from tcfs.project import Project
from tcfs.project.errors import Refused
from tcfs.stores import Capabilities, OutcomeUnknown, StoreError
from tcfs.stores.deadline import within
from tcfs.wire.ids import AgentId
from tests.memory_store import ALL, NO_DELETE, Fault, MemoryStore
from tests.project.parties import (
    CLAIM,
    COMPLETE,
    IN_PROGRESS,
    PENDING,
    STATUS,
    A,
    B,
    X,
    forget,
    mounted,
    place,
    state_of,
    stop,
    take,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")

ACTS = ("claim", "finish", "give back", "reopen", "annotate", "renew", "hold")
LEASE = 30  # seconds: of what runs out
LIMIT = 10.0  # seconds an act may take on the mock clock


@dataclass
class World:
    """What the agents were told, and so may rely on."""

    store: MemoryStore
    holder: dict[AgentId, str | None] = field(default_factory=dict)  # by the tenure they were told
    finished: AgentId | None = None
    ran_out: str | None = None  # the tenure whose holder trusts it no more
    doubt: bool = False  # somebody was told that an outcome is unknown
    generations: list[int] = field(default_factory=list)

    def won(self, agent: AgentId, tenure: str | None, generation: int) -> None:
        assert all(generation > it for it in self.generations), "generations only rise"
        self.generations.append(generation)
        self.holder[agent] = tenure

    def ended(self, agent: AgentId) -> None:
        """The agent itself ended what another mount of it may have claimed meanwhile."""
        now = state_of(self.store)
        if now.state is not IN_PROGRESS or now.tenure != self.holder.get(agent):
            self.holder.pop(agent, None)


async def act(world: World, project: Project, name: str) -> None:
    """Do one act, and keep book of what its agent is told."""
    agent, steps = project.agent, project.steps
    try:
        with within(LIMIT):
            match name:
                case "claim":
                    won = await steps.claim(X, agent)
                    assert world.finished is None, "a finished step was taken"
                    world.won(agent, won.claim.id, won.claim.generation)
                    await steps.begin(won, None)
                case "finish":
                    world.holder.pop(agent, None)
                    try:
                        await steps.set_state(X, agent, COMPLETE)
                    except StoreError:
                        world.doubt = True
                        raise
                    world.finished = agent
                    world.ended(agent)
                case "give back":
                    world.holder.pop(agent, None)
                    await steps.give_back(X, agent)
                    world.ended(agent)
                case "reopen":
                    if state_of(world.store).state is not COMPLETE:
                        return
                    was, world.finished = world.finished, None
                    try:
                        await steps.set_state(X, agent, PENDING)
                    except Refused:
                        world.finished = was
                        raise
                    world.holder.pop(agent, None)
                case "annotate":
                    await steps.annotate(X, agent, "more\n")
                case "renew":
                    await renew(world, project)
                case "hold":
                    won = await steps.hold(X, agent)
                    if won.claim.id in (world.holder.get(agent), world.ran_out):
                        world.holder[agent] = won.claim.id
                    else:
                        assert world.finished is None, "a finished step was taken"
                        world.won(agent, won.claim.id, won.claim.generation)
                    await steps.begin(won, None)
    except Refused:
        pass
    except OutcomeUnknown:
        world.doubt = True


async def renew(world: World, project: Project) -> None:
    holding = project.steps._context.tenures.of(CLAIM, project.agent)
    if holding is None:
        return
    try:
        await project.steps.chores.renew(holding)
    except Refused:
        now = state_of(world.store)
        assert (now.state, now.tenure) != (IN_PROGRESS, holding.id), "its holder was told it lost"
        raise
    if world.ran_out == holding.id:
        world.holder[project.agent] = holding.id


def check(world: World, when: str) -> None:
    now = state_of(world.store)
    holders = {agent: tenure for agent, tenure in world.holder.items() if tenure}
    assert len(holders) <= 1, f"{when}: held twice, by {holders}"
    for agent, tenure in holders.items():
        assert now.state is IN_PROGRESS, f"{when}: {agent} holds what is {now}"
        assert (now.agent, now.tenure) == (agent, tenure), f"{when}: {agent} was told it won"
    if world.finished is not None:
        assert now.state is COMPLETE, f"{when}: {world.finished} finished it, it is {now}"
    if now.state is IN_PROGRESS and not world.doubt:
        told = {*holders.values(), world.ran_out}
        assert now.tenure in told, f"{when}: {now} was told to nobody"


async def settle(world: World, one: Project, two: Project) -> None:
    """Let what is late arrive, and what is to be undone be undone; then the step must be usable."""
    world.store.deliver()
    await trio.sleep(15)
    await one.steps.look(X)
    await trio.sleep(15)
    if not world.doubt:
        check(world, "in the end")
    now = state_of(world.store)
    if now.state is PENDING:
        won = await take(one.steps, one.agent)
        assert state_of(world.store).tenure == won.claim.id, "pending, and cannot be claimed"
    elif now.state is IN_PROGRESS:
        mount = one if now.agent == one.agent else two
        forget(mount)
        await mount.steps.give_back(X, mount.agent)
        assert state_of(world.store).state is PENDING, "held, and cannot be given back"


async def begin(world: World, start: str, one: Project, two: Project) -> None:
    match start:
        case "held by a":
            won = await take(one.steps, A)
            world.won(A, won.claim.id, won.claim.generation)
        case "held by b":
            won = await take(two.steps, two.agent)
            world.won(two.agent, won.claim.id, won.claim.generation)
        case "ran out, by b":
            world.store.tell_time()
            await two.present()  # it knows the time
            await one.present()
            won = await take(two.steps, two.agent)
            world.ran_out = won.claim.id
            world.generations.append(1)
            stop(two)
            await trio.sleep(LEASE + 5)
        case "finished by a":
            await one.steps.set_state(X, A, COMPLETE)
            world.finished = A
            world.generations.append(1)
        case "given back":
            await take(one.steps, A)
            await one.steps.give_back(X, A)
            world.generations.append(1)
        case "half given back":
            place(world.store, CLAIM, agent="c", id="t3", nonce="n", generation=3)
            place(world.store, STATUS, status="pending", agent="c", claim="t3", generation=3)
            world.generations.append(3)
        case "stale":
            place(world.store, CLAIM, agent="c", id="t3", nonce="n", generation=3)
            place(world.store, STATUS, status="pending", agent="c", claim="t4", generation=4)
            world.generations.append(4)
    await trio.sleep(1)


STARTS = ("nothing", "held by a", "held by b", "finished by a", "given back", "half given back",
          "stale", "ran out, by b")  # fmt: skip
Fate = tuple[int, Fault, str]  # which write of A, what happens to it, and when it is delivered


FATES: list[Fate | None] = [
    (number, fault, delivery)
    for number in range(3)
    for fault, delivery in (
        (Fault.ANSWER_LOST, "end"),
        (Fault.DELAYED, "after B"),
        (Fault.DELAYED, "end"),
    )
]


async def scenario(
    state: Path, capabilities: Capabilities, start: str, first: str, second: str, gap: int,
    fate: Fate | None, agent: AgentId,
) -> bool:  # fmt: skip
    """Run one; return whether A has such a gap."""
    store = MemoryStore(capabilities)
    other = store.other()
    world = World(other)
    reached = False
    writes = 0
    async with (
        mounted(store, state / "a", A) as one,
        mounted(other, state / "b", agent, LEASE) as two,
    ):
        await begin(world, start, one, two)
        before = len(store.requests)

        async def each(number: int, verb: str, key: str) -> None:
            nonlocal reached, writes
            if number - before == gap:
                reached = True
                await intrude()
            if verb in ("PUT", "DELETE"):
                if fate is not None and writes == fate[0]:
                    store.fail(key, fate[1], verb=verb)
                writes += 1

        async def intrude() -> None:
            if fate is not None and fate[2] == "before B":
                store.deliver()
            await act(world, two, second)
            if fate is not None and fate[2] == "after B":
                store.deliver()

        store.each = each
        await act(world, one, first)
        store.each = None
        store._scripts.clear()
        if not reached:
            await intrude()
        if not world.doubt:
            check(world, "after both")
        await settle(world, one, two)
    return reached


async def explore(
    tmp_path: Path,
    start: str,
    *,
    capabilities: Capabilities = ALL,
    agent: AgentId = B,
    firsts: Sequence[str] = ACTS,
    seconds: Sequence[str] = ACTS,
    wanted: Sequence[Fate | None] = (None,),
) -> int:
    ran = 0
    for first, second, fate in product(firsts, seconds, wanted):
        gap = 0
        while True:
            where = f"{start}: {first}; in gap {gap} {second} by {agent}; {fate}"
            state = tmp_path / str(ran)
            try:
                more = await scenario(state, capabilities, start, first, second, gap, fate, agent)
            except BaseException as error:
                error.add_note(where)
                raise
            ran += 1
            gap += 1
            if not more:
                break
    return ran


@pytest.mark.parametrize("start", STARTS)
async def test_one_act_in_every_gap_of_another(tmp_path: Path, start: str) -> None:
    assert await explore(tmp_path, start) > 60


@pytest.mark.parametrize("start", STARTS)
async def test_one_act_in_every_gap_of_another_without_conditional_delete(
    tmp_path: Path, start: str
) -> None:
    assert await explore(tmp_path, start, capabilities=NO_DELETE) > 60


@pytest.mark.parametrize("start", ["nothing", "held by a", "given back", "half given back"])
async def test_two_mounts_of_one_agent_in_every_gap_of_each_other(
    tmp_path: Path, start: str
) -> None:
    assert await explore(tmp_path, start, agent=A, seconds=ACTS[:3]) > 40


@pytest.mark.parametrize("first", ACTS)
@pytest.mark.parametrize("start", ["nothing", "held by a", "half given back", "stale"])
async def test_lost_and_late_writes_with_another_act_in_every_gap(
    tmp_path: Path, start: str, first: str
) -> None:
    seconds = ("claim", "finish", "give back")
    ran = await explore(tmp_path, start, firsts=[first], seconds=seconds, wanted=FATES)
    assert ran >= len(seconds) * len(FATES)
