"""Giving a step back, reopening it, undoing a claim nobody was told of (protocol.md, Steps)."""

from typing import Final

from tcfs.project._conditional import Lost, begun
from tcfs.project.steps._claim import TRIES, not_holder
from tcfs.project.steps._context import Context
from tcfs.project.steps._look import Look
from tcfs.project.steps._state import effective, is_of, is_stale
from tcfs.stores import OutcomeUnknown
from tcfs.wire.documents import Claim, State
from tcfs.wire.ids import AgentId, StepId

_PENDING: Final = State.PENDING


async def give_back(context: Context, step: StepId, agent: AgentId, tenure: str | None) -> None:
    """Give back the unfinished step that `agent` holds.

    Raises:
        NotHolder: it does not hold it, or the step is finished.
        OutcomeUnknown, Unavailable, Denied, ReadOnly
    """
    seen = await context.look(step)
    claim = seen.claim
    if (
        claim is None
        or not is_of(claim, agent, tenure)
        or claim.result is not None
        or seen.effective.state.final
        or is_stale(claim, seen.status)
    ):
        raise not_holder(step, seen)
    if not await _release(context, step, seen, claim, None):
        raise not_holder(step, await context.look(step))


async def undo(context: Context, step: StepId, nonce: str) -> None:
    """Give back the claim that carries `nonce`, if it is there and unfinished.

    Raises what `give_back` raises but NotHolder.
    """
    seen = await context.look(step)
    claim = seen.claim
    if claim is not None and claim.nonce == nonce and not claim.released:
        await _release(context, step, seen, claim, nonce)


async def _release(
    context: Context, step: StepId, seen: Look, claim: Claim, nonce: str | None
) -> bool:
    """Status first, then the claim, so that the step is never held by nobody.

    Returns whether the tenure of `claim` is given back; False where it ended otherwise. With
    `nonce`, only a claim that still carries it is given back.
    """
    for _ in range(TRIES):
        if not (
            _is_given_back(seen, claim)
            or is_stale(claim, seen.status)
            or (nonce is not None and _is_finished_elsewhere(seen))
        ):
            try:
                await context.put_status(
                    step, context.pending_of(claim, claim.agent, seen), seen.status_etag
                )
            except Lost:
                seen = await context.look(step)
                if seen.claim is None:
                    return True
                if not _still(seen, claim, nonce) or seen.effective.state.final:
                    return False
                continue
        assert seen.claim is not None
        assert seen.claim_etag is not None
        with begun(f"steps/{step} is given back"):
            try:
                await context.remove_claim(step, seen.claim, seen.claim_etag)
            except Lost:
                seen = await context.look(step)
                if seen.claim is None:
                    return True
                if not _still(seen, claim, nonce):
                    return False
            else:
                return True
    raise OutcomeUnknown(f"steps/{step} kept changing while it was given back; look at its status")


def _still(seen: Look, claim: Claim, nonce: str | None) -> bool:
    there = seen.claim
    return (
        there is not None
        and there.id == claim.id
        and not there.released
        and there.result is None
        and nonce in (None, there.nonce)
    )


def _is_given_back(seen: Look, claim: Claim) -> bool:
    status = seen.status
    return (
        status is not None
        and status.state is _PENDING
        and status.claim is not None
        and status.claim == claim.id
    )


def _is_finished_elsewhere(seen: Look) -> bool:
    # The reference finished what was being claimed: without that claim its word stands.
    status = seen.status
    return status is not None and status.foreign and status.state is not None and status.state.final


async def reopen(context: Context, step: StepId, agent: AgentId) -> None:
    """Make pending again a step that `agent` finished.

    Raises:
        NotHolder: somebody else finished it, or nobody did.
        OutcomeUnknown, Unavailable, Denied, ReadOnly
    """
    for _ in range(TRIES):
        seen = await context.look(step)
        claim = seen.claim if seen.claim and not seen.claim.released else None
        now = effective(seen.claim, seen.status, ran_out=False)
        if not now.state.final or now.agent != agent:
            raise not_holder(step, seen)
        try:
            await context.put_status(step, context.pending_of(claim, agent, seen), seen.status_etag)
            if claim is not None and seen.claim_etag is not None:
                with begun(f"steps/{step} is reopened"):
                    await context.remove_claim(step, claim, seen.claim_etag)
        except Lost:
            continue
        return
    raise OutcomeUnknown(f"steps/{step} kept changing while it was reopened; look at its status")
