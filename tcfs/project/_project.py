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
from tcfs.project.errors import Refused
from tcfs.project.mail import Mail
from tcfs.project.memory import Memory
from tcfs.project.steps import Context, Steps
from tcfs.project.steps._watch import Watcher
from tcfs.stores import Store, StoreError
from tcfs.stores.deadline import DEFAULT, within
from tcfs.wire.ids import AgentId, StepId, fresh

log: Final = logging.getLogger(__name__)
HEARTBEAT: Final = 60.0  # seconds: tree.md, agents
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
        background: trio.Nursery,
        work: trio.Nursery,
    ) -> None:
        self.store = store
        self.agent = agent
        self.mount = mount
        self.clock = Clock()
        self.documents = Documents(store)
        self._background = background
        self._work = work
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
        self.agents = Agents(
            self.documents, self.clock, host=host, mount=mount, version=tcfs.__version__
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls, store: Store, *, agent: AgentId, host: str, state: Path
    ) -> AsyncIterator[Self]:
        """Open the project for `agent`, until the block ends; what was begun is finished then.

        `state` is this user's directory for what must survive a crash of this process. The store
        is closed at the end.
        """
        mount = fresh()
        where = state / "journal" / sha256(store.url.encode()).hexdigest()[:16]
        journal = Journal(where, mount)
        journal.inherit()
        try:
            async with trio.open_nursery() as background:
                async with trio.open_nursery() as work:
                    project = cls(store, agent, host, journal, mount, background, work)
                    start_apart(background, project.steps.catch_up)
                    yield project
                await project._sign_off()
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
        """Take note that an agent wrote through this mount."""
        self.later(lambda: self.agents.acted(agent))

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

    def _changed(self, step: StepId) -> None:
        self._watcher.changed(step)
