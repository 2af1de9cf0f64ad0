"""`agents/`: a file an agent (tree.md, agents)."""

import re
from collections.abc import Sequence
from typing import Final, final

from tcfs.project import WALK
from tcfs.project.agents import Presence
from tcfs.project.errors import Invalid, Missing, NotHolder
from tcfs.tree._base import STATIC, Attributes, Caller, Directory, File, Handle, Node, OpenMode
from tcfs.tree._text import Draft, Exact, Snapshot, Text
from tcfs.tree._view import View
from tcfs.wire import InvalidName, keys
from tcfs.wire.ids import AgentId, agent_id
from tcfs.wire.text import on_one_line

MAX_SUMMARY: Final = 4096  # bytes
_SHOWN: Final = re.compile(  # what `_text` puts before the summary
    r"^(?:active|stale|offline)\n(?=step |host |session )"
    r"(?:step .*(?:\n|$))?(?:host .*(?:\n|$))?(?:session .*(?:\n|$))?",
    re.MULTILINE,
)


@final
class AgentsDirectory(Directory):
    """Who is registered; mtime is the last heartbeat."""

    __slots__ = ("_view",)
    keep = STATIC

    def __init__(self, path: str, view: View) -> None:
        super().__init__(path)
        self._view = view

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return an agent's file, or its exact document."""
        project = self._view.project
        try:
            if not name.endswith(".json"):
                agent = agent_id(name)
                await project.agents.read(agent)
                return AgentFile(self.child(name), self._view, agent)
            agent = agent_id(name.removesuffix(".json"))
        except InvalidName:
            raise Missing(f"there is no agent {name}") from None

        async def exact(max_age: float = WALK) -> Text:
            found = await project.documents.read(keys.agent(agent), max_age=max_age)
            if found is None:
                raise Missing(f"there is no agent {agent}")
            return Text(found.body, found.modified)

        await exact(0.0)
        return Exact(self.child(name), exact)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return every agent."""
        found: list[tuple[str, Node]] = []
        for it in await self._view.project.agents.presences():
            attributes = Attributes(len(_text(it)), it.heartbeat)
            found.append((it.id, AgentFile(self.child(it.id), self._view, it.id, attributes)))
        return found

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        """Register oneself, with a summary."""
        file = AgentFile(self.child(name), self._view, agent_id(name))
        return file, file.writer(caller)


@final
class AgentFile(File):
    """An agent: how it is, and what it says of itself."""

    __slots__ = ("_agent", "_view")

    def __init__(
        self, path: str, view: View, agent: AgentId, listed: Attributes | None = None
    ) -> None:
        super().__init__(path, listed)
        self._view = view
        self._agent = agent

    async def attributes(self) -> Attributes:
        """Return the size of the text, and the last heartbeat."""
        try:
            presence = await self._view.project.agents.read(self._agent, max_age=WALK)
        except Missing:
            # Created, and not stored yet: its handle knows the size.
            return Attributes()
        return Attributes(len(_text(presence)), presence.heartbeat)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Read how the agent is, or write one's own summary."""
        if mode.write:
            return self.writer(caller)
        return Snapshot(_text(await self._view.project.agents.read(self._agent, max_age=WALK)))

    def writer(self, caller: Caller) -> Handle:
        """Return a handle that sets the summary; only one's own."""
        agent = self._view.sure(caller)
        if agent != self._agent:
            raise NotHolder(f"only {self._agent} writes its summary; you are {agent}")

        async def store(content: bytes) -> None:
            try:
                summary = _said(content)
            except UnicodeDecodeError:
                raise Invalid("a summary is UTF-8 text") from None
            await self._view.project.agents.describe(agent, summary)

        return Draft(store, _check_size, dirty=False)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Take note: a summary is replaced whole, by the write that follows."""
        self.writer(caller)


def _text(presence: Presence) -> bytes:
    document = presence.document
    lines = [presence.state]
    if document.step:
        lines.append(f"step {document.step}")
    if document.host:
        lines.append(f"host {document.host}")
    if document.session:
        lines.append(f"session {document.session}")
    if document.summary:
        lines.append(document.summary)
    return "".join(f"{on_one_line(line)}\n" for line in lines).encode()


def _said(content: bytes) -> str:
    # `>>` puts its text after the end of what is there: the gap before it is NULs.
    text = content.lstrip(b"\0").decode()
    # An editor writes all that it was shown.
    return _SHOWN.sub("", text, count=1).strip()


def _check_size(size: int) -> None:
    if size > MAX_SUMMARY:
        raise Invalid(f"a summary has at most {MAX_SUMMARY} bytes")
