"""Letting a step be there before anybody claims it: pending, for the reference's readers too."""

from contextlib import suppress

from tcfs.project._conditional import Lost
from tcfs.project.steps._context import Context
from tcfs.wire.ids import AgentId, StepId


async def plan(context: Context, step: StepId, agent: AgentId) -> None:
    """Write the status `pending` of a step that has neither status nor claim.

    Raises what a write raises.
    """
    seen = await context.look(step)
    if seen.claim is None and seen.status is None:
        with suppress(Lost):  # somebody else's status is as good
            await context.put_status(step, context.pending_of(None, agent, seen), None)
