"""What comes before a step: `after.json`, which orders the steps of `ready/` (tree.md, steps).

It is tcfs's own document. The reference neither reads it nor waits for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, final

from tcfs.project._conditional import Lost, Writer
from tcfs.project._documents import Documents
from tcfs.project._together import all_of
from tcfs.project.errors import Invalid, Missing, NotAllowed
from tcfs.project.steps import Context, Steps
from tcfs.stores import Object
from tcfs.wire import InvalidName, Malformed, keys
from tcfs.wire.documents import After
from tcfs.wire.ids import AgentId, StepId, fresh, step_id

RECENT: Final = 5.0  # seconds
AT_ONCE: Final = 16  # documents read on the search for a cycle
ARROW: Final = " → "

Change = Callable[[Sequence[StepId]], Sequence[StepId]]
"""Gives what is to come first, of what does by now."""


@final
class Afters:
    """Which steps come before which."""

    def __init__(self, context: Context, steps: Steps) -> None:
        self._context = context
        self._documents: Documents = context.documents
        self._writer: Writer = context.writer
        self._steps = steps

    async def read(self, step: StepId, *, max_age: float = 0.0) -> tuple[After, Object]:
        """Return what comes before a step, and the object that says so.

        Raises:
            Missing: nothing does.
            Malformed: nobody can read what does.
        """
        found = await self._documents.read(keys.after(step), max_age=max_age)
        document = None if found is None else After.parse(found.body)
        # Empty, it is what is left of one on a store without conditional delete.
        if found is None or document is None or not document.steps:
            raise Missing(f"nothing comes before steps/{step}: echo ID > steps/{step}/after")
        return document, found

    async def check(self, step: StepId, agent: AgentId) -> None:
        """Raise unless `agent` may say what comes before a step.

        Raises:
            NotHolder: the step is another's.
            NotAllowed: it is finished.
        """
        await self._steps.may_change(step, agent)
        now = (await self._context.look(step)).effective
        if now.state.final:
            raise NotAllowed(
                f"steps/{step} is {now.state.value}: reopen it first, if it is to come after "
                f"others: echo pending > steps/{step}/status"
            )

    async def set(self, step: StepId, agent: AgentId, before: Sequence[StepId]) -> None:
        """Let a step come after these, and no others; it is pending if it was nothing yet.

        Raises:
            Invalid: after itself, by whatever way.
            NotHolder, NotAllowed: as `check` does.
        """
        await self._change(step, agent, lambda _: before)

    async def add(self, step: StepId, agent: AgentId, more: Sequence[StepId]) -> None:
        """Let a step come after these as well; raises as `set` does."""
        await self._change(step, agent, lambda before: [*before, *more])

    async def _change(self, step: StepId, agent: AgentId, change: Change) -> None:
        await self.check(step, agent)
        key = keys.after(step)
        while True:  # each time round is somebody else's write; the deadline ends it
            found = await self._documents.read(key)
            there = _parse(found)
            wanted = tuple(dict.fromkeys(change([StepId(it) for it in there.steps])))
            await self._refuse_cycle(step, wanted)
            now, nonce = self._context.clock.iso(), fresh()
            document = replace(there, steps=wanted, agent=agent, set_at=now, nonce=nonce)
            try:
                if wanted or (found and not self._context.conditional_delete):
                    base = found.etag if found else None
                    await self._writer.write(key, document.encode, partial(_carries, nonce), base)
                elif found:
                    await self._writer.delete(key, found.etag, partial(_is, found))
            except Lost:
                continue
            break
        # Last: a step that shows as pending before its order does could be taken too early.
        await self._steps.plan(step, agent)

    async def _refuse_cycle(self, step: StepId, wanted: Sequence[StepId]) -> None:
        """Raise Invalid if the step would wait for itself."""
        # Of a plan that is being written, most was read or written a moment ago. What that misses
        # two writers could make as well, and `ready/` tells of it; what it finds is looked up.
        for max_age in (RECENT, 0.0):
            cycle = await self._cycle(step, wanted, max_age)
            if not cycle:
                return
        raise Invalid(
            f"steps/{step} would wait for itself: {cycle_text(cycle)}; "
            "each step waits for the one after the arrow"
        )

    async def _cycle(
        self, step: StepId, wanted: Sequence[StepId], max_age: float
    ) -> Sequence[StepId]:
        """Return the way from a step to itself, through all that would come before it."""
        read = self._documents.read
        way: dict[StepId, StepId] = {}  # each step found, by whom it was found to come before
        front = [(it, step) for it in wanted]
        while front:
            new = {it: after for it, after in reversed(front) if it not in way}
            way.update(new)
            if step in new:
                return _back(step, way)
            asks = [partial(read, keys.after(it), max_age=max_age) for it in new]
            answers = zip(new, await all_of(asks, AT_ONCE) if asks else [], strict=True)
            front = [(before, it) for it, found in answers for before in after_of(found) or ()]
        return []


def parse_ids(text: str) -> Sequence[StepId]:
    """Return the step ids in a text, separated by white space; raises InvalidName."""
    return [step_id(word) for word in text.split()]


def after_of(found: Object | None) -> Sequence[StepId] | None:
    """Return what comes before a step; None where nobody can read it, so it is never ready."""
    if found is None:
        return ()
    try:
        return [step_id(it) for it in After.parse(found.body).steps]
    except (Malformed, InvalidName):
        return None


def cycle_text(cycle: Sequence[StepId]) -> str:
    """Return a cycle as a line: a → b → a."""
    return ARROW.join([*cycle, cycle[0]])


def _back(step: StepId, way: dict[StepId, StepId]) -> list[StepId]:
    cycle = [step]
    while (it := way[cycle[-1]]) != step:
        cycle.append(it)
    return [step, *reversed(cycle[1:])]


def _parse(found: Object | None) -> After:
    """Return what a document says; one that nobody can read is replaced, as none is."""
    nothing = After(agent="unknown")
    if found is None:
        return nothing
    try:
        return After.parse(found.body)
    except Malformed:
        return nothing


def _carries(nonce: str, found: Object) -> bool:
    return _parse(found).nonce == nonce


def _is(base: Object, found: Object) -> bool:
    return found.etag == base.etag
