"""A project of a bucket, as one mount or one command acts on it."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, Self, final

import trio

import tcfs
from tcfs.project._apart import start_apart, survived
from tcfs.project._clock import Clock
from tcfs.project._conditional import Writer
from tcfs.project._cursor import Cursors
from tcfs.project._documents import Documents
from tcfs.project._journal import Journal
from tcfs.project._metrics import Metrics, show_project
from tcfs.project._spool import Spool
from tcfs.project._tenures import Tenures
from tcfs.project._unread import Unread
from tcfs.project._upkeep import Upkeep
from tcfs.project._watch import Watcher
from tcfs.project.after import Afters
from tcfs.project.agents import Agents
from tcfs.project.artifacts import Files
from tcfs.project.errors import Refused
from tcfs.project.events import Events
from tcfs.project.locks import Locks
from tcfs.project.mail import Mail
from tcfs.project.memory import Memory
from tcfs.project.mirroring import Mirrors
from tcfs.project.outbox import Outbox
from tcfs.project.ready import Ready
from tcfs.project.sessions import Sessions
from tcfs.project.steps import LEASE, Context, Steps
from tcfs.project.steps._watch import StepWatcher
from tcfs.stores import ETag, Store, StoreError, Unavailable
from tcfs.stores.deadline import DEFAULT, within
from tcfs.stores.observed import Observed
from tcfs.wire.ids import AgentId, Mailbox, fresh

log: Final = logging.getLogger(__name__)
HEARTBEAT: Final = 60.0  # seconds: tree.md, agents
COMMAND: Final = 1.0  # seconds: what a command's look-up fetched serves its open as well
FAREWELL: Final = 5.0  # seconds for signing off: an unreachable store must not hold up `umount`

Send = Callable[[Mailbox, AgentId, str, str | None], Awaitable[object]]


@final
@dataclass(frozen=True, slots=True)
class How:
    """Who opens a project, where, and whether for as long as a mount lives."""

    agent: AgentId
    host: str
    state: Path
    lease: int
    deadline: float
    lasting: bool


@final
class Project:
    """Steps, memory, mail and agents of one project, for one mount. Made by `open`."""

    def __init__(
        self,
        store: Store,
        how: How,
        journal: Journal,
        spool: Spool,
        clock: Clock,
        background: trio.Nursery,
        work: trio.Nursery,
    ) -> None:
        self.metrics = Metrics(tcfs.__version__)
        self.store = store = Observed(store, self)
        self.agent = how.agent
        self.mount = journal.mount
        self.clock = clock
        self.documents = Documents(store, slack=0.0 if how.lasting else COMMAND)
        self._background = background
        self._work = work
        self._lasting = how.lasting  # a mount speaks for its agents, a command was only theirs
        self.watcher = Watcher(store, background)
        writer = Writer(store, self.documents, clock.now)
        context = Context(
            documents=self.documents,
            writer=writer,
            clock=clock,
            journal=journal,
            host=how.host,
            mount=journal.mount,
            tenures=(tenures := Tenures(clock, journal)),
            lease=how.lease,
            deadline=how.deadline,
        )
        self.steps = Steps(context, StepWatcher(context, self.watcher, background), work)
        self.afters = Afters(context, self.steps)
        self.ready = Ready(context, self.steps, self.watcher, background, work)
        self.locks = Locks(context, work)
        self.upkeep = Upkeep(tenures, journal, self.steps.chores, self.locks, how.deadline)
        self.memory = Memory(self.documents, writer, clock, self.later)
        self.mail = Mail(self.documents, clock)
        cursors = Cursors(self.documents, writer, clock)
        self.unread = Unread(self.mail, cursors, self.documents, self.watcher, clock)
        self.outbox = Outbox(store, clock, spool, background)
        # Nobody would be there to deliver what a command leaves: it says whether it is sent.
        self.send: Send = self.outbox.send if how.lasting else self.mail.send
        self.sessions = Sessions(self.documents)
        self.mirrors = Mirrors(context, agent=how.agent)
        self.files = Files(store, how.state / "staging")
        self.agents = Agents(
            self.documents, clock, host=how.host, mount=journal.mount, version=tcfs.__version__
        )
        self.events = Events(self.watcher, self.documents, clock, tenures.ran_out, background)
        show_project(self.metrics, self.documents, tenures, self.upkeep, self.outbox, self.watcher)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        store: Store,
        *,
        agent: AgentId,
        host: str,
        state: Path,
        lease: int = LEASE,
        deadline: float = DEFAULT,
        carry_on: bool = True,
        clock: Clock | None = None,
    ) -> AsyncIterator[Self]:
        """Open the project for a mount of `agent`, until the block ends.

        What was begun is finished then, and the agents that acted are signed off. `state` is this
        user's directory for what must survive a crash of this process. `lease` is for how many
        seconds a claim lives that is not renewed (0: for ever); not less than three of `deadline`,
        the seconds that an operation may take. With `carry_on` it goes on holding what a mount of
        this agent held that is no more. The store is closed at the end.
        """
        how = How(agent, host, state, lease, deadline, lasting=True)
        async with cls._opened(store, how, clock or Clock(), carry_on=carry_on) as project:
            yield project

    @classmethod
    @asynccontextmanager
    async def visit(
        cls, store: Store, *, agent: AgentId, host: str, state: Path
    ) -> AsyncIterator[Self]:
        """Open the project for one command; as `open`, but nobody is signed off at its end.

        Claims have no lease: nobody would be there to renew them.
        """
        how = How(agent, host, state, 0, DEFAULT, lasting=False)
        async with cls._opened(store, how, Clock(), carry_on=False) as project:
            yield project

    @classmethod
    @asynccontextmanager
    async def _opened(
        cls, store: Store, how: How, clock: Clock, *, carry_on: bool
    ) -> AsyncIterator[Self]:
        where = how.state / "journal" / sha256(store.identity.encode()).hexdigest()[:16]
        journal = Journal(where, fresh(), how.agent)
        inherited = journal.inherit(carry_on=carry_on)
        spool = Spool(how.state / "outbox" / where.name, journal.mount)
        try:
            async with trio.open_nursery() as background:
                async with trio.open_nursery() as work:
                    project = cls(store, how, journal, spool, clock, background, work)
                    start_apart(background, project.steps.chores.catch_up)
                    start_apart(background, project.locks.catch_up)
                    if how.lasting:
                        start_apart(background, project.upkeep.run, inherited)
                    yield project
                    if not how.lasting:
                        work.cancel_scope.deadline = trio.current_time() + FAREWELL
                if work.cancel_scope.cancelled_caught:
                    log.warning("it is done, but not all notes of it are stored: no answer in time")
                await project._deliver()
                await (project._sign_off() if how.lasting else project._clear_up())
                background.cancel_scope.cancel()
        finally:
            journal.close()
            spool.close()
            with trio.CancelScope(shield=True):
                await store.aclose()

    async def present(self) -> None:
        """Register the mount's agent, and keep it and all that act here alive from now on.

        Mail that an earlier mount left is sent. Where the store does not answer now, a heartbeat
        registers the agent. Raises what a put raises but Unavailable.
        """
        await self.outbox.inherit()
        try:
            await self.agents.register(self.agent)
        except Unavailable as error:
            log.warning("agent %s is not registered yet: %s", self.agent, error)
        # Not by the registration itself: what tells the time takes 0.3 s to import.
        self.later(lambda: self.clock.ask(self.store))
        start_apart(self._background, self._beat)

    def acted(self, agent: AgentId) -> None:
        """Take note that an agent wrote through this mount, or by this command."""
        note = self.agents.acted if self._lasting else self.agents.passed
        self.later(lambda: note(agent))

    def later(self, act: Callable[[], Awaitable[object]]) -> None:
        """Do something that nobody waits for, within a deadline; before the project closes."""
        start_apart(self._work, self._do_later, act)

    async def _do_later(self, act: Callable[[], Awaitable[object]]) -> None:
        try:
            with within(DEFAULT):
                await act()
        except (StoreError, Refused) as error:
            log.warning("in the background: %s", error)

    async def _beat(self) -> None:
        while True:
            await trio.sleep(HEARTBEAT)
            await survived(partial(self._do_later, self._say_alive))

    async def _say_alive(self) -> None:
        await self.agents.acted(self.agent)
        await self.agents.beat(self.steps.held_here())

    async def _deliver(self) -> None:
        with trio.move_on_after(FAREWELL), within(FAREWELL):
            await self.outbox.finish()

    async def _sign_off(self) -> None:
        with trio.move_on_after(FAREWELL), within(FAREWELL):
            await self._do_later(self.agents.sign_off)

    async def _clear_up(self) -> None:
        # A mount has time for it while it lives; nobody may come after a command.
        with trio.move_on_after(FAREWELL), within(FAREWELL):
            await self.steps.chores.clear_up()
            await self.locks.clear_up()

    def asked(self, verb: str, seconds: float, error: Exception | None) -> None:
        """Take note of a request to the store."""
        self.metrics.asked(verb, seconds, error)

    def changed(self, key: str, etag: ETag | None) -> None:
        """Take note of what this mount wrote: whoever waits for it need not ask the store."""
        self.watcher.changed(key, etag)
