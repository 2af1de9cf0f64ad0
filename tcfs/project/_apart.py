"""Tasks that outlive the request they are started from, and what a bug in one may end."""

import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from typing import Final

import trio

Later = Callable[[Callable[[], Awaitable[object]]], None]
"""Starts what nobody waits for (`Project.later`)."""

log: Final = logging.getLogger(__name__)


def start_apart(
    nursery: trio.Nursery, function: Callable[..., Awaitable[object]], *args: object
) -> None:
    """Start a task that has nothing of its starter's deadline, and whose bug ends only itself.

    A task inherits the context of whoever starts it, and the deadline of a request is part of
    that (`tcfs.stores.deadline`): what goes on for longer would find it passed for ever.
    """
    start = partial(nursery.start_soon, name=function)
    Context().run(start, survived, partial(function, *args))


async def survived(act: Callable[[], Awaitable[object]]) -> bool:
    """Run a round of what goes on in the background; return false where it met a bug.

    That is logged: it must not end a mount, nor what is to be tried again.
    """
    try:
        await act()
    except Exception:
        log.exception("a bug in the background; please report it")
        return False
    return True
