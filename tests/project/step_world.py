"""A step, as two mounts act on it: what they were told, and what must then hold."""

from dataclasses import dataclass, field
from typing import ClassVar

import trio

from tcfs.project import Project
from tcfs.project.errors import NothingLeft, Refused
from tcfs.project.steps import Tenure
from tcfs.stores import OutcomeUnknown, StoreError
from tcfs.stores.deadline import within
from tcfs.wire.ids import AgentId
from tests.memory_store import MemoryStore
from tests.project.parties import (
    CLAIM,
    COMPLETE,
    IN_PROGRESS,
    PENDING,
    STATUS,
    A,
    X,
    forget,
    place,
    state_of,
    stop,
    take,
)

ACTS = ("claim", "finish", "give back", "reopen", "annotate", "renew", "hold")
TAKES = ("take", "take and die")
STARTS = ("nothing", "held by a", "held by b", "finished by a", "given back", "half given back",
          "stale", "ran out, by b")  # fmt: skip
LEASE = 30  # seconds: of what runs out
LIMIT = 10.0  # seconds an act may take on the mock clock


@dataclass
class StepWorld:
    """What the agents were told, and so may rely on."""

    store: MemoryStore
    holder: dict[AgentId, str | None] = field(default_factory=dict)  # by the tenure they were told
    finished: AgentId | None = None
    ran_out: str | None = None  # the tenure whose holder trusts it no more
    doubt: bool = False  # somebody was told that an outcome is unknown
    generations: list[int] = field(default_factory=list)
    parting: dict[AgentId, str | None] = field(default_factory=dict)  # what is being given up
    leaving: set[str | None] = field(default_factory=set)  # it may be there for a while, or stay
    bound: set[AgentId] = field(default_factory=set)  # whose tenure ends with their mount
    went: set[AgentId] = field(default_factory=set)  # who waited no longer: it is given back soon
    leases: ClassVar = (900, LEASE)

    def won(self, agent: AgentId, tenure: str | None, generation: int) -> None:
        assert all(generation > it for it in self.generations), "generations only rise"
        self.generations.append(generation)
        self.holder[agent] = tenure

    def ended(self, agent: AgentId) -> None:
        """The agent itself ended what another mount of it may have claimed meanwhile."""
        now = state_of(self.store)
        if now.state is not IN_PROGRESS or now.tenure != self.holder.get(agent):
            self.holder.pop(agent, None)

    def part(self, agent: AgentId) -> None:
        """Take note that an agent begins to give up what it has."""
        self.parting[agent] = self.holder.pop(agent, None)

    def died(self, mount: Project, again: Project) -> None:
        """What it was told of is its agent's still, but what was bound to a file."""
        self.leaving.add(self.parting.get(mount.agent))
        if mount.agent in self.bound:
            self.leaving.add(self.holder.pop(mount.agent, None))

    async def begin(self, start: str, one: Project, two: Project) -> None:
        match start:
            case "held by a":
                won = await take(one.steps, A)
                self.won(A, won.claim.id, won.claim.generation)
            case "held by b":
                won = await take(two.steps, two.agent)
                self.won(two.agent, won.claim.id, won.claim.generation)
            case "ran out, by b":
                self.store.tell_time()
                await two.present()  # it knows the time
                await one.present()
                won = await take(two.steps, two.agent)
                self.ran_out = won.claim.id
                self.generations.append(1)
                stop(two)
                await trio.sleep(LEASE + 5)
            case "finished by a":
                await one.steps.set_state(X, A, COMPLETE)
                self.finished = A
                self.generations.append(1)
            case "given back":
                await take(one.steps, A)
                await one.steps.give_back(X, A)
                self.generations.append(1)
            case "half given back":
                place(self.store, CLAIM, agent="c", id="t3", nonce="n", generation=3)
                place(self.store, STATUS, status="pending", agent="c", claim="t3", generation=3)
                self.generations.append(3)
            case "stale":
                place(self.store, CLAIM, agent="c", id="t3", nonce="n", generation=3)
                place(self.store, STATUS, status="pending", agent="c", claim="t4", generation=4)
                self.generations.append(4)
        await trio.sleep(1)

    async def act(self, mount: Project, name: str) -> None:
        """Do one act, and keep book of what its agent is told."""
        agent, steps = mount.agent, mount.steps
        try:
            with within(LIMIT):
                match name:
                    case "claim":
                        won = await steps.claim(X, agent)
                        assert self.finished is None, "a finished step was taken"
                        self.won(agent, won.claim.id, won.claim.generation)
                        await steps.begin(won, None)
                    case "finish":
                        self.part(agent)
                        try:
                            await steps.set_state(X, agent, COMPLETE)
                        except StoreError:
                            self.doubt = True
                            raise
                        self.finished = agent
                        self.ended(agent)
                    case "give back":
                        self.part(agent)
                        await steps.give_back(X, agent)
                        self.ended(agent)
                    case "reopen":
                        if state_of(self.store).state is not COMPLETE:
                            return
                        was, self.finished = self.finished, None
                        try:
                            await steps.set_state(X, agent, PENDING)
                        except Refused:
                            self.finished = was
                            raise
                        self.holder.pop(agent, None)
                    case "annotate":
                        await steps.annotate(X, agent, "more\n")
                    case "renew":
                        await self._renew(mount)
                    case "hold":
                        self.bound.add(agent)
                        won = await steps.hold(X, agent)
                        if won.claim.id in (self.holder.get(agent), self.ran_out):
                            self.holder[agent] = won.claim.id
                        else:
                            assert self.finished is None, "a finished step was taken"
                            self.won(agent, won.claim.id, won.claim.generation)
                        await steps.begin(won, None)
                    case "take":
                        await mount.ready.hand_over(await self._taken(mount))
                        self.bound.discard(agent)
                    case "take and die":
                        won = await self._taken(mount)
                        self.leaving.add(self.holder.pop(agent, None))
                        mount.ready.put_back(won)
        except (Refused, NothingLeft, trio.TooSlowError):
            pass
        except OutcomeUnknown:
            self.doubt = True

    async def _taken(self, mount: Project) -> Tenure:
        self.bound.add(mount.agent)
        try:
            with trio.fail_after(LIMIT):
                won = await mount.ready.take(mount.agent)
        except trio.TooSlowError:
            self.went.add(mount.agent)
            raise
        assert self.finished is None, "a finished step was taken"
        self.won(mount.agent, won.claim.id, won.claim.generation)
        return won

    async def _renew(self, project: Project) -> None:
        holding = project.steps._context.tenures.of(CLAIM, project.agent)
        if holding is None:
            return
        try:
            await project.steps.chores.renew(holding)
        except Refused:
            now = state_of(self.store)
            assert (now.state, now.tenure) != (IN_PROGRESS, holding.id), (
                "its holder was told it lost"
            )
            raise
        if self.ran_out == holding.id:
            self.holder[project.agent] = holding.id

    def check(self, when: str) -> None:
        now = state_of(self.store)
        holders = {agent: tenure for agent, tenure in self.holder.items() if tenure}
        assert len(holders) <= 1, f"{when}: held twice, by {holders}"
        for agent, tenure in holders.items():
            assert now.state is IN_PROGRESS, f"{when}: {agent} holds what is {now}"
            assert (now.agent, now.tenure) == (agent, tenure), f"{when}: {agent} was told it won"
        if self.finished is not None:
            assert now.state is COMPLETE, f"{when}: {self.finished} finished it, it is {now}"
        if now.state is IN_PROGRESS and not self.doubt:
            told = {*holders.values(), *self.leaving, self.ran_out}
            soon = now.agent in self.went and when != "in the end"
            assert soon or now.tenure in told, f"{when}: {now} was told to nobody"

    async def settle(self, one: Project, two: Project, *, last: bool) -> None:
        """Let what is late arrive, and what is to be undone be undone: the step must be usable."""
        self.store.deliver()
        await trio.sleep(15)
        await one.steps.look(X)
        await trio.sleep(15)
        if not self.doubt:
            self.check("in the end")
        now = state_of(self.store)
        if now.state is PENDING:
            won = await take(one.steps, one.agent)
            assert state_of(self.store).tenure == won.claim.id, "pending, and cannot be claimed"
        elif now.state is IN_PROGRESS:
            mount = one if now.agent == one.agent else two
            forget(mount)
            await mount.steps.give_back(X, mount.agent)
            assert state_of(self.store).state is PENDING, "held, and cannot be given back"
