"""The pauses between attempts: exponential with full jitter, until the deadline."""

import random
from collections.abc import Iterator
from typing import Final

import trio

from tcfs.stores import deadline

FIRST: Final = 0.05  # seconds: stores.md, retries
LONGEST: Final = 2.0
LAST_CALL: Final = 0.1  # an attempt that has less time than this is not begun


def pauses() -> Iterator[float]:
    """Yield ever longer pauses, in seconds, without end: who takes them looks at the time.

    Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    ceiling = FIRST
    while True:
        yield random.uniform(0.0, ceiling)
        ceiling = min(2 * ceiling, LONGEST)


async def another(pause: float) -> bool:
    """Pause, and return True, if another attempt then has time; else return False at once."""
    if deadline.remaining() - pause < LAST_CALL:
        return False
    await trio.sleep(pause)
    return True
