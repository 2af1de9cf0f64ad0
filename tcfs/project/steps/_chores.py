"""What a mount does about steps without being asked: undo, begin late, renew, mend, give back.

All of it is tried again until it is done, or until somebody else's write settles it.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, final

import trio

from tcfs.project._apart import start_apart, survived
from tcfs.project._conditional import Lost
from tcfs.project._journal import Holding
from tcfs.project._locks import Locks
from tcfs.project.errors import NotHolder, Refused
from tcfs.project.steps._claim import Tenure, Terms, begin
from tcfs.project.steps._context import Context
from tcfs.project.steps._finish import lacks_status, mend_status
from tcfs.project.steps._keep import adopt, renew
from tcfs.project.steps._look import Look
from tcfs.project.steps._release import give_back, undo
from tcfs.stores import StoreError
from tcfs.stores.deadline import DEFAULT, within
from tcfs.wire import keys
from tcfs.wire.ids import AgentId, StepId

log: Final = logging.getLogger(__name__)
CATCH_UP: Final = 5.0  # seconds between looks at what is to be undone, or is not begun yet


@final
class Chores:
    """The chores of one mount. `alone` is the queue that all its writes of a step go through."""

    def __init__(self, context: Context, alone: Locks, nursery: trio.Nursery) -> None:
        self._context = context
        self._alone = alone
        self._nursery = nursery
        self._unbegun: dict[str, tuple[Tenure, str | None]] = {}  # by the claim's id
        self._leaving: dict[str, Holding] = {}  # by id: given up, and not surely given back
        self._mending: set[StepId] = set()

    async def begin(self, won: Tenure, note: str | None) -> None:
        """Write the status of a claim that was won, with its note; or do so later.

        Not if it has ended meanwhile: of a step that was removed since, a status would be left.
        """
        assert won.claim.id is not None
        async with self._alone.hold(won.step):
            if not self._has(won):
                self._unbegun.pop(won.claim.id, None)
                return
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

    async def let_go(self, holding: Holding) -> None:
        """Give a step back that is renewed no more from now on, unless it ended otherwise."""
        self._context.tenures.leave(holding)
        self._leaving[holding.id] = holding
        await quietly(partial(self._end, holding))

    def mend(self, step: StepId, seen: Look) -> None:
        """Write the status that a finished claim lacks, without waiting for it."""
        if lacks_status(seen) and step not in self._mending:
            self._mending.add(step)
            start_apart(self._nursery, self._mend, step)

    async def catch_up(self) -> None:
        """Undo the claims nobody was told of, and begin those whose status is not written."""
        while True:
            await trio.sleep(CATCH_UP)
            await survived(self.clear_up)

    async def clear_up(self) -> None:
        """Do once what `catch_up` does again and again; what fails is left for the next time."""
        for entry in self._context.journal.due(keys.STEPS):
            step = keys.step_of(entry.key)
            if step is not None:
                async with self._alone.hold(step):
                    await quietly(partial(undo, self._context, StepId(step), entry.nonce))
        for holding in list(self._leaving.values()):
            await quietly(partial(self._end, holding))
        for won, note in list(self._unbegun.values()):
            with within(DEFAULT):
                await self.begin(won, note)

    async def carry_on(self, holding: Holding) -> bool:
        """Take on what a mount held that is no more, or give it back if it was bound to a file.

        Returns whether it is `holding`'s agent's by now. What cannot be given back now is tried
        again later.
        """
        if holding.bound:
            self._leaving[holding.id] = holding
            await quietly(partial(self._end, holding))
            return False
        step, terms = step_of(holding), Terms(holding.seconds)
        async with self._alone.hold(step):
            won = await adopt(self._context, step, holding.agent, holding.id, terms)
            self.keep(won, terms)
        return True

    async def renew(self, holding: Holding) -> None:
        """Let the lease of a step begin anew; raises NotHolder, and what a write raises."""
        step = step_of(holding)
        async with self._alone.hold(step):
            if self._context.tenures.of(holding.key, holding.agent) == holding:
                terms = Terms(holding.seconds, holding.bound)
                await renew(self._context, step, holding.agent, holding.id, terms)

    def keep(self, won: Tenure, terms: Terms) -> Tenure:
        """Take note of a claim that was won, which is renewed from now on; return it."""
        assert won.claim.id is not None
        seconds = won.claim.lease.seconds if won.claim.lease else 0
        key, agent = keys.claim(won.step), AgentId(won.claim.agent)
        self._context.tenures.keep(Holding(key, agent, won.claim.id, seconds, terms.bound))
        return won

    def _has(self, won: Tenure) -> bool:
        agent = AgentId(won.claim.agent)
        holding = self._context.tenures.of(keys.claim(won.step), agent)
        return holding is not None and holding.id == won.claim.id

    async def _end(self, holding: Holding) -> None:
        step = step_of(holding)
        try:
            async with self._alone.hold(step):
                await give_back(self._context, step, holding.agent, holding.id)
        except NotHolder as error:
            log.info("steps/%s ended otherwise: %s", step, error)
        self._leaving.pop(holding.id, None)
        self._context.tenures.forget(holding.id)
        self._context.journal.drop(holding.id)

    async def _mend(self, step: StepId) -> None:
        try:
            async with self._alone.hold(step):
                await quietly(partial(self._mend_alone, step))
        finally:
            self._mending.discard(step)

    async def _mend_alone(self, step: StepId) -> None:
        seen = await self._context.look(step)
        if lacks_status(seen):
            await mend_status(self._context, step, seen)


def step_of(holding: Holding) -> StepId:
    """Return the step that a holding is of."""
    step = keys.step_of(holding.key)
    assert step is not None, holding.key
    return StepId(step)


async def quietly(act: Callable[[], Awaitable[object]]) -> None:
    """Run what is tried again later anyway; its failure is only worth a line in the log."""
    try:
        with within(DEFAULT):
            await act()
    except Exception as error:
        bug = not isinstance(error, StoreError | Refused | Lost)
        log.warning("in the background: %s", error, exc_info=bug)
