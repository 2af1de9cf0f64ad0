"""Steps: claimed by one agent at a time, finished once, waited for by any number.

The protocol is in `_claim`, `_keep`, `_finish` and `_release`; `_state` judges; what is done
without being asked is in `_chores`. This is what others use.
"""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, final

import trio

from tcfs.project._conditional import Lost
from tcfs.project._documents import WALK
from tcfs.project._journal import Untold
from tcfs.project._locks import Locks
from tcfs.project.errors import Held, NotHolder, WontComplete
from tcfs.project.steps._chores import CATCH_UP, Chores, quietly
from tcfs.project.steps._claim import Tenure, Terms, claim, held, not_holder, replace_claim
from tcfs.project.steps._context import Context
from tcfs.project.steps._finish import finish, hand_off, read_handoff, settle
from tcfs.project.steps._keep import adopt, annotate, renew
from tcfs.project.steps._look import Look
from tcfs.project.steps._plan import plan
from tcfs.project.steps._release import give_back, reopen
from tcfs.project.steps._state import Effective, effective, holds
from tcfs.project.steps._watch import StepWatcher
from tcfs.stores import Entry, PreconditionFailed
from tcfs.wire import keys
from tcfs.wire.documents import Handoff, State
from tcfs.wire.handoff import HandoffText
from tcfs.wire.ids import AgentId, StepId

__all__ = [
    "CATCH_UP",
    "Context",
    "Effective",
    "Look",
    "StepSummary",
    "Steps",
    "Tenure",
    "effective",
    "held",
    "not_holder",
    "quietly",
]

LEASE: Final = 900  # seconds: tree.md, how long a claim lives
SHORTEST: Final = 3  # deadlines that a lease has at least: protocol.md, Steps


@final
@dataclass(frozen=True, slots=True)
class StepSummary:
    """A step as a listing shows it. `modified` is its newest object's, in ns since 1970."""

    id: StepId
    modified: int


@final
class Steps:
    """The steps of a project, as one mount acts on them."""

    def __init__(self, context: Context, watcher: StepWatcher, nursery: trio.Nursery) -> None:
        self._context = context
        self._watcher = watcher
        self._alone = Locks()
        self.chores = Chores(context, self._alone, nursery)

    # looking

    async def look(self, step: StepId, *, max_age: float = 0.0) -> Look:
        """Return the step as it is; and mend it where a crash left the status behind."""
        seen = await self._context.look(step, max_age=max_age)
        self.chores.mend(step, seen)
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
        if found:
            await self._context.clock.ask(documents.store)
        return [
            (step, self._context.seen(found.get(keys.claim(step)), found.get(keys.status(step))))
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
        steps = ((it.agent, keys.step_of(it.key)) for it in self._context.tenures)
        return {agent: StepId(step) for agent, step in steps if step is not None}

    # acting

    async def claim(self, step: StepId, agent: AgentId) -> Tenure:
        """Claim the step for `agent`, and return once that is sure; then call `begin`.

        Raises:
            Held: somebody has it or finished it, `agent` included.
            OutcomeUnknown: unknown; it is undone as soon as it shows.
        """
        return await self._claim(step, agent, Terms(self._context.lease))

    async def hold(self, step: StepId, agent: AgentId) -> Tenure:
        """Claim the step for as long as a file is open, or take on the claim that `agent` has.

        Whoever closes the file calls `let_go`. Raises as `claim` does.
        """
        terms = Terms(self._context.lease or LEASE, bound=True)
        async with self._alone.hold(step):
            seen = await self._context.look(step, max_age=WALK)
            ours = self._context.tenures.of(keys.claim(step), agent)
            if ours is not None and ours.bound:
                raise held(step, seen)
            if holds(seen.claim, seen.status, agent, ours.id if ours else None):
                tenure = ours.id if ours else None
                try:
                    won = await adopt(self._context, step, agent, tenure, terms)
                except NotHolder as error:
                    raise Held(str(error)) from None
                return self.chores.keep(won, terms)
        return await self._claim(step, agent, terms)

    async def let_go(self, won: Tenure) -> None:
        """Give back what `hold` or `lend` claimed, unless it ended otherwise; now or later."""
        agent = AgentId(won.claim.agent)
        holding = self._context.tenures.of(keys.claim(won.step), agent)
        if holding is not None and holding.id == won.claim.id:
            await self.chores.let_go(holding)

    async def lend(self, step: StepId, agent: AgentId) -> Tenure:
        """Claim the step for one who is about to be told of it; then call `hand_over`.

        Its lease is short, and it is given back if this mount ends first. Raises as `claim` does.
        """
        return await self._claim(step, agent, Terms(SHORTEST * self._context.deadline, bound=True))

    async def hand_over(self, won: Tenure) -> None:
        """Let a step that was lent be its holder's for as long as any; raises NotHolder."""
        terms = Terms(self._context.lease)
        agent = AgentId(won.claim.agent)
        async with self._alone.hold(won.step):
            if self._tenure(won.step, agent) != won.claim.id:
                return  # it is finished already, or given back
            assert won.claim.id is not None
            await renew(self._context, won.step, agent, won.claim.id, terms)
            self.chores.keep(won, terms)

    async def _claim(self, step: StepId, agent: AgentId, terms: Terms) -> Tenure:
        async with self._alone.hold(step):
            # A look-up of a moment ago will do: the conditional create is what decides.
            seen = await self._context.look(step, max_age=WALK)
            with Untold(self._context.journal) as untold:
                won = await claim(self._context, step, agent, seen, untold, terms)
            return self.chores.keep(won, terms)

    async def take_over(self, step: StepId, agent: AgentId) -> Tenure:
        """Take the step from whoever holds it, and return once that is sure; then call `begin`.

        It is what the next claimant does when a lease has run out: a new tenure replaces the claim
        as it was seen, with a higher generation, and whatever its holder still writes is refused.

        Raises:
            Held: it is finished, or it changed at this moment.
            OutcomeUnknown: unknown; it is given back as soon as it shows.
        """
        terms = Terms(self._context.lease)
        async with self._alone.hold(step):
            seen = await self._context.look(step)
            if seen.effective.state.final:
                raise held(step, seen)
            with Untold(self._context.journal) as untold:
                won = await replace_claim(self._context, step, agent, seen, untold, terms)
            return self.chores.keep(won, terms)

    async def begin(self, won: Tenure, note: str | None) -> None:
        """Write the status of a claim that was won, with its note.

        Never fails: the claim stands without it, and a won claim is not reported lost. What the
        store does not take now is written later.
        """
        await self.chores.begin(won, note)

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
                self._drop(step, agent)
                raise
            self._drop(step, agent)

    async def set_state(self, step: StepId, agent: AgentId, state: State) -> None:
        """Do what writing a word to `status` means.

        Raises:
            NotHolder: another has the step, or finished it; `in_progress` while nobody has it.
            Held: nobody had it, and another was quicker.
        """
        async with self._alone.hold(step):
            seen = await self._context.look(step)
            now = seen.effective
            # Lease apart: what ran out is one's own until somebody takes it.
            mine = holds(seen.claim, seen.status, agent, self._tenure(step, agent))
            match state:
                case State.IN_PROGRESS:
                    if not mine:
                        raise not_holder(step, seen)
                case State.PENDING if now.state is State.PENDING and not mine:
                    await plan(self._context, step, agent)
                case State.PENDING if now.state is State.IN_PROGRESS or mine:
                    await give_back(self._context, step, agent, self._tenure(step, agent))
                    self._drop(step, agent)
                case State.PENDING:
                    await reopen(self._context, step, agent)
                case _ if now.state is state and now.agent == agent:
                    await settle(self._context, step, seen)
                    self._drop(step, agent)
                case _:
                    try:
                        tenure = self._tenure(step, agent)
                        await finish(self._context, step, agent, tenure, state, seen)
                    except NotHolder:
                        self._drop(step, agent)
                        raise
                    self._drop(step, agent)

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
            sent = documents.sending(key)
            condition = found.etag if self._context.conditional_delete else None
            try:
                await documents.store.delete(key, if_match=condition)
            except PreconditionFailed:
                raise NotHolder(f"steps/{step}/{name} was written just now; look again") from None
            documents.deleted(key, sent=sent)

    async def _remove_dead_claim(self, step: StepId) -> None:
        # One that was given back, or landed late, would hold the step again without the status.
        seen = await self._context.look(step)
        claim, etag = seen.claim, seen.claim_etag
        if claim is None or etag is None or claim.released:
            return
        if not seen.has_claim or seen.effective.state is State.PENDING:
            try:
                await self._context.remove_claim(step, claim, etag)
            except Lost:
                raise NotHolder(f"steps/{step} was written just now; look again") from None

    async def plan(self, step: StepId, agent: AgentId) -> None:
        """Let a step be there, pending, that was nothing yet; raises what a write raises."""
        async with self._alone.hold(step):
            await plan(self._context, step, agent)

    async def may_change(self, step: StepId, agent: AgentId) -> None:
        """Raise NotHolder unless the step is `agent`'s, or nobody's."""
        seen = await self.look(step)
        if seen.effective_for(agent, self._tenure(step, agent)).agent not in (None, agent):
            raise not_holder(step, seen)

    def _tenure(self, step: StepId, agent: AgentId) -> str | None:
        return self._context.tenures.id(keys.claim(step), agent)

    def _drop(self, step: StepId, agent: AgentId) -> None:
        self._context.tenures.drop(keys.claim(step), agent)
