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
_patience: ContextVar[float] = ContextVar("tcfs_patience", default=DEFAULT)


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


@contextmanager
def unhurried(seconds: float) -> Iterator[None]:
    """Give each request in this block `seconds`, of an operation that takes as long as it takes."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def remaining() -> float:
    """Return the seconds left; those of one request where nobody set a deadline."""
    return _deadline.get(trio.current_time() + _patience.get()) - trio.current_time()
