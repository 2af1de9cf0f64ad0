"""A project of a bucket, as one mount or one command acts on it."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, Self, final

import trio

import tcfs
from tcfs.project._apart import start_apart
from tcfs.project._clock import Clock
from tcfs.project._conditional import Writer
from tcfs.project._documents import Documents
from tcfs.project._journal import Journal
from tcfs.project.agents import Agents
from tcfs.project.artifacts import Files
from tcfs.project.errors import Refused
from tcfs.project.mail import Mail
from tcfs.project.memory import Memory
from tcfs.project.sessions import Sessions
from tcfs.project.steps import Context, Steps
from tcfs.project.steps._watch import Watcher
from tcfs.stores import Store, StoreError
from tcfs.stores.deadline import DEFAULT, within
from tcfs.wire.ids import AgentId, StepId, fresh

log: Final = logging.getLogger(__name__)
HEARTBEAT: Final = 60.0  # seconds: tree.md, agents
COMMAND: Final = 1.0  # seconds: what a command's look-up fetched serves its open as well
FAREWELL: Final = 5.0  # seconds for signing off: an unreachable store must not hold up `umount`


@final
class Project:
    """Steps, memory, mail and agents of one project, for one mount. Made by `open`."""

    def __init__(
        self,
        store: Store,
        agent: AgentId,
        host: str,
        journal: Journal,
        mount: str,
        staging: Path,
        background: trio.Nursery,
        work: trio.Nursery,
        *,
        lasting: bool,
    ) -> None:
        self.store = store
        self.agent = agent
        self.mount = mount
        self.clock = Clock()
        self.documents = Documents(store, slack=0.0 if lasting else COMMAND)
        self._background = background
        self._work = work
        self._lasting = lasting  # a mount speaks for its agents, a command was only theirs
        self._watcher = Watcher(self.documents, background)
        writer = Writer(store, self.documents, self.clock.now)
        context = Context(
            documents=self.documents,
            writer=writer,
            clock=self.clock,
            journal=journal,
            host=host,
            mount=mount,
            conditional_delete=store.capabilities.delete,
            changed=self._changed,
        )
        self.steps = Steps(context, self._watcher, work)
        self.memory = Memory(self.documents, writer, self.clock)
        self.mail = Mail(self.documents, self.clock)
        self.sessions = Sessions(self.documents)
        self.files = Files(store, staging)
        self.agents = Agents(
            self.documents, self.clock, host=host, mount=mount, version=tcfs.__version__
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls, store: Store, *, agent: AgentId, host: str, state: Path
    ) -> AsyncIterator[Self]:
        """Open the project for a mount of `agent`, until the block ends.

        What was begun is finished then, and the agents that acted are signed off. `state` is this
        user's directory for what must survive a crash of this process. The store is closed at the
        end.
        """
        opened = cls._opened(store, agent, host, state, lasting=True)
        async with opened as project:
            yield project

    @classmethod
    @asynccontextmanager
    async def visit(
        cls, store: Store, *, agent: AgentId, host: str, state: Path
    ) -> AsyncIterator[Self]:
        """Open the project for one command; as `open`, but nobody is signed off at its end."""
        opened = cls._opened(store, agent, host, state, lasting=False)
        async with opened as project:
            yield project

    @classmethod
    @asynccontextmanager
    async def _opened(
        cls, store: Store, agent: AgentId, host: str, state: Path, *, lasting: bool
    ) -> AsyncIterator[Self]:
        mount = fresh()
        where = state / "journal" / sha256(store.url.encode()).hexdigest()[:16]
        journal = Journal(where, mount)
        journal.inherit()
        try:
            async with trio.open_nursery() as background:
                async with trio.open_nursery() as work:
                    project = cls(
                        *(store, agent, host, journal, mount, state / "staging"),
                        *(background, work),
                        lasting=lasting,
                    )
                    start_apart(background, project.steps.catch_up)
                    yield project
                    if not lasting:
                        work.cancel_scope.deadline = trio.current_time() + FAREWELL
                await (project._sign_off() if lasting else project._clear_up())
                background.cancel_scope.cancel()
        finally:
            journal.close()
            with trio.CancelScope(shield=True):
                await store.aclose()

    async def present(self) -> None:
        """Register the mount's agent, and keep it and all that act here alive from now on.

        Raises what a put raises.
        """
        await self.agents.register(self.agent)
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
            await self._do_later(lambda: self.agents.beat(self.steps.held_here()))

    async def _sign_off(self) -> None:
        with trio.move_on_after(FAREWELL), within(FAREWELL):
            await self._do_later(self.agents.sign_off)

    async def _clear_up(self) -> None:
        # A mount has time for it while it lives; nobody may come after a command.
        with trio.move_on_after(FAREWELL), within(FAREWELL):
            await self.steps.clear_up()

    def _changed(self, step: StepId) -> None:
        self._watcher.changed(step)
