"""What there is in a project at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from tcfs.project import Project
from tcfs.project.agents import Presence
from tcfs.project.sessions import Totals
from tcfs.stores import Capabilities, Entry
from tcfs.wire import keys
from tcfs.wire.ids import Mailbox

LOCAL_ONLY: Final = "LOCAL ONLY, not shared between hosts"


@final
@dataclass(frozen=True, slots=True)
class StepState:
    """A step, what it is in, and by whom."""

    id: str
    state: str
    agent: str | None


@final
@dataclass(frozen=True, slots=True)
class MailboxSummary:
    """A mailbox and how many messages lie in it."""

    name: Mailbox
    total: int


@final
@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole of it. `taken` is in nanoseconds since 1970."""

    store: str
    shared: bool
    claims: str | None  # as `Capabilities.claims`
    warning: str | None
    taken: int
    agents: Sequence[Presence]
    steps: Sequence[StepState]
    mailboxes: Sequence[MailboxSummary]
    sessions: Totals


def warning(store: Capabilities) -> str | None:
    """Return the line that tells of claims which are not what they seem; None where all is well."""
    match store.claims:
        case "best-effort":
            return "BEST EFFORT claims: two agents may both win; .tcfs/capabilities says why"
        case "refused":
            return "claims are refused; .tcfs/capabilities says why"
        case _:
            return None


async def snapshot(project: Project) -> Snapshot:
    """Read the overview; raises what a listing and a get raise."""
    return Snapshot(
        store=project.store.url,
        shared=project.store.capabilities.shared,
        claims=project.store.capabilities.claims,
        warning=warning(project.store.capabilities),
        taken=project.clock.now(),
        agents=await project.agents.presences(),
        steps=[
            StepState(step, seen.effective.state.value, seen.effective.agent)
            for step, seen in await project.steps.looks()
        ],
        mailboxes=await _mailboxes(project),
        sessions=await project.sessions.totals(),
    )


async def _mailboxes(project: Project) -> Sequence[MailboxSummary]:
    totals: dict[str, int] = {}
    async for page in project.store.list(keys.MESSAGES):
        for entry in page:
            box = _mailbox_of(entry)
            if box is not None:
                totals[box] = totals.get(box, 0) + 1
    return [MailboxSummary(Mailbox(box), totals[box]) for box in sorted(totals)]


def _mailbox_of(entry: Entry) -> str | None:
    box, separator, leaf = entry.key[len(keys.MESSAGES) :].partition("/")
    return box if separator and keys.is_leaf(leaf) else None
