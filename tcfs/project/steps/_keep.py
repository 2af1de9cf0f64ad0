"""Keeping a step that one holds: renewing its claim, taking it on, adding to its note.

All of these replace the claim as it was seen by the same tenure's (protocol.md, Steps: renew,
adopt): whoever took the step over meanwhile has changed its ETag, and wins.
"""

from dataclasses import replace

from tcfs.project._conditional import Lost
from tcfs.project.errors import NotHolder
from tcfs.project.steps._claim import TRIES, Tenure, Terms, held, not_holder
from tcfs.project.steps._context import Context, note_of
from tcfs.project.steps._look import Look
from tcfs.project.steps._state import holds
from tcfs.wire.documents import Claim, State
from tcfs.wire.ids import AgentId, StepId, fresh


async def renew(context: Context, step: StepId, agent: AgentId, tenure: str, terms: Terms) -> None:
    """Let the lease of the claim that `agent` holds begin anew, under these terms.

    Raises:
        NotHolder: it does not hold the step; nothing was written.
        OutcomeUnknown, Unavailable, Denied, ReadOnly
    """
    for _ in range(TRIES):
        seen = await context.look(step)
        before = held_by(step, agent, tenure, seen)
        if before.mount != context.mount:
            raise NotHolder(f"another mount of {agent} has taken steps/{step} on, and renews it")
        claim = replace(
            before,
            nonce=fresh(),
            lease=context.tenures.lease(terms.lease),
            hold=terms.bound,
        )
        try:
            await context.put_claim(step, claim, seen.claim_etag)
        except Lost:
            continue
        return
    raise _kept_changing(step)


async def adopt(
    context: Context, step: StepId, agent: AgentId, tenure: str | None, terms: Terms
) -> Tenure:
    """Take on the claim that `agent` has, made by this mount or by another way in.

    The status is written anew as well, so that whoever still acts by the claim as it was finds
    both changed; only then is the caller told.

    Raises:
        NotHolder: `agent` does not hold the step.
        Held: the claim is about to be undone, or bound to a file that somebody has open.
        OutcomeUnknown, Unavailable, Denied, ReadOnly
    """
    ours: str | None = None
    for _ in range(TRIES):
        seen = await context.look(step)
        before = held_by(step, agent, tenure, seen)
        # Bound, somebody has `hold` open. Once its mount is gone the lease runs out, or the next
        # mount of that host gives the step back.
        bound = before.hold and not seen.ran_out and before.nonce != ours
        if bound or context.journal.has(before.nonce):
            raise held(step, seen)
        claim = replace(
            before,
            nonce=(ours := fresh()),
            id=before.id or fresh(),  # the reference's claims have none
            lease=context.tenures.lease(terms.lease),
            hold=terms.bound,
            host=context.host,
            mount=context.mount,
        )
        try:
            written = await context.put_claim(step, claim, seen.claim_etag)
            status = context.status_of(
                claim, State.IN_PROGRESS, before=seen.status, note=note_of(before, seen.status)
            )
            stored = await context.put_status(step, status, seen.status_etag)
        except Lost:
            continue
        return Tenure(step, claim, written.etag, status, stored.etag)
    raise _kept_changing(step)


async def annotate(
    context: Context, step: StepId, agent: AgentId, tenure: str | None, text: str
) -> None:
    """Add `text` to the note of the claim that `agent` holds, and renew the claim.

    Raises:
        NotHolder: it does not hold the step.
        OutcomeUnknown, Unavailable, Denied, ReadOnly
    """
    for _ in range(TRIES):
        seen = await context.look(step)
        claim = held_by(step, agent, tenure, seen)
        note = note_of(claim, seen.status) or ""
        seconds = claim.lease.seconds if claim.lease else 0
        renewed = replace(claim, nonce=fresh(), lease=context.tenures.lease(seconds))
        try:
            await context.put_claim(step, renewed, seen.claim_etag)
            status = context.status_of(
                renewed, State.IN_PROGRESS, before=seen.status, note=note + text
            )
            await context.put_status(step, status, seen.status_etag)
        except Lost:
            continue
        return
    raise _kept_changing(step)


def held_by(step: StepId, agent: AgentId, tenure: str | None, seen: Look) -> Claim:
    """Return the claim by which `agent` holds a step, lease apart; raises NotHolder."""
    if seen.claim is None or not holds(seen.claim, seen.status, agent, tenure):
        raise not_holder(step, seen)
    return seen.claim


def _kept_changing(step: StepId) -> NotHolder:
    return NotHolder(f"steps/{step} kept changing hands; look at steps/{step}/claim")
