"""Who is there: an agent's document, and how fresh its heartbeat is."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, final

from tcfs.project._clock import Clock
from tcfs.project._documents import Documents
from tcfs.project.errors import Missing
from tcfs.stores import Conflict, Entry, ETag, Object, PreconditionFailed
from tcfs.wire import InvalidName, Malformed, keys
from tcfs.wire.documents import Agent
from tcfs.wire.ids import AgentId, StepId, agent_id
from tcfs.wire.times import nanoseconds

log: Final = logging.getLogger(__name__)
STALE: Final = 300  # seconds without a heartbeat: the reference's rule too
FRESH: Final = 60_000_000_000  # nanoseconds since a heartbeat: a mount beats as often
TRIES: Final = 3  # of a heartbeat whose document another wrote at the same time
SURE: Final = 1.0  # seconds that a directory's existence may be old: architecture.md, freshness


@final
@dataclass(frozen=True, slots=True)
class Presence:
    """An agent as it shows. `state` is active, stale or offline; `heartbeat` in ns since 1970."""

    id: AgentId
    document: Agent
    state: str
    heartbeat: int


@final
@dataclass(frozen=True, slots=True)
class _Known:
    """An agent's document as this mount last saw or wrote it; without an ETag it may be gone."""

    document: Agent
    etag: ETag | None


@final
class Agents:
    """The agents of a project; and those that this mount speaks for, which it keeps alive."""

    def __init__(
        self, documents: Documents, clock: Clock, *, host: str, mount: str, version: str
    ) -> None:
        self._documents = documents
        self._store = documents.store
        self._clock = clock
        self._host = host
        self._mount = mount
        self._version = version
        self._ours: dict[AgentId, _Known] = {}
        self._sessions: dict[AgentId, str] = {}

    async def read(self, agent: AgentId, *, max_age: float = 0.0) -> Presence:
        """Return how an agent is; raises Missing where it is not registered."""
        found = await self._documents.read(keys.agent(agent), max_age=max_age)
        if found is None:
            raise Missing(f"there is no agent {agent}; `ls agents` shows who there is")
        return self._presence(agent, found)

    async def is_registered(self, agent: str) -> bool:
        """Tell whether there is an agent of that id; False for what cannot be one."""
        try:
            key = keys.agent(agent_id(agent))
        except InvalidName:
            return False
        # Agents do not go: one that was there a second ago is there. One that was not may be.
        age = SURE if self._documents.has(key) else 0.0
        return await self._documents.read(key, max_age=age) is not None

    async def elsewhere(self, agent: AgentId) -> str | None:
        """Return the other host on which an agent was alive a moment ago, if there is one."""
        found = await self._documents.read(keys.agent(agent))
        if found is None:
            return None
        now = self._presence(agent, found)
        mounted = now.state == "active" and now.document.mount is not None
        return now.document.host if mounted and now.document.host != self._host else None

    async def list(self) -> Sequence[tuple[AgentId, Entry]]:
        """Return the agents with their objects, by id."""
        _, entries = await self._store.list_dir(keys.AGENTS)
        found = []
        for entry in entries:
            name = entry.key[len(keys.AGENTS) :]
            try:
                if name.endswith(".json"):
                    found.append((agent_id(name.removesuffix(".json")), entry))
            except InvalidName as error:
                log.info("agents/: %s", error)  # shows in .tcfs/raw only
        return found

    async def presences(self) -> Sequence[Presence]:
        """Return how every agent is, by id."""
        listed = await self.list()
        objects = await self._documents.read_many([entry for _, entry in listed])
        return [
            self._presence(name, objects[entry.key])
            for name, entry in listed
            if entry.key in objects
        ]

    async def register(self, agent: AgentId, *, summary: str | None = None) -> None:
        """Make an agent known, or known as active again; keeps what others wrote of it."""
        now = self._clock.iso()
        found = await self._documents.read(keys.agent(agent))
        before = _parse(agent, found) if found else None
        document = Agent(
            id=agent,
            status="active",
            step=before.step if before else None,
            started_at=(before.started_at if before else None) or now,
            heartbeat=now,
            summary=summary or (before.summary if before else None) or "Initialized",
            worktree=before.worktree if before else None,
            host=self._host,
            mount=self._mount,
            tcfs=self._version,
            session=self._session(agent, before),
            extra=before.extra if before else {},
        )
        await self._register(agent, document)

    async def acted(self, agent: AgentId) -> None:
        """Take note that an agent acted through this mount: it is registered if it is not yet."""
        if agent not in self._ours:
            await self.register(agent)

    async def passed(self, agent: AgentId) -> None:
        """Take note that an agent acted by a command: it is registered, or shown alive again.

        The document of one that was alive a moment ago is left to whoever speaks for it.
        """
        found = await self._documents.read(keys.agent(agent))
        if found is not None:
            now = self._presence(agent, found)
            if now.state == "active" and self._clock.now() - now.heartbeat < FRESH:
                return
        await self.register(agent)

    def writes(self, agent: AgentId, session: str) -> None:
        """Take note of the session, `harness/id`, that an agent is in, for its next heartbeat."""
        self._sessions[agent] = session

    async def describe(self, agent: AgentId, summary: str) -> None:
        """Set an agent's summary."""
        await self.register(agent, summary=summary)

    async def beat(self, working_on: Mapping[AgentId, StepId]) -> None:
        """Say that the agents of this mount are alive, and which step each holds.

        One request an agent as long as nobody else describes it. Raises what a put raises.
        """
        for agent, known in list(self._ours.items()):
            alive = partial(self._alive, agent, working_on.get(agent))
            await self._describe(agent, known, alive)

    async def sign_off(self) -> None:
        """Say that the agents that this mount registered are offline."""
        for agent in list(self._ours):
            now = await self._current(agent)
            if now.document.mount == self._mount:  # else another mount speaks for it by now
                await self._describe(agent, now, partial(replace, status="offline", step=None))
        self._ours.clear()

    def _alive(self, agent: AgentId, step: StepId | None, before: Agent) -> Agent:
        return replace(
            before,
            status="active",
            step=step,
            host=self._host,
            mount=self._mount,
            tcfs=self._version,
            session=self._session(agent, before),
        )

    def _session(self, agent: AgentId, before: Agent | None) -> str | None:
        return self._sessions.get(agent) or (before.session if before else None)

    async def _describe(
        self, agent: AgentId, known: _Known, changed: Callable[[Agent], Agent]
    ) -> None:
        """Change an agent's document; others describe it as well, and what they wrote is kept."""
        for _ in range(TRIES):
            beaten = replace(changed(known.document), heartbeat=self._clock.iso())
            try:
                await self._put(agent, beaten, known.etag)
            except (PreconditionFailed, Conflict):
                known = await self._current(agent)
            else:
                return
        await self._put(agent, beaten, None)

    async def _current(self, agent: AgentId) -> _Known:
        """Return an agent's document as it is."""
        found = await self._documents.read(keys.agent(agent))
        try:
            if found is not None:
                return _Known(Agent.parse(found.body), found.etag)
        except Malformed as error:
            log.info("agents/%s: %s", agent, error)
        return _Known(self._ours[agent].document, None)

    async def _register(self, agent: AgentId, document: Agent) -> None:
        body = document.encode()
        sent = self._documents.sending(keys.agent(agent))
        etag = await self._store.put(keys.agent(agent), body)
        self._wrote(agent, document, body, etag, sent)

    async def _put(self, agent: AgentId, document: Agent, base: ETag | None) -> None:
        body = document.encode()
        sent = self._documents.sending(keys.agent(agent))
        dated = await self._store.put_dated(keys.agent(agent), body, if_match=base)
        self._clock.observe(dated.offset)
        self._wrote(agent, document, body, dated.etag, sent)

    def _wrote(self, agent: AgentId, document: Agent, body: bytes, etag: ETag, sent: float) -> None:
        self._ours[agent] = _Known(document, etag)
        self._documents.wrote(keys.agent(agent), body, etag, self._clock.now(), sent=sent)

    def _presence(self, agent: AgentId, found: Object) -> Presence:
        document = _parse(agent, found)
        beat = nanoseconds(document.heartbeat) or found.modified
        age = (self._clock.now() - beat) / 1_000_000_000
        state = document.status if document.status in ("active", "offline") else "active"
        if state == "active" and age > STALE:
            state = "stale"
        return Presence(agent, document, state, beat)


def _parse(agent: AgentId, found: Object) -> Agent:
    try:
        return Agent.parse(found.body)
    except Malformed as error:
        log.info("agents/%s: %s", agent, error)
        return Agent(id=agent, status="unknown")
