"""What `wait`, `complete`, `reopen` and `history` do."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Final, final

import trio

from tcfs.cli._failure import Failure
from tcfs.cli._visit import Visit
from tcfs.project._batches import batches
from tcfs.project.errors import Missing, NotHolder, WontComplete
from tcfs.project.steps import Effective, Look
from tcfs.wire import keys
from tcfs.wire.documents import State
from tcfs.wire.handoff import HandoffText
from tcfs.wire.ids import StepId, step_id

JUST_NOW: Final = 5.0  # seconds that a state may be old when it is only told
SECOND: Final = 1.0


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """How a wait ended: the steps as they are, and why it failed. `late`: by the time-out."""

    steps: Sequence[tuple[StepId, str, str | None]]
    error: str | None = None
    late: bool = False


@final
@dataclass(frozen=True, slots=True)
class Version:
    """A value that a key had. `set_at` is in nanoseconds since 1970."""

    set_at: int
    agent: str
    value: str


def step_of(name: str) -> StepId:
    """Return the step that somebody names, by its id or by its path; raises InvalidName."""
    return step_id(name.strip("/").removeprefix("steps/"))


# waiting


async def wait(
    visit: Visit,
    names: Sequence[str],
    patience: float,
    warn: Callable[[str], object],
    tell: Callable[[Sequence[str], float], object] | None,
) -> Outcome:
    """Wait until every step is complete, one is not going to be, or `patience` seconds are over.

    `warn` is told of steps with nothing in them; `tell`, each second, of what is waited for and
    how many seconds are left.
    """
    steps = list(dict.fromkeys(map(step_of, names)))
    await visit.in_time(_warn_of_unknown(visit, steps, warn))
    waiting = list(steps)
    errors: list[str] = []

    async def wait_for(step: StepId, scope: trio.CancelScope) -> None:
        try:
            await visit.project.steps.wait(step)
        except WontComplete as error:
            errors.append(str(error))
            scope.cancel()
        else:
            waiting.remove(step)

    with trio.move_on_after(patience) as limit:
        async with trio.open_nursery() as background:
            if tell is not None:
                background.start_soon(_tell_of, waiting, limit.deadline, tell)
            async with trio.open_nursery() as nursery:
                for step in steps:
                    nursery.start_soon(wait_for, step, nursery.cancel_scope)
            background.cancel_scope.cancel()
    seen = await visit.in_time(_looks(visit, steps, max_age=JUST_NOW))
    rows = [(it, seen[it].effective.state.value, seen[it].effective.agent) for it in steps]
    if errors:
        return Outcome(rows, errors[0])
    if not waiting:
        return Outcome(rows)
    told = ", ".join(
        f"steps/{step} is {state}{f' by {agent}' if agent else ''}"
        for step, state, agent in rows
        if step in waiting
    )
    return Outcome(rows, f"{told} after {patience:g} s; wait longer with --timeout", late=True)


async def _tell_of(
    waiting: Sequence[StepId], end: float, tell: Callable[[Sequence[str], float], object]
) -> None:
    while True:
        tell(waiting, end - trio.current_time())
        await trio.sleep(SECOND)


async def _warn_of_unknown(
    visit: Visit, steps: Sequence[StepId], warn: Callable[[str], object]
) -> None:
    seen = await _looks(visit, steps, max_age=0.0)
    unknown = [it for it in steps if seen[it].claim is None and seen[it].status is None]
    if not unknown:
        return
    known = [it.id for it in await visit.project.steps.list()]
    for step in unknown:
        near = get_close_matches(step, known)
        hint = f"nearest: {' '.join(near)}" if near else "there is none like it"
        warn(f"waiting for steps/{step}, which has nothing in it; {hint}")


async def _looks(visit: Visit, steps: Sequence[StepId], *, max_age: float) -> dict[StepId, Look]:
    look = visit.project.steps.look
    return await _all({it: partial(look, it, max_age=max_age) for it in steps})


async def _all(asked: dict[StepId, Callable[[], Awaitable[Look]]]) -> dict[StepId, Look]:
    """Return all answers, asked for at the same time; the first error as it is."""
    found: dict[StepId, Look] = {}
    errors: list[Exception] = []

    async def ask(step: StepId, question: Callable[[], Awaitable[Look]]) -> None:
        try:
            found[step] = await question()
        except Exception as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        for step, question in asked.items():
            nursery.start_soon(ask, step, question)
    if errors:
        raise errors[0]
    return found


# finishing


async def complete(
    visit: Visit, name: str, state: State, record: HandoffText | None, *, force: bool
) -> StepId:
    """Finish a step with its handoff record; one that nobody has is claimed on the way.

    With `force` one that another agent holds is taken over first.

    Raises:
        Failure: another agent has it, or it is finished in another way; nothing was written.
    """
    step, agent = step_of(name), visit.agent
    visit.project.acted(agent)
    steps = visit.project.steps
    now = (await steps.look(step)).effective
    if now.state.final and (now.state, now.agent) != (state, agent):
        raise Failure(_why_not(step, agent, now))
    if force and now.state is State.IN_PROGRESS and now.agent != agent:
        await steps.begin(await steps.take_over(step, agent), None)
    elif record is not None and now.state is State.PENDING:
        # The record is of a tenure: without one it would be replaced as the step is finished.
        await steps.begin(await steps.claim(step, agent), None)
    try:
        if record is not None:
            await steps.hand_off(step, agent, await _completed(visit, step, record))
        await steps.set_state(step, agent, state)
    except NotHolder:
        raise Failure(_why_not(step, agent, (await steps.look(step)).effective)) from None
    return step


async def _completed(visit: Visit, step: StepId, record: HandoffText) -> HandoffText:
    """Return `record` with what the holder wrote to `handoff` before, where it says nothing."""
    try:
        before = await visit.project.steps.handoff(step)
    except Missing:
        return record
    if before.from_agent != visit.agent:
        return record
    return replace_empty(record, HandoffText(before.note, before.next_agent, before.next_action))


def replace_empty(record: HandoffText, before: HandoffText) -> HandoffText:
    """Return `record`, with the members of `before` where it has none."""
    return HandoffText(
        record.note or before.note,
        record.next_agent or before.next_agent,
        record.next_action or before.next_action,
        record.changed_files,
    )


def _why_not(step: StepId, agent: str, now: Effective) -> str:
    if now.state is State.IN_PROGRESS and now.agent != agent:
        return (
            f"steps/{step} is held by {now.agent}, not by {agent}; "
            "if that agent is gone for good, --force completes it all the same"
        )
    if now.state.final and now.agent == agent:
        return f"steps/{step} is {now.state.value} already; first: tcfs reopen {step}"
    if now.state.final:
        return f"steps/{step} is {now.state.value}, finished by {now.agent}; they can reopen it"
    return f"steps/{step} changed at this moment; try again"


async def reopen(visit: Visit, name: str) -> StepId:
    """Make a step pending that this agent finished or holds; raises NotHolder."""
    step = step_of(name)
    visit.project.acted(visit.agent)
    await visit.project.steps.set_state(step, visit.agent, State.PENDING)
    return step


# history


async def history(visit: Visit, name: str, limit: int | None) -> AsyncIterator[Version]:
    """Yield the newest `limit` versions of a memory key, oldest first; raises Missing.

    However many there are, few are held at once.
    """
    key = keys.memory_name(name.strip("/").removeprefix("memory/").replace("/", "."))
    memory = visit.project.memory
    listed = await visit.in_time(memory.versions(key))
    if not listed:
        raise Missing(f"memory/{key} has no versions; `tcfs ls memory` shows what there is")
    for batch in batches(listed[-limit:] if limit else listed):
        values = await visit.in_time(memory.values(batch))
        for entry in batch:
            leaf = keys.append_leaf(entry.key.rpartition("/")[2])
            if leaf is not None and entry.key in values:
                value = values[entry.key].content.decode(errors="replace")
                yield Version(leaf.time_ns, leaf.agent, value)
