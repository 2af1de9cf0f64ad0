"""Finishing a step, and the handoff record that goes with it (protocol.md, Steps: finish)."""

from dataclasses import replace

from tcfs.project._conditional import Lost, begun
from tcfs.project._journal import Untold
from tcfs.project.errors import Missing, NotHolder
from tcfs.project.steps._claim import TRIES, Tenure, Terms, claim, not_holder
from tcfs.project.steps._context import Context
from tcfs.project.steps._look import Look
from tcfs.project.steps._state import holds, is_stale
from tcfs.stores import Object, OutcomeUnknown
from tcfs.wire import Malformed, keys
from tcfs.wire.documents import Claim, Handoff, State
from tcfs.wire.handoff import HandoffText
from tcfs.wire.ids import AgentId, StepId, fresh


async def finish(
    context: Context, step: StepId, agent: AgentId, tenure: str | None, result: State, seen: Look
) -> None:
    """Finish `step`, which `seen` shows, as `result`: held by `agent`, or by nobody.

    Finishing goes through the claim, never through a status alone: whoever holds the claim's
    ETag decides, and a status that is late cannot undo it.

    Raises:
        NotHolder: another has it, or it is finished already; nothing was written.
        Held: nobody had it, and then another was quicker; nothing was written.
        OutcomeUnknown: it may be finished, or the status does not say so yet.
        Unavailable, Denied, ReadOnly
    """
    # A claim made only to be finished is nobody's until it carries the result.
    with Untold(context.journal) as untold:
        if holds(seen.claim, seen.status, agent, tenure):
            assert seen.claim is not None
            assert seen.claim_etag is not None
            held = Tenure(step, seen.claim, seen.claim_etag, seen.status, seen.status_etag)
        elif seen.effective.state is State.PENDING:
            held = await claim(context, step, agent, seen, untold, Terms(context.lease))
        else:
            raise not_holder(step, seen)
        held, finished = await _put_result(context, held, result)
    with begun(f"steps/{step} is {result.value}"):
        await _settle_handoff(context, step, finished, result)
        status = context.status_of(finished, result, before=held.status)
        try:
            await context.put_status(step, status, held.status_etag)
        except Lost:
            await _settle_status(context, step, finished, result)


async def _put_result(context: Context, held: Tenure, result: State) -> tuple[Tenure, Claim]:
    """Put the result on a claim; return what was held at that moment, and the claim by then.

    A renewal by another mount of its agent may come in between: the step is held all the same.
    """
    step, agent = held.step, held.claim.agent
    for _ in range(TRIES):
        finished = replace(held.claim, nonce=fresh(), lease=None, hold=False, result=result)
        try:
            await context.put_claim(step, finished, held.claim_etag)
        except Lost:
            seen = await context.look(step)
            if seen.claim is None or seen.claim_etag is None:
                raise not_holder(step, seen) from None
            if not holds(seen.claim, seen.status, agent, held.claim.id):
                raise not_holder(step, seen) from None
            held = Tenure(step, seen.claim, seen.claim_etag, seen.status, seen.status_etag)
        else:
            return held, finished
    raise NotHolder(f"steps/{step} kept changing; look at steps/{step}/claim")


async def _settle_status(context: Context, step: StepId, finished: Claim, result: State) -> None:
    """Write the status after its condition failed, while the claim is ours with this result."""
    for _ in range(TRIES):
        seen = await context.look(step)
        there = seen.claim
        if there is None or there.id != finished.id or there.result is not result:
            break
        if is_stale(there, seen.status):
            break
        status = seen.status
        if status and status.claim == finished.id and status.state is not State.IN_PROGRESS:
            return
        try:
            document = context.status_of(there, result, before=status)
            await context.put_status(step, document, seen.status_etag)
        except Lost:
            continue
        return
    raise OutcomeUnknown(f"steps/{step} was finished, and changed at once; look at its status")


async def settle(context: Context, step: StepId, seen: Look) -> None:
    """Store what a finished step lacks, for its finisher, who was not answered and asks again.

    Raises:
        OutcomeUnknown: it is finished, and does not say so everywhere yet.
        Denied, ReadOnly
    """
    claim = seen.claim
    if claim is None or claim.result is None or not lacks_status(seen):
        return
    with begun(f"steps/{step} is {claim.result.value}"):
        await _settle_handoff(context, step, claim, claim.result)
        await mend_status(context, step, seen)


async def mend_status(context: Context, step: StepId, seen: Look) -> None:
    """Write the status that a finished claim lacks: its writer crashed between the two.

    The reference's readers would see `in_progress` for ever. Raises what a write raises but Lost.
    """
    claim, status = seen.claim, seen.status
    assert claim is not None
    assert claim.result is not None
    document = context.status_of(claim, claim.result, before=status)
    try:
        await context.put_status(step, document, seen.status_etag)
    except Lost:
        return  # its writer was not dead, or another reader mended it


def lacks_status(seen: Look) -> bool:
    """Tell whether the claim has a result that the status does not say yet."""
    claim, status = seen.claim, seen.status
    if claim is None or claim.result is None or claim.released or is_stale(claim, status):
        return False
    return status is None or (not status.foreign and status.state is State.IN_PROGRESS)


# the handoff record


async def _settle_handoff(context: Context, step: StepId, claim: Claim, result: State) -> None:
    """Make the tenure's record say how it ended; one without a note if none was written."""
    found = await context.documents.read(keys.handoff(step))
    there = _parse(found)
    if there is not None and _was_written_ahead(there, claim):
        record = replace(
            there, state=result.value, claim=claim.id, generation=claim.generation, nonce=fresh()
        )
    elif there is None or there.claim is None or there.claim != claim.id:
        record = _record(context, step, claim.agent, claim, HandoffText(""), result)
    elif there.state != result.value:
        record = replace(there, state=result.value, nonce=fresh())
    else:
        return
    try:
        await context.put_handoff(step, record, found.etag if found else None)
    except Lost:
        return  # written by this agent in another process: it has one now


def _was_written_ahead(record: Handoff, claim: Claim) -> bool:
    # `echo note > handoff; echo complete > status` of a step nobody holds: the note comes first.
    # Only tcfs writes a nonce; a record of the reference's is of a tenure of its own.
    return record.claim is None and record.nonce is not None and record.from_agent == claim.agent


async def hand_off(
    context: Context, step: StepId, agent: AgentId, tenure: str | None, text: HandoffText
) -> None:
    """Write the note for whoever comes next.

    Raises:
        NotHolder: another has the step, or finished it.
        OutcomeUnknown, Unavailable, Denied, ReadOnly
    """
    for _ in range(TRIES):
        seen = await context.look(step)
        now = seen.effective_for(agent, tenure)
        if now.agent not in (None, agent) or (
            tenure is not None and now.tenure not in (None, tenure)
        ):
            raise not_holder(step, seen)
        found = await context.documents.read(keys.handoff(step))
        claim = seen.claim if seen.claim is not None and now.state is not State.PENDING else None
        record = _record(context, step, agent, claim, text, now.state)
        before = _parse(found)
        if before is not None and (
            before.from_agent == agent if claim is None else _is_of(before, claim, seen)
        ):
            record = replace(record, extra=before.extra)  # such as the reference's `changed_files`
        if text.changed_files is not None:
            changed = {"changed_files": list(text.changed_files)}
            record = replace(record, extra={**record.extra, **changed})
        try:
            await context.put_handoff(step, record, found.etag if found else None)
        except Lost:
            continue
        if claim is not None:
            # Nothing but the claim says whose the step is: had it been taken over meanwhile, this
            # record is of a tenure that ended, and its writer is not to think otherwise.
            with begun(f"steps/{step}/handoff is written"):
                seen = await context.look(step)
            if seen.claim is None or seen.claim.id != claim.id:
                raise not_holder(step, seen)
        return
    raise NotHolder(f"steps/{step}/handoff kept changing; look at who holds the step")


async def read_handoff(context: Context, step: StepId, *, max_age: float = 0.0) -> Handoff:
    """Return the handoff record of the step's tenure.

    Raises:
        Missing: there is none, or it is of a tenure before this one.
        Denied, Unavailable
    """
    record = _parse(await context.documents.read(keys.handoff(step), max_age=max_age))
    if record is None:
        raise Missing(f"steps/{step} has no handoff yet")
    seen = await context.look(step, max_age=max_age)
    claim = seen.claim
    live = claim is not None and seen.effective.state is not State.PENDING
    if live and claim is not None and not _is_of(record, claim, seen):
        raise Missing(f"steps/{step} has no handoff of its present holder yet")
    return record


def _is_of(record: Handoff, claim: Claim, seen: Look) -> bool:
    if record.claim is not None:
        return record.claim == claim.id
    # The reference's records name no claim. They are its own `complete`'s, whoever held the step.
    finisher = seen.status.agent if seen.status else claim.agent
    return record.from_agent in (claim.agent, finisher)


def _record(
    context: Context,
    step: StepId,
    agent: str,
    claim: Claim | None,
    text: HandoffText,
    state: State,
) -> Handoff:
    return Handoff(
        from_agent=agent,
        from_step=step,
        next_agent=text.next_agent,
        state=state.value,
        next_action=text.next_action,
        note=text.note,
        created_at=context.clock.iso(),
        claim=claim.id if claim else None,
        generation=claim.generation if claim else 0,
        nonce=fresh(),
    )


def _parse(found: Object | None) -> Handoff | None:
    if found is None:
        return None
    try:
        return Handoff.parse(found.body)
    except Malformed:
        return None
