"""How long an operation may still take, whatever number of requests it makes.

One operation has one deadline: whoever starts it (a kernel request, a command) opens `within`,
and every retry and every request below looks at `remaining`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import trio

DEFAULT: Final = 30.0  # seconds: tree.md, failures

_deadline: ContextVar[float] = ContextVar("tcfs_deadline")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give the operation in this block `seconds`, or what the one around it has left."""
    token = _deadline.set(min(trio.current_time() + seconds, _deadline.get(float("inf"))))
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def anew(seconds: float) -> Iterator[None]:
    """Give what is in this block `seconds`, whatever the operation around it has left."""
    token = _deadline.set(trio.current_time() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining() -> float:
    """Return the seconds left; `DEFAULT` where nobody set a deadline."""
    return _deadline.get(trio.current_time() + DEFAULT) - trio.current_time()
