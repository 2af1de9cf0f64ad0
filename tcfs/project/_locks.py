"""One queue for each thing that several tasks of this mount write."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

import trio


@final
class Locks:
    """A lock a name, kept only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[str, trio.Lock] = {}

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Be alone with `name` in this block; first come, first served."""
        lock = self._locks.setdefault(name, trio.Lock())
        async with lock:
            try:
                yield
            finally:
                if not lock.statistics().tasks_waiting:
                    self._locks.pop(name, None)
