"""What every node of one copy of the tree shares: the project, and who acts in it."""

from dataclasses import dataclass, field
from typing import final

from tcfs.project import Project
from tcfs.project.errors import NotAllowed
from tcfs.tree._base import Caller
from tcfs.tree._inbox import OpenInboxes
from tcfs.tree.refusals import Refusals
from tcfs.tree.scratch import Room
from tcfs.wire.ids import AgentId, Mailbox


@final
@dataclass(slots=True)
class Local:
    """What lives in this mount only: what was made here and is not stored, what was just sent."""

    memory: set[str] = field(default_factory=set)  # dotted
    unfinished: set[str] = field(default_factory=set)  # keys, dotted, that wait for a rename
    mailboxes: set[Mailbox] = field(default_factory=set)
    sent: dict[str, float] = field(default_factory=dict)  # path -> trio time it stops resolving
    warned: dict[tuple[AgentId, str], float] = field(default_factory=dict)  # of a path; trio time
    inboxes: OpenInboxes = field(default_factory=OpenInboxes)
    boards: list[int] = field(default_factory=list)  # how long the pages are that are open
    scratch: Room = field(default_factory=Room)


@final
@dataclass(frozen=True, slots=True)
class View:
    """The tree as the mount's agents see it, or with `agent` the copy below `as/<agent>`."""

    project: Project
    refusals: Refusals
    local: Local
    agent: AgentId | None = None

    def who(self, caller: Caller) -> AgentId:
        """Return who acts when `caller` asks something here."""
        return self.agent or caller.agent

    def acting(self, caller: Caller) -> AgentId:
        """Return who acts, for a write that bears the name; the agent is kept alive from now on.

        Raises:
            NotAllowed: nobody can tell who the caller is.
        """
        agent = self.sure(caller)
        self.project.acted(agent)
        return agent

    def sure(self, caller: Caller) -> AgentId:
        """Return who acts, or raise NotAllowed: nobody can tell who the caller is."""
        if self.agent is None and not caller.trusted:
            raise NotAllowed(
                "who acts cannot be told: the environment of the calling process is not readable; "
                "write below as/<agent>/ instead"
            )
        return self.who(caller)
