"""The one retry: until the operation's deadline, if the error says it is temporary.

Which call may be repeated is decided here by the function that is chosen:

- `read` and `write` repeat. A write given to `write` must not be conditional, so that doing it
  twice is doing it once.
- `once` does not: a conditional write that is repeated would answer to its own success. Nor does
  `bounded`, for reads of the local disk.

No attempt outlives the operation. A request still on its way then ends at its socket's timeout,
and an unanswered write is `OutcomeUnknown`.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from tcfs.stores._errors import Conflict, OutcomeUnknown, Unavailable
from tcfs.stores.backoff import LAST_CALL, pauses
from tcfs.stores.deadline import remaining, within

T = TypeVar("T")


async def read(attempt: Callable[[], Awaitable[T]], where: str) -> T:
    """Return what `attempt` does, repeated while the store at `where` is unavailable.

    Raises:
        Unavailable: there was no answer until the deadline.
    """
    return await _repeat(attempt, lambda: Unavailable(_late(where)), where)


async def write(attempt: Callable[[], Awaitable[T]], where: str) -> T:
    """Return what an unconditional write does, repeated while the store is unavailable.

    Raises:
        OutcomeUnknown: an attempt went unanswered, and none after it succeeded.
        Unavailable, Conflict: no attempt did anything until the deadline.
    """
    return await _repeat(attempt, lambda: OutcomeUnknown(_late(where)), where)


async def once(attempt: Callable[[], Awaitable[T]], where: str) -> T:
    """Return what a conditional write does in one attempt.

    Raises:
        OutcomeUnknown: it was not answered before the deadline.
        Unavailable: the deadline has passed already; nothing was sent.
    """
    return await _bounded(attempt, lambda: OutcomeUnknown(_late(where)), where)


async def bounded(attempt: Callable[[], Awaitable[T]], where: str) -> T:
    """Return what a read does in one attempt, for one that another would not help.

    Raises:
        Unavailable: there was no answer until the deadline.
    """
    return await _bounded(attempt, lambda: Unavailable(_late(where)), where)


async def _repeat(
    attempt: Callable[[], Awaitable[T]], late: Callable[[], Unavailable], where: str
) -> T:
    unanswered: OutcomeUnknown | None = None
    said: Exception | None = None  # why the last one failed that was not merely cut off
    with within(remaining()):  # the same one for all attempts
        for pause in pauses():
            try:
                return await _bounded(attempt, late, where)
            except (Unavailable, Conflict) as error:
                if isinstance(error, OutcomeUnknown):
                    unanswered = error
                if remaining() > 0:
                    said = error
                asked = error.retry_after if isinstance(error, Unavailable) else None
                wait = max(pause, asked or 0.0)
                if remaining() - wait < LAST_CALL:
                    # One attempt that may have happened outweighs any number that did not.
                    raise (unanswered or said or error) from None
            await trio.sleep(wait)
    raise AssertionError("the pauses never end")


async def _bounded(
    attempt: Callable[[], Awaitable[T]], late: Callable[[], Unavailable], where: str
) -> T:
    left = remaining()
    if left <= 0:
        raise Unavailable(f"no time was left to ask {where}; nothing was sent, try again")
    with trio.move_on_after(left):
        return await attempt()
    raise late()


def _late(where: str) -> str:
    return f"{where} did not answer in time; check the network and the endpoint, then try again"
