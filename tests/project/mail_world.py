"""Mail between two agents: what was accepted is delivered, and shown to its reader."""

from dataclasses import dataclass, field
from typing import ClassVar, Final, final

import trio

from tcfs.project import Project
from tcfs.project.errors import Refused
from tcfs.stores import StoreError
from tcfs.stores.deadline import within
from tcfs.wire.ids import AgentId, Mailbox
from tests.memory_store import MemoryStore
from tests.project.parties import A, B

LIMIT: Final = 10.0  # seconds an act may take on the mock clock
ACTS: Final = ("send", "read", "get")


@final
@dataclass
class MailWorld:
    """What was sent and shown, by the mailbox."""

    store: MemoryStore
    sent: dict[AgentId, list[str]] = field(default_factory=lambda: {A: [], B: []})
    tried: dict[AgentId, list[str]] = field(default_factory=lambda: {A: [], B: []})
    shown: dict[AgentId, list[str]] = field(default_factory=lambda: {A: [], B: []})
    marked: dict[AgentId, list[str]] = field(default_factory=lambda: {A: [], B: []})
    number: int = 0
    leases: ClassVar = (900, 900)

    async def begin(self, start: str, one: Project, two: Project) -> None:
        """Let them know the time, and each have a message or not."""
        self.store.tell_time()
        for mount in (one, two):
            mount.clock.observe(await self.store.clock())
            await mount.present()
        if start != "nothing":
            await self.act(two, "get")
            await self.act(one, "get")
        await trio.sleep(1)

    async def act(self, mount: Project, name: str) -> None:
        """Send to the other agent, read one's own mail, or get a message from a third."""
        try:
            with within(LIMIT):
                match name:
                    case "send":
                        await self._send(mount, B if mount.agent == A else A)
                    case "get":
                        await self._send(mount, mount.agent)
                    case "read":
                        await self._read(mount)
        except (Refused, StoreError):
            pass  # nobody was told that it was sent, or marked

    async def _send(self, mount: Project, to: AgentId) -> None:
        text = f"text {self.number}"
        self.number += 1
        self.tried[to].append(text)
        await mount.send(Mailbox(to), mount.agent, text, None)
        self.sent[to].append(text)

    async def _read(self, mount: Project) -> None:
        agent = mount.agent
        news = await mount.unread.read(agent)
        texts = [it.message.text for it in news.letters]
        self.shown[agent] += texts
        await mount.unread.mark(agent, news)
        self.marked[agent] += texts

    def check(self, when: str) -> None:
        """What is shown was sent."""
        for agent, texts in self.shown.items():
            assert set(texts) <= set(self.tried[agent]), f"{when}: {texts}"

    def died(self, mount: Project, again: Project) -> None:
        """What was accepted is sent by the next mount."""

    async def settle(self, one: Project, two: Project, *, last: bool) -> None:
        """Let what is late arrive; then each message is there once, and read or unread."""
        self.store.deliver()
        await one.present()
        await trio.sleep(60)
        self.check("in the end")
        for mount in {it.agent: it for it in (one, two)}.values():
            agent = mount.agent
            there = [it.message.text for it in await mount.mail.inbox(Mailbox(agent))]
            assert len(set(there)) == len(there), f"twice in {there}"
            assert set(self.sent[agent]) <= set(there), f"{self.sent[agent]} accepted: {there}"
            assert set(there) <= set(self.tried[agent])
            news = await mount.unread.read(agent)
            left = {it.message.text for it in news.letters}
            assert left.isdisjoint(self.marked[agent]), f"{left} were marked, and are shown again"
            lost = set(there) - left - set(self.shown[agent])
            assert not lost, f"{lost} was never shown to {agent}"
