"""The one way from the loop to a call that blocks: reading a source, or searching its lines.

Apart from the threads of the stores, which a scan of a slow disk must not take.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import trio

T = TypeVar("T")

_THREADS: Final = 4  # searching holds the interpreter's lock: more would only be in the way
_limit: Final = trio.lowlevel.RunVar[trio.CapacityLimiter]("tcfs_mirror_threads")


async def in_thread(function: Callable[[], T]) -> T:
    """Run `function` in a worker thread to its end, cancelled or not: sources are local."""
    try:
        limiter = _limit.get()
    except LookupError:
        _limit.set(limiter := trio.CapacityLimiter(_THREADS))
    return await trio.to_thread.run_sync(function, limiter=limiter)
