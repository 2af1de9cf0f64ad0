"""Tasks that outlive the request they are started from."""

from collections.abc import Awaitable, Callable
from contextvars import Context

import trio


def start_apart(
    nursery: trio.Nursery, function: Callable[..., Awaitable[object]], *args: object
) -> None:
    """Start a task that has nothing of its starter's deadline.

    A task inherits the context of whoever starts it, and the deadline of a request is part of
    that (`tcfs.stores.deadline`): what goes on for longer would find it passed for ever.
    """
    Context().run(nursery.start_soon, function, *args)
