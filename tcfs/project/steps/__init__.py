"""Steps: claimed by one agent at a time, finished once, waited for by any number.

The protocol is in `_claim`, `_finish` and `_release`; `_state` judges; this is what others use.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final, final

import trio

from tcfs.project._apart import start_apart
from tcfs.project._conditional import Lost
from tcfs.project._documents import WALK
from tcfs.project._journal import Untold
from tcfs.project._locks import Locks
from tcfs.project.errors import NotHolder, Refused, WontComplete
from tcfs.project.steps._claim import (
    Tenure,
    annotate,
    begin,
    claim,
    held,
    not_holder,
    replace_claim,
)
from tcfs.project.steps._context import Context
from tcfs.project.steps._finish import finish, hand_off, lacks_status, mend_status, read_handoff
from tcfs.project.steps._look import Look, look, of_objects
from tcfs.project.steps._release import give_back, reopen, undo
from tcfs.project.steps._state import Effective, effective, holds
from tcfs.project.steps._watch import Watcher
from tcfs.stores import Entry, PreconditionFailed, StoreError
from tcfs.stores.deadline import DEFAULT, within
from tcfs.wire import keys
from tcfs.wire.documents import Handoff, State
from tcfs.wire.handoff import HandoffText
from tcfs.wire.ids import AgentId, StepId

__all__ = [
    "Context",
    "Effective",
    "Look",
    "StepSummary",
    "Steps",
    "Tenure",
    "effective",
    "held",
    "not_holder",
]

log: Final = logging.getLogger(__name__)
CATCH_UP: Final = 5.0  # seconds between looks at what is to be undone, or is not begun yet


@final
@dataclass(frozen=True, slots=True)
class StepSummary:
    """A step as a listing shows it. `modified` is its newest object's, in ns since 1970."""

    id: StepId
    modified: int


@final
class Steps:
    """The steps of a project, as one mount acts on them."""

    def __init__(self, context: Context, watcher: Watcher, nursery: trio.Nursery) -> None:
        self._context = context
        self._watcher = watcher
        self._nursery = nursery
        self._alone = Locks()
        self._tenures: dict[tuple[StepId, AgentId], str | None] = {}
        self._unbegun: dict[str, tuple[Tenure, str | None]] = {}
        self._mending: set[StepId] = set()

    # looking

    async def look(self, step: StepId, *, max_age: float = 0.0) -> Look:
        """Return the step as it is; and mend it where a crash left the status behind."""
        seen = await look(self._context.documents, step, max_age=max_age)
        if lacks_status(seen) and step not in self._mending:
            self._mending.add(step)
            start_apart(self._nursery, self._mend, step)
        return seen

    async def handoff(self, step: StepId, *, max_age: float = 0.0) -> Handoff:
        """Return the handoff record of the step's tenure; raises Missing."""
        return await read_handoff(self._context, step, max_age=max_age)

    async def list(self) -> Sequence[StepSummary]:
        """Return every step that has an object, by id."""
        newest: dict[str, int] = {}
        store = self._context.documents.store
        async for page in store.list(keys.STEPS):
            for entry in page:
                step = keys.step_of(entry.key)
                if step is not None:
                    newest[step] = max(newest.get(step, 0), entry.modified)
        return [StepSummary(StepId(step), newest[step]) for step in sorted(newest)]

    async def looks(self) -> Sequence[tuple[StepId, Look]]:
        """Return every step as it is, by id."""
        documents = self._context.documents
        entries: dict[str, Entry] = {}
        async for page in documents.store.list(keys.STEPS):
            entries.update((entry.key, entry) for entry in page)
        ids = sorted({step for key in entries if (step := keys.step_of(key)) is not None})
        wanted = [
            key for step in ids for key in (keys.claim(StepId(step)), keys.status(StepId(step)))
        ]
        found = await documents.read_many(entries[key] for key in wanted if key in entries)
        return [
            (step, of_objects(found.get(keys.claim(step)), found.get(keys.status(step))))
            for step in map(StepId, ids)
        ]

    async def objects(self, step: StepId) -> Sequence[Entry]:
        """Return the step's own objects, one level deep."""
        _, entries = await self._context.documents.store.list_dir(keys.step(step))
        return entries

    async def wait(self, step: StepId) -> None:
        """Return once the step is complete, however long that takes.

        Raises:
            WontComplete: it became blocked, or failed.
        """
        async with aclosing(self._watcher.looks(step)) as looks:
            async for seen in looks:
                now = seen.effective
                if now.state is State.COMPLETE:
                    return
                if now.state in (State.BLOCKED, State.FAILED):
                    raise WontComplete(
                        f"steps/{step} is {now.state.value}, by {now.agent}: it will not "
                        f"complete without intervention; read steps/{step}/handoff"
                    )

    def held_here(self) -> dict[AgentId, StepId]:
        """Return the step that each agent claimed last through this mount, of those it holds."""
        return {agent: step for step, agent in self._tenures}

    # acting

    async def claim(self, step: StepId, agent: AgentId) -> Tenure:
        """Claim the step for `agent`, and return once that is sure; then call `begin`.

        Raises:
            Held: somebody has it or finished it, `agent` included.
            OutcomeUnknown: unknown; it is undone as soon as it shows.
        """
        async with self._alone.hold(step):
            # A look-up of a moment ago will do: the conditional create is what decides.
            seen = await look(self._context.documents, step, max_age=WALK)
            with Untold(self._context.journal) as untold:
                won = await claim(self._context, step, agent, seen, untold)
            self._tenures[step, agent] = won.claim.id
            return won

    async def take_over(self, step: StepId, agent: AgentId) -> Tenure:
        """Take the step from whoever holds it, and return once that is sure; then call `begin`.

        It is what the next claimant does when a lease has run out: a new tenure replaces the claim
        as it was seen, with a higher generation, and whatever its holder still writes is refused.

        Raises:
            Held: it is finished, or it changed at this moment.
            OutcomeUnknown: unknown; it is given back as soon as it shows.
        """
        async with self._alone.hold(step):
            seen = await look(self._context.documents, step)
            if seen.effective.state.final:
                raise held(step, seen)
            with Untold(self._context.journal) as untold:
                won = await replace_claim(self._context, step, agent, seen, untold)
            self._tenures[step, agent] = won.claim.id
            return won

    async def begin(self, won: Tenure, note: str | None) -> None:
        """Write the status of a claim that was won, with its note.

        Never fails: the claim stands without it, and a won claim is not reported lost. What the
        store does not take now is written later.
        """
        assert won.claim.id is not None
        async with self._alone.hold(won.step):
            try:
                await begin(self._context, won, note)
            except StoreError as error:
                log.warning("steps/%s is claimed, its status is not written: %s", won.step, error)
                self._unbegun[won.claim.id] = (won, note)
            except BaseException:
                self._unbegun[won.claim.id] = (won, note)
                raise
            else:
                self._unbegun.pop(won.claim.id, None)

    async def annotate(self, step: StepId, agent: AgentId, text: str) -> None:
        """Add to the note of the claim that `agent` holds; raises NotHolder."""
        async with self._alone.hold(step):
            await annotate(self._context, step, agent, self._tenure(step, agent), text)

    async def give_back(self, step: StepId, agent: AgentId) -> None:
        """Give back the unfinished step that `agent` holds; raises NotHolder."""
        async with self._alone.hold(step):
            try:
                await give_back(self._context, step, agent, self._tenure(step, agent))
            except NotHolder:
                self._tenures.pop((step, agent), None)
                raise
            self._tenures.pop((step, agent), None)

    async def set_state(self, step: StepId, agent: AgentId, state: State) -> None:
        """Do what writing a word to `status` means.

        Raises:
            NotHolder: another has the step, or finished it; `in_progress` while nobody has it.
            Held: nobody had it, and another was quicker.
        """
        async with self._alone.hold(step):
            seen = await look(self._context.documents, step)
            now = seen.effective
            match state:
                case State.IN_PROGRESS:
                    if not holds(seen.claim, seen.status, agent, self._tenure(step, agent)):
                        raise not_holder(step, seen)
                case State.PENDING if now.state is State.PENDING:
                    return
                case State.PENDING if now.state is State.IN_PROGRESS:
                    await give_back(self._context, step, agent, self._tenure(step, agent))
                    self._tenures.pop((step, agent), None)
                case State.PENDING:
                    await reopen(self._context, step, agent)
                case _ if now.state is state and now.agent == agent:
                    return
                case _:
                    try:
                        tenure = self._tenure(step, agent)
                        await finish(self._context, step, agent, tenure, state, seen)
                    except NotHolder:
                        self._tenures.pop((step, agent), None)
                        raise
                    self._tenures.pop((step, agent), None)

    async def hand_off(self, step: StepId, agent: AgentId, text: HandoffText) -> None:
        """Write the note for whoever comes next; raises NotHolder."""
        async with self._alone.hold(step):
            await hand_off(self._context, step, agent, self._tenure(step, agent), text)

    async def remove_document(self, step: StepId, name: str) -> None:
        """Remove the object behind `status` or `handoff`, if it is as it was seen just now.

        Raises:
            NotHolder: somebody writes it at this moment.
        """
        key = f"{keys.step(step)}{name}.json"
        async with self._alone.hold(step):
            documents = self._context.documents
            if name == "status":
                await self._remove_dead_claim(step)
            found = await documents.read(key)
            if found is None:
                return
            documents.forget(key)
            condition = found.etag if self._context.conditional_delete else None
            try:
                await documents.store.delete(key, if_match=condition)
            except PreconditionFailed:
                raise NotHolder(f"steps/{step}/{name} was written just now; look again") from None
            documents.deleted(key)
            self._watcher.changed(step)

    async def _remove_dead_claim(self, step: StepId) -> None:
        # One that was given back, or landed late, would hold the step again without the status.
        seen = await look(self._context.documents, step)
        claim, etag = seen.claim, seen.claim_etag
        if claim is None or etag is None or claim.released:
            return
        if not seen.has_claim or seen.effective.state is State.PENDING:
            try:
                await self._context.remove_claim(step, claim, etag)
            except Lost:
                raise NotHolder(f"steps/{step} was written just now; look again") from None

    async def may_change(self, step: StepId, agent: AgentId) -> None:
        """Raise NotHolder unless the step is `agent`'s, or nobody's."""
        seen = await self.look(step)
        if seen.effective.agent not in (None, agent):
            raise not_holder(step, seen)

    # in the background

    async def catch_up(self) -> None:
        """Undo the claims nobody was told of, and begin those whose status is not written."""
        while True:
            await trio.sleep(CATCH_UP)
            await self.clear_up()

    async def clear_up(self) -> None:
        """Do once what `catch_up` does again and again; what fails is left for the next time."""
        for entry in self._context.journal.due():
            async with self._alone.hold(entry.step):
                await self._quietly(partial(undo, self._context, entry))
        for won, note in list(self._unbegun.values()):
            with within(DEFAULT):
                await self.begin(won, note)

    async def _mend(self, step: StepId) -> None:
        try:
            async with self._alone.hold(step):
                await self._quietly(partial(self._mend_alone, step))
        finally:
            self._mending.discard(step)

    async def _mend_alone(self, step: StepId) -> None:
        seen = await look(self._context.documents, step)
        if lacks_status(seen):
            await mend_status(self._context, step, seen)

    async def _quietly(self, act: Callable[[], Awaitable[object]]) -> None:
        """Run what is tried again later anyway; its failure is only worth a line in the log."""
        try:
            with within(DEFAULT):
                await act()
        except (StoreError, Refused, Lost) as error:
            log.warning("in the background: %s", error)

    def _tenure(self, step: StepId, agent: AgentId) -> str | None:
        return self._tenures.get((step, agent))
