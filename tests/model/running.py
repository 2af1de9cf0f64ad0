"""A trio run that goes on only while a rule awaits something in it.

Rules of a state machine are plain functions, and what they drive is not. So trio is a guest here:
between two rules nothing runs and, on a mock clock, no time passes.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import inf
from queue import SimpleQueue
from typing import Any, Final, final

import outcome
import pytest
import trio
from trio.testing import MockClock

PATIENCE: Final = 60.0  # seconds of real time for one rule


@final
class Running:
    """`opened`, an async context, entered when this is made and left by `end`.

    With `mocked` time is a mock clock's, which jumps while a rule waits and stands still else.
    """

    def __init__(
        self, opened: Callable[[], AbstractAsyncContextManager[Any]], *, mocked: bool = True
    ) -> None:
        self._opened = opened
        self._due: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._clock = MockClock() if mocked else None
        self._next: Callable[[], Awaitable[object]] | None = None
        self._entered = self._leave = False
        self._ended: outcome.Outcome[None] | None = None
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self._due.put,
            done_callback=self._done,
            clock=self._clock,
        )
        self._go_on(lambda: self._entered)

    def do(self, act: Callable[..., Awaitable[Any]], *args: Any, **how: Any) -> Any:
        """Await `act(*args, **how)` and return what it returns, or raise what it raises."""
        results: list[outcome.Outcome[Any]] = []

        async def awaited() -> None:
            results.append(await outcome.acapture(partial(act, *args, **how)))

        self._next = awaited
        self._go_on(lambda: results)
        return results[0].unwrap()

    def end(self) -> None:
        """Leave the context."""
        self._leave = True
        self._go_on(lambda: self._ended)
        assert self._ended is not None
        self._ended.unwrap()

    async def _main(self) -> None:
        async with self._opened():
            self._entered = True
            # Never asleep between two rules: trio would wait in a thread, and wake up late.
            while not self._leave:
                await trio.lowlevel.checkpoint()
                if self._next is not None:
                    act, self._next = self._next, None
                    self._let_time_jump(True)
                    await act()
                    self._let_time_jump(False)
            self._let_time_jump(True)  # what ends may wait for what takes its time

    def _done(self, ended: outcome.Outcome[None]) -> None:
        self._ended = ended

    def _let_time_jump(self, jumps: bool) -> None:
        if self._clock is not None:
            self._clock.autojump_threshold = 0 if jumps else inf

    def _go_on(self, until: Callable[[], object]) -> None:
        while not until():
            if self._ended is not None:
                self._ended.unwrap()
                pytest.fail("the run has ended")
            self._due.get(timeout=PATIENCE)()
