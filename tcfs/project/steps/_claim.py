"""Claiming a step (protocol.md, Steps: claim, finish what nobody holds, renew and add to note)."""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, final

from tcfs.project._conditional import Lost
from tcfs.project._journal import Entry, Untold
from tcfs.project.errors import Held, NotHolder
from tcfs.project.steps._context import Context
from tcfs.project.steps._look import Look, parse_claim, parse_status
from tcfs.project.steps._state import effective, is_stale
from tcfs.stores import ETag, OutcomeUnknown, StoreError
from tcfs.wire import keys
from tcfs.wire.documents import Claim, State, Status
from tcfs.wire.ids import AgentId, StepId, fresh

log: Final = logging.getLogger(__name__)
TRIES: Final = 3  # of a write whose condition failed; each failure is somebody else's progress


@final
@dataclass(frozen=True, slots=True)
class Tenure:
    """A claim that was won: what it is now, and the status it was won over."""

    step: StepId
    claim: Claim
    claim_etag: ETag
    status: Status | None
    status_etag: ETag | None


@final
@dataclass(frozen=True, slots=True)
class Terms:
    """For how long a claim is made: seconds of its lease (0: for ever), `bound` to a file."""

    lease: float
    bound: bool = False


async def claim(
    context: Context, step: StepId, agent: AgentId, seen: Look, untold: Untold, terms: Terms
) -> Tenure:
    """Claim `step`, which `seen` shows, for `agent`, and return once it is surely won.

    The status is not written yet: `begin` does that. `untold` is struck out by whoever tells.

    Raises:
        Held: somebody has it, or has finished it.
        OutcomeUnknown: it may have been won; it is given back as soon as that shows.
        Unavailable, Denied, ReadOnly, Unsupported: not claimed.
    """
    if seen.effective.state is not State.PENDING:
        raise held(step, seen)
    return await replace_claim(context, step, agent, seen, untold, terms)


async def replace_claim(
    context: Context, step: StepId, agent: AgentId, seen: Look, untold: Untold, terms: Terms
) -> Tenure:
    """Put a new tenure of `agent` where `seen` shows a claim, or none; raises as `claim` does."""
    ours = Claim(
        agent=agent,
        claimed_at=context.clock.iso(),
        id=(nonce := fresh()),
        nonce=nonce,
        generation=seen.generation + 1,
        lease=context.tenures.lease(terms.lease),
        hold=terms.bound,
        host=context.host,
        mount=context.mount,
        best_effort=context.documents.store.capabilities.claims == "best-effort",
    )
    untold.enter(Entry(nonce, keys.claim(step), agent))
    try:
        written = await context.put_claim(step, ours, seen.claim_etag)
    except Lost as lost:
        raise held(step, replace(seen, claim=parse_claim(lost.current))) from None
    except OutcomeUnknown:
        raise
    except StoreError:
        untold.strike()
        raise
    won = Tenure(step, ours, written.etag, seen.status, seen.status_etag)
    try:
        return await _settle(context, won, untold)
    except StoreError as error:
        raise OutcomeUnknown(
            f"steps/{step} was claimed, and the store did not answer ({error}) before that was "
            "sure; it is given back in a moment, try again then"
        ) from error


async def _settle(context: Context, won: Tenure, untold: Untold) -> Tenure:
    """Read the status again: what was written between look and claim decides whether it stands.

    Raises:
        Held: it does not; the claim holds nothing, or was given back.
    """
    found = await context.documents.read(keys.status(won.step))
    if (found.etag if found else None) == won.status_etag:
        return won
    status = parse_status(found)
    won = replace(won, status=status, status_etag=found.etag if found else None)
    if status is None:
        return won
    if status.claim == won.claim.id and status.state is State.PENDING:
        raise Held(f"steps/{won.step} was given back while it was being claimed; claim it again")
    if status.claim != won.claim.id and status.generation >= won.claim.generation:
        won = await _raise_generation(context, won, untold)
    if status.state is not None and status.state.final:
        # Only the reference can finish a step in that moment. Under our own name it finished
        # this very claim; under another's, the claim is taken back.
        if not (status.foreign and status.agent == won.claim.agent):
            with suppress(Lost):  # another mount of this agent took it over: it is theirs now
                await context.remove_claim(won.step, won.claim, won.claim_etag)
        raise Held(f"steps/{won.step} is {status.state.value}, finished by {status.agent}")
    return won


async def _raise_generation(context: Context, won: Tenure, untold: Untold | None) -> Tenure:
    """Lift the claim's generation above the status's, or it would count as stale.

    `untold` is None once the caller was told it won: nothing is undone from then on.
    """
    assert won.status is not None
    raised = replace(won.claim, nonce=(nonce := fresh()), generation=won.status.generation + 1)
    if untold is not None:
        untold.enter(Entry(nonce, keys.claim(won.step), AgentId(raised.agent)))
    try:
        written = await context.put_claim(won.step, raised, won.claim_etag)
    except Lost as lost:
        seen = Look(parse_claim(lost.current), None, 0, won.status, won.status_etag, 0)
        raise held(won.step, seen) from None
    return replace(won, claim=raised, claim_etag=written.etag)


async def begin(context: Context, won: Tenure, note: str | None) -> None:
    """Write the status `in_progress` of a claim that was won.

    Where somebody else's write came first it stops as soon as we no longer hold the step, or the
    status is this tenure's already. Raises what a write raises.
    """
    status, base = won.status, won.status_etag
    for _ in range(TRIES):
        document = context.status_of(won.claim, State.IN_PROGRESS, before=status, note=note)
        try:
            await context.put_status(won.step, document, base)
        except Lost:
            seen = await context.look(won.step)
            if not _still_to_begin(won, seen):
                return
            assert seen.claim is not None
            assert seen.claim_etag is not None
            won = Tenure(won.step, seen.claim, seen.claim_etag, seen.status, seen.status_etag)
            if seen.status and seen.status.generation >= seen.claim.generation:
                try:
                    won = await _raise_generation(context, won, None)
                except Held:
                    return
            status, base = seen.status, seen.status_etag
        else:
            return


def _still_to_begin(won: Tenure, seen: Look) -> bool:
    if seen.claim is None or seen.claim.id != won.claim.id or seen.claim.released:
        return False
    if seen.status is not None and seen.status.claim == won.claim.id:
        return False
    state = effective(seen.claim, seen.status, ran_out=False).state
    return state is State.IN_PROGRESS or is_stale(seen.claim, seen.status)


def held(step: StepId, seen: Look) -> Held:
    """Return the refusal of a claim: who has the step, or how it ended."""
    now = seen.effective
    if now.state.final:
        return Held(
            f"steps/{step} is {now.state.value}, finished by {now.agent}; "
            f"`echo pending > steps/{step}/status` reopens it if that was you"
        )
    holder = now.agent or (seen.claim.agent if seen.claim else "another agent")
    return Held(
        f"steps/{step} is held by {holder}; `cat steps/{step}/wait` waits for it, "
        "or take another step"
    )


def not_holder(step: StepId, seen: Look) -> NotHolder:
    """Return the refusal of an act that only the holder may do."""
    now = seen.effective
    match now.state:
        case State.IN_PROGRESS:
            return NotHolder(f"steps/{step} is held by {now.agent}, not by you")
        case State.PENDING:
            return NotHolder(f"nobody holds steps/{step}: claim first: echo > steps/{step}/claim")
        case _:
            return NotHolder(
                f"steps/{step} is {now.state.value}, finished by {now.agent}; only they can "
                f"reopen it: echo pending > steps/{step}/status"
            )
