"""The pauses between attempts: exponential with full jitter, until the deadline."""

import random
from collections.abc import AsyncGenerator
from typing import Final

import trio

from tcfs.stores import deadline

FIRST: Final = 0.05  # seconds: stores.md, retries
LONGEST: Final = 2.0
LAST_CALL: Final = 0.1  # an attempt that has less time than this is not begun


async def pauses() -> AsyncGenerator[None, None]:
    """Yield at once, and then after ever longer pauses, as long as another attempt has time."""
    ceiling = FIRST
    yield
    while True:
        pause = random.uniform(0, ceiling)
        if deadline.remaining() - pause < LAST_CALL:
            return
        await trio.sleep(pause)
        ceiling = min(LONGEST, ceiling * 2)
        yield
