"""The root of the tree, `as/<agent>/` and `.tcfs/`."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from tcfs.board import LOCAL_ONLY, render, snapshot, to_json
from tcfs.project import Project
from tcfs.project.errors import Missing
from tcfs.tree._base import (
    HOUR,
    STATIC,
    Caller,
    Directory,
    File,
    Handle,
    Keep,
    Node,
    OpenMode,
    ViewDirectory,
)
from tcfs.tree._scratched import Scratched
from tcfs.tree._text import Text, TextView
from tcfs.tree._view import Local, View
from tcfs.tree.agents import AgentsDirectory
from tcfs.tree.artifacts import OWN, ArtifactsDirectory, PlainDirectory
from tcfs.tree.board import BoardFile
from tcfs.tree.capabilities import capabilities_text
from tcfs.tree.events import EventsFile
from tcfs.tree.locks import LocksDirectory
from tcfs.tree.mail import MessagesDirectory
from tcfs.tree.memory import MemoryDirectory
from tcfs.tree.outbox import outbox_text
from tcfs.tree.raw import RawDirectory
from tcfs.tree.readme import readme
from tcfs.tree.ready import ReadyDirectory
from tcfs.tree.refusals import Refusals
from tcfs.tree.sessions import SessionsDirectory
from tcfs.tree.steps import StepsDirectory
from tcfs.wire import InvalidName
from tcfs.wire.ids import AgentId, agent_id

ALWAYS: Final = Keep(entry=HOUR)  # a file that is always there, whose text changes


@final
@dataclass(frozen=True, slots=True)
class MountInfo:
    """What a mount says of itself below `.tcfs/`. No line holds a secret."""

    mountpoint: str
    version: str
    config: str  # the text of `.tcfs/config`
    explain: Callable[[Caller], str]  # what follows the agent's id in `.tcfs/agent`
    mirrored: Callable[[], str] | None = None  # the text of `sessions/active`, if it mirrors


def root(project: Project, info: MountInfo, refusals: Refusals) -> "RootDirectory":
    """Return the root of a mount's tree."""
    project.ready.tell = lambda agent, text: refusals.record(agent, "/ready", 0, text)
    return RootDirectory("/", View(project, refusals, Local()), info)


@final
class RootDirectory(ViewDirectory):
    """The root: of the mount, or of the copy in which one agent acts."""

    __slots__ = ("_info", "_view")
    keep = STATIC

    def __init__(self, path: str, view: View, info: MountInfo) -> None:
        super().__init__(path)
        self._view = view
        self._info = info

    def end(self) -> None:
        """Say in the log what goes with the mount, which has ended."""
        self._view.local.scratch.log_what_is_lost()

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return what is called `name` at the root."""
        if name == "as" and self._view.agent is None:
            return AsDirectory(self.child(name), self._view, self._info)
        node = self._nodes().get(name)
        if node is not None:
            return node()
        if name in OWN:
            raise Missing(f"there is no {name} at the root; see README")
        try:
            return await self._plain.lookup(name, caller)
        except Missing:
            raise Missing(f"there is no {name} at the root; see README") from None

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return what is listed; `status` first."""
        nodes = self._nodes()
        fixed = [(name, node()) for name, node in nodes.items() if name != "status.json"]
        plain = await self._plain.entries(caller)
        return fixed + [it for it in plain if it[0] not in nodes and it[0] not in OWN]

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        """Make a plain file."""
        self.key(name)
        return await self._plain.create(name, mode, caller)

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """Make a plain directory."""
        self.key(name)
        return await self._plain.mkdir(name, caller)

    async def unlink(self, name: str, caller: Caller) -> None:
        """Remove a plain file."""
        self.key(name)
        await self._plain.unlink(name, caller)

    async def rmdir(self, name: str, caller: Caller) -> None:
        """Remove an empty plain directory."""
        self.key(name)
        await self._plain.rmdir(name, caller)

    async def rename(
        self, name: str, target: Directory, new: str, caller: Caller, *, exclusive: bool
    ) -> None:
        """Move a plain file."""
        self.key(name)
        await self._plain.rename(name, target, new, caller, exclusive=exclusive)

    def key(self, name: str) -> str:
        """Return the key of the plain file of that name; raises ViewOnly for the tree's own."""
        if name in OWN or name in self._nodes():
            raise self._refusal(name)
        return self._plain.key(name)

    @property
    def _plain(self) -> PlainDirectory:
        return PlainDirectory(self.path, self._view, "")

    def _nodes(self) -> dict[str, Callable[[], Node]]:
        view = self._view
        return {
            "status": lambda: self._text("status", self._status),
            "status.json": lambda: self._text("status.json", self._status_json),
            "board.html": lambda: BoardFile(self.child("board.html"), view),
            "README": lambda: self._text("README", self._readme, sized=True),
            "agents": lambda: Scratched(AgentsDirectory(self.child("agents"), view), view),
            "memory": lambda: Scratched(MemoryDirectory(self.child("memory"), view), view),
            "messages": lambda: MessagesDirectory(self.child("messages"), view),
            "steps": lambda: StepsDirectory(self.child("steps"), view),
            "locks": lambda: LocksDirectory(self.child("locks"), view),
            "ready": lambda: ReadyDirectory(self.child("ready"), view),
            "artifacts": lambda: ArtifactsDirectory(self.child("artifacts"), view),
            "sessions": lambda: SessionsDirectory(
                self.child("sessions"), view, self._info.mirrored
            ),
            ".tcfs": lambda: ControlDirectory(self.child(".tcfs"), view, self._info),
        }

    def _text(
        self, name: str, make: Callable[[Caller | None], Awaitable[Text]], *, sized: bool = False
    ) -> TextView:
        return TextView(self.child(name), make, sized=sized, keep=ALWAYS)

    async def _readme(self, caller: Caller | None) -> Text:
        agent = self._view.agent or self._view.project.agent
        return Text(readme(self._info.mountpoint, agent).encode())

    async def _status(self, caller: Caller | None) -> Text:
        return Text(render(await snapshot(self._view.project)).encode())

    async def _status_json(self, caller: Caller | None) -> Text:
        return Text(to_json(await snapshot(self._view.project)))


@final
class AsDirectory(ViewDirectory):
    """`as/`: every agent's copy of the tree, by name."""

    __slots__ = ("_info", "_view")
    keep = STATIC

    def __init__(self, path: str, view: View, info: MountInfo) -> None:
        super().__init__(path)
        self._view = view
        self._info = info

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return the tree in which that agent acts."""
        try:
            agent = agent_id(name)
        except InvalidName as error:
            raise Missing(str(error)) from None
        return RootDirectory(self.child(name), replace(self._view, agent=agent), self._info)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return nothing: a copy of everything for everyone is no place to search."""
        return []


@final
class ControlDirectory(ViewDirectory):
    """`.tcfs/`: what the mount says of itself."""

    __slots__ = ("_info", "_view")
    keep = STATIC

    def __init__(self, path: str, view: View, info: MountInfo) -> None:
        super().__init__(path)
        self._view = view
        self._info = info

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return one of the control files, or the bucket as it is."""
        if name == "raw":
            return RawDirectory(self.child(name), self._view)
        if name == "events":
            return EventsFile(self.child(name), self._view)
        make = self._texts().get(name)
        if make is None:
            raise Missing(f"there is no .tcfs/{name}")
        return TextView(self.child(name), make, sized=False, keep=ALWAYS)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return the control files; `raw` is a second copy of the tree, and unlisted."""
        return [
            (name, TextView(self.child(name), make, sized=False, keep=ALWAYS))
            for name, make in self._texts().items()
        ]

    def _texts(self) -> dict[str, Callable[[Caller | None], Awaitable[Text]]]:
        return {
            "agent": self._agent,
            "version": self._version,
            "store": self._store,
            "config": self._config,
            "capabilities": self._capabilities,
            "errors": self._errors,
            "outbox": self._outbox,
            "metrics": self._metrics,
        }

    async def _agent(self, caller: Caller | None) -> Text:
        if self._view.agent is not None:
            return Text(f"{self._view.agent}\nby the path {self.path}\n".encode())
        if caller is None:
            return Text(f"{self._view.project.agent}\n".encode())
        return Text(f"{caller.agent}\n{self._info.explain(caller)}".encode())

    async def _version(self, caller: Caller | None) -> Text:
        return Text(f"{self._info.version}\n".encode())

    async def _store(self, caller: Caller | None) -> Text:
        store = self._view.project.store
        shared = "" if store.capabilities.shared else f"{LOCAL_ONLY}\n"
        return Text(f"{store.url}\n{shared}".encode())

    async def _config(self, caller: Caller | None) -> Text:
        return Text(self._info.config.encode())

    async def _capabilities(self, caller: Caller | None) -> Text:
        return Text(capabilities_text(self._view.project.store.capabilities).encode())

    async def _errors(self, caller: Caller | None) -> Text:
        agent = self._acting(caller)
        refused = self._view.refusals.text(agent)
        return Text((refused + self._view.local.scratch.lines(agent)).encode())

    async def _metrics(self, caller: Caller | None) -> Text:
        return Text(self._view.project.metrics.text().encode())

    async def _outbox(self, caller: Caller | None) -> Text:
        return Text(outbox_text(self._view.project.outbox).encode())

    def _acting(self, caller: Caller | None) -> AgentId:
        if caller is None:
            return self._view.agent or self._view.project.agent
        return self._view.who(caller)
