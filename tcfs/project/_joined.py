"""Additions that go together: each write carries the whole object, so many are made one."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

from tcfs.project._locks import Locks
from tcfs.project.errors import Refused
from tcfs.stores import OutcomeUnknown, StoreError
from tcfs.wire import Malformed

JOINED: Final = 1 << 16  # bytes that are added for several callers at once
Write = Callable[[bytes], Awaitable[None]]

_FAILURES: Final = (StoreError, Refused, Malformed, OSError)


@final
@dataclass(slots=True, eq=False)
class _Addition:
    """What one caller adds; `error` is what became of it, once `done`."""

    who: str
    content: bytes
    write: Write
    done: bool = False
    error: Exception | None = None


@final
class Joined:
    """Joins what several tasks of this mount add to one thing while a write of it is under way."""

    def __init__(self, alone: Locks) -> None:
        """`alone` is the queue that all other writes of these things go through."""
        self._alone = alone
        self._queues: dict[str, deque[_Addition]] = {}

    async def add(self, name: str, who: str, content: bytes, write: Write) -> None:
        """Add `content` to `name` by `write`, alone or joined to what others add for `who`.

        Raises what `write` raises; OutcomeUnknown if the task that wrote for several was
        cancelled meanwhile.
        """
        queue = self._queues.setdefault(name, deque())
        mine = _Addition(who, content, write)
        queue.append(mine)
        try:
            async with self._alone.hold(name):
                while not mine.done:
                    await _write_next(name, queue)
        finally:
            if mine in queue:  # cancelled before its turn
                queue.remove(mine)
            if not queue:
                self._queues.pop(name, None)
        if mine.error is not None:
            raise mine.error


async def _write_next(name: str, queue: "deque[_Addition]") -> None:
    batch = [queue.popleft()]
    size = len(batch[0].content)
    while (
        queue and queue[0].who == batch[0].who and (size := size + len(queue[0].content)) <= JOINED
    ):
        batch.append(queue.popleft())
    for it in batch:
        it.done = True
        it.error = OutcomeUnknown(f"adding to {name} was interrupted; read what it holds")
    error = await _outcome(batch[0].write, b"".join(it.content for it in batch))
    # One of several may be what is refused: each is told its own.
    apart = isinstance(error, Refused) and len(batch) > 1
    for it in batch:
        it.error = await _outcome(it.write, it.content) if apart else error


async def _outcome(write: Write, content: bytes) -> Exception | None:
    try:
        await write(content)
    except _FAILURES as error:
        return error
    return None
