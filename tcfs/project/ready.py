"""The steps that are ready, and handing them out, one to whoever asks for one (tree.md, ready).

However many wait in a mount, one task follows the steps for all of them: a listing a tick, the
documents that are new in it, and a timer, for when a lease runs out nothing changes in the bucket.
"""

import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, final

import trio

from tcfs.project._apart import start_apart
from tcfs.project._backlog import Backlog
from tcfs.project._together import all_of, together
from tcfs.project._watch import TICK, Changes, Watcher
from tcfs.project.after import after_of, cycle_text
from tcfs.project.errors import Held, NothingLeft, NotHolder
from tcfs.project.steps import Context, Steps, StepSummary, Tenure
from tcfs.stores import StoreError, Unavailable
from tcfs.stores.deadline import within
from tcfs.wire import keys
from tcfs.wire.documents import State
from tcfs.wire.ids import AgentId, StepId

log: Final = logging.getLogger(__name__)
AT_ONCE: Final = 16  # steps looked at that come before one
AGAIN: Final = 5.0  # seconds until what a store refused is tried again

Tell = Callable[[AgentId, str], None]
"""Is given a line for an agent, which explains why nothing comes."""


@final
@dataclass(slots=True, eq=False)
class _Taker:
    """One who waits for a step."""

    agent: AgentId
    done: trio.Event = field(default_factory=trio.Event)
    won: Tenure | None = None
    error: Exception | None = None
    gone: bool = False

    def tell(self, outcome: Tenure | Exception) -> None:
        if isinstance(outcome, Tenure):
            self.won = outcome
        else:
            self.error = outcome
        self.done.set()


@final
class Ready:
    """The queue of a project's steps, as the agents of one mount are served from it."""

    def __init__(
        self,
        context: Context,
        steps: Steps,
        watcher: Watcher,
        background: trio.Nursery,
        work: trio.Nursery,
    ) -> None:
        """What is begun in `work` is finished before the project closes."""
        self._context = context
        self._steps = steps
        self._watcher = watcher
        self._background = background
        self._work = work
        self._backlog = Backlog(context)
        self._current = False  # whether the backlog is being followed
        self._scope: trio.CancelScope | None = None  # of the task that follows it
        self._rest = trio.CancelScope()  # in which the follower waits for changes
        self._takers: list[_Taker] = []
        self._queue: deque[_Taker] = deque()  # those of them for whom nothing is tried
        self._trying: set[StepId] = set()
        self._told: dict[AgentId, set[str]] = {}
        self.tell: Tell = lambda agent, text: None

    # looking

    async def list(self, agent: AgentId) -> Sequence[StepSummary]:
        """Return the steps that are ready, by id; raises what a listing and a get raise."""
        backlog = Backlog(self._context)
        await backlog.list()
        self._tell_of_cycles(backlog, [agent])
        return [backlog.summary(it) for it in sorted(backlog.ready())]

    async def has(self, step: StepId) -> bool:
        """Tell whether a step is ready; raises what a get raises."""
        seen, found = await together(
            lambda: self._context.look(step),
            lambda: self._context.documents.read(keys.after(step)),
        )
        after = after_of(found)
        if seen.effective.state is not State.PENDING or after is None:
            return False
        if seen.claim is None and seen.status is None and found is None:
            # By its plain files a step is there as well.
            return bool(await self._steps.objects(step))
        asks = [partial(self._context.look, it) for it in after]
        before = await all_of(asks, AT_ONCE) if asks else []
        return all(it.effective.state is State.COMPLETE for it in before)

    # taking

    async def take(self, agent: AgentId) -> Tenure:
        """Wait for a step that is ready, claim it for `agent`, and return the claim.

        It is lent: whoever passes its id on calls `hand_over`, else `put_back`. A store that is
        away is waited for. Whose wait is cancelled has taken nothing, or it is given back.

        Raises:
            NothingLeft: no step is pending, and none is in progress.
            Denied, ReadOnly, Unsupported
        """
        taker = _Taker(agent)
        self._takers.append(taker)
        self._queue.append(taker)
        if self._scope is None:
            self._scope = trio.CancelScope()
            start_apart(self._background, self._follow, self._scope)
        elif self._current:
            self._tell_of_cycles(self._backlog, [agent])
            self._serve()
            self._rest.cancel()
        try:
            await taker.done.wait()
        except BaseException:
            taker.gone = True
            if taker.won is not None:
                self.put_back(taker.won)
            raise
        finally:
            self._leave(taker)
        if taker.error is not None:
            raise taker.error
        assert taker.won is not None
        return taker.won

    async def hand_over(self, won: Tenure) -> None:
        """Let a step that was taken be its agent's, who knows of it now.

        Never fails: the agent has the id. What the store does not take now is written later; the
        claim, which is short until then, is renewed meanwhile as any.
        """
        await self._surely(self._steps.hand_over, won)

    def hand_over_later(self, won: Tenure) -> None:
        """Hand a step over, without waiting for it."""
        start_apart(self._work, self._surely, self._steps.hand_over, won)

    def put_back(self, won: Tenure) -> None:
        """Give back a step that was taken, and of which nobody was told."""
        start_apart(self._work, self._surely, self._steps.let_go, won)

    async def _surely(self, act: Callable[[Tenure], Awaitable[None]], won: Tenure) -> None:
        if not await self._done(act, won):
            start_apart(self._background, self._try_again, act, won)

    async def _try_again(self, act: Callable[[Tenure], Awaitable[None]], won: Tenure) -> None:
        while True:
            await trio.sleep(AGAIN)
            if await self._done(act, won):
                return

    async def _done(self, act: Callable[[Tenure], Awaitable[None]], won: Tenure) -> bool:
        try:
            with within(self._context.deadline):
                await act(won)
        except NotHolder as error:  # it ended meanwhile, by another hand
            log.warning("steps/%s, which was taken: %s", won.step, error)
        except StoreError as error:
            log.warning("steps/%s, which was taken: %s", won.step, error)
            return False
        return True

    # serving those who wait

    def _serve(self) -> None:
        """Let a claim be tried for each who waits, each of another step."""
        if not self._current or not self._queue:
            return
        ready = [it for it in self._backlog.ready() if it not in self._trying]
        random.shuffle(ready)  # or the mounts of a fleet would all try the same one
        while ready and self._queue:
            taker, step = self._queue.popleft(), ready.pop()
            self._trying.add(step)
            # A claim is not broken off: whoever waits may go at any moment, and it be won by then.
            start_apart(self._work, self._claim, taker, step)

    async def _claim(self, taker: _Taker, step: StepId) -> None:
        try:
            won = await self._won(taker, step)
        finally:
            self._trying.discard(step)
        if won is not None and not taker.gone:
            taker.tell(won)
        elif won is not None:
            self.put_back(won)
        elif not taker.gone and not taker.done.is_set():
            self._queue.appendleft(taker)
            self._serve()
            self._rest.cancel()  # what was left may have been done while this was tried
        if won is not None and not taker.gone:
            with within(self._context.deadline):
                await self._steps.begin(won, None)

    async def _won(self, taker: _Taker, step: StepId) -> Tenure | None:
        """Claim a step if it is ready still; None: it is not, or the store is away."""
        try:
            with within(self._context.deadline):
                await self._backlog.refresh(step)
                if taker.gone or not self._backlog.is_ready(step):
                    return None
                with suppress(Held):  # somebody was quicker
                    return await self._steps.lend(step, taker.agent)
        except Unavailable as error:
            # Of unknown outcome, the journal gives that claim back, and another step is taken.
            log.warning("taking steps/%s: %s", step, error)
            await trio.sleep(TICK)
        except Exception as error:
            taker.tell(error)
        return None

    # following the steps

    async def _follow(self, scope: trio.CancelScope) -> None:
        try:
            await self._follow_on(scope)
        except Exception as error:
            if self._scope is scope:  # the next who waits begins anew
                self._scope, self._current = None, False
            for taker in list(self._queue):
                self._refuse(taker, error)
            raise

    async def _follow_on(self, scope: trio.CancelScope) -> None:
        with scope, self._watcher.watch(keys.STEPS) as watch:
            await self._patiently(watch.begin)  # what goes from here on is told
            await self._patiently(self._backlog.list)
            while True:
                self._current = True
                self._tell_of_cycles(self._backlog, [it.agent for it in self._takers])
                await self._send_home()
                self._serve()
                changes: Changes = {}
                with trio.move_on_after(self._backlog.next_end()) as self._rest:
                    changes = await watch.changes()
                if changes:
                    await self._patiently(partial(self._backlog.change, changes))

    async def _send_home(self) -> None:
        """Tell those who wait that nothing is left, if it is so.

        By another listing: a step that was made before the last one was completed may have been
        behind the first one, and is before the second.
        """
        while self._queue and self._backlog.is_done():
            asked = list(self._queue)
            await self._patiently(self._backlog.list)
            if self._backlog.is_done():
                for taker in asked:
                    self._refuse(taker, NothingLeft("no step is pending, and none is in progress"))

    def _refuse(self, taker: _Taker, error: Exception) -> None:
        with suppress(ValueError):  # it went, or a step is tried for it
            self._queue.remove(taker)
            taker.tell(error)

    async def _patiently(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                with within(self._context.deadline):
                    return await act()
            except Unavailable as error:
                log.warning("waiting for a step to be ready: %s", error)
            except Exception as error:
                for taker in list(self._queue):
                    self._refuse(taker, error)
            await trio.sleep(TICK)

    def _leave(self, taker: _Taker) -> None:
        self._takers.remove(taker)
        with suppress(ValueError):
            self._queue.remove(taker)
        if not self._takers and self._scope is not None:
            self._scope.cancel()
            self._scope, self._current = None, False

    def _tell_of_cycles(self, backlog: Backlog, agents: Sequence[AgentId]) -> None:
        """Tell those who wonder why nothing comes, of each cycle once."""
        cycles = {cycle_text(it) for it in backlog.cycles()}
        for agent in dict.fromkeys(agents):
            told = self._told.get(agent, set())
            for text in sorted(cycles - told):
                self.tell(agent, f"these wait for each other: {text}; write one's after")
            self._told[agent] = cycles
