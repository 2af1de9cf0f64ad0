"""The effective state of a step: one pure function of its claim and its status.

Every view, every wait and every write judges by it (protocol.md, effective state; explored
exhaustively there). Status and claim are two objects written one after the other by several
tools, so neither alone says what a step is in.
"""

from dataclasses import dataclass
from typing import final

from tcfs.wire.documents import Claim, State, Status


@final
@dataclass(frozen=True, slots=True)
class Effective:
    """What a step is in, and by whom; `tenure` is the id of the claim that decides, if one does."""

    state: State
    agent: str | None = None
    tenure: str | None = None


PENDING = Effective(State.PENDING)


def effective(claim: Claim | None, status: Status | None, *, ran_out: bool) -> Effective:
    """Return the effective state.

    `ran_out` is whether the claim's lease ran out by the store's clock; it is never so for a claim
    without one. Pass False to ask who holds, lease apart.
    """
    if claim is not None and not claim.released:
        if not is_stale(claim, status):
            return _of_tenure(claim, status, ran_out)
        assert status is not None  # a claim is stale by what a status says
    if status is not None and status.state is not None and status.state.final:
        return Effective(status.state, status.agent, status.claim)
    return PENDING


def is_stale(claim: Claim, status: Status | None) -> bool:
    """Tell whether a claim landed late: a status of another tenure is not behind it.

    A delayed create can arrive after its step was finished or given back. It holds nothing. The
    reference's claims carry no id, and none of them is ever stale.
    """
    return (
        claim.id is not None
        and status is not None
        and not status.foreign
        and status.claim != claim.id
        and claim.generation <= status.generation
    )


def belongs(status: Status, claim: Claim) -> bool:
    """Tell whether a status is of a claim's tenure; the reference's is if its agent is."""
    if status.foreign:
        return status.agent == claim.agent
    return status.claim is not None and status.claim == claim.id


def holds(claim: Claim | None, status: Status | None, agent: str, tenure: str | None) -> bool:
    """Tell whether `agent` holds the step, lease apart; by the claim `tenure`, if that is known."""
    if claim is None or not is_of(claim, agent, tenure) or claim.result is not None:
        return False
    return effective(claim, status, ran_out=False).state is State.IN_PROGRESS and not is_stale(
        claim, status
    )


def is_of(claim: Claim, agent: str, tenure: str | None) -> bool:
    """Tell whether a claim is `agent`'s; of the tenure `tenure`, if that is known."""
    return not claim.released and claim.agent == agent and tenure in (None, claim.id)


def _of_tenure(claim: Claim, status: Status | None, ran_out: bool) -> Effective:
    if claim.result is not None and not _was_finished_again(claim, status):
        return Effective(claim.result, claim.agent, claim.id)
    if status is not None and belongs(status, claim):
        if status.state is not None and status.state.final:
            return Effective(status.state, status.agent, claim.id)
        if status.state is State.PENDING:
            return PENDING
    return PENDING if ran_out else Effective(State.IN_PROGRESS, claim.agent, claim.id)


def _was_finished_again(claim: Claim, status: Status | None) -> bool:
    # `needs_review` in the tree, then `tracecraft complete` by the same agent: it writes the
    # status only. Were the result to stand, the two tools would disagree for ever.
    return (
        status is not None
        and status.foreign
        and belongs(status, claim)
        and status.state is not None
        and status.state.final
    )
