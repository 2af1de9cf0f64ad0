"""The one way from an async store to a call that blocks: a worker thread under our own limit."""

from collections.abc import Callable
from typing import Final, TypeVar

import trio

T = TypeVar("T")

# trio's own 40 are too few: a directory's worth of documents is fetched 64 at a time.
_THREADS: Final = 64

# One a run: a thread that was abandoned when a run ended never gives its place back.
_limit: Final = trio.lowlevel.RunVar[trio.CapacityLimiter]("tcfs_threads")


async def abandoned(function: Callable[[], T]) -> T:
    """Run `function` in a worker thread, leaving it behind when cancelled.

    For requests over a network, which end by themselves when their socket times out. What a
    thread left behind answers is thrown away, so after cancelling a write its outcome is unknown.
    """
    return await trio.to_thread.run_sync(function, abandon_on_cancel=True, limiter=_limiter())


async def completed(function: Callable[[], T]) -> T:
    """Run `function` in a worker thread to its end, cancelled or not.

    For short work on the local disk, whose outcome is then always known.
    """
    return await trio.to_thread.run_sync(function, abandon_on_cancel=False, limiter=_limiter())


def _limiter() -> trio.CapacityLimiter:
    try:
        return _limit.get()
    except LookupError:
        limiter = trio.CapacityLimiter(_THREADS)
        _limit.set(limiter)
        return limiter
