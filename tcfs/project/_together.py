"""Several requests at once, whose errors are plain ones."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

T = TypeVar("T")
U = TypeVar("U")


async def together(
    first: Callable[[], Awaitable[T]], last: Callable[[], Awaitable[U]]
) -> tuple[T, U]:
    """Return what both give, asked at the same time.

    The first error of the two is raised as it is: a nursery alone would wrap it in a group, and
    every `except` above would have to know that two requests were made.
    """
    results: list[T] = []
    errors: list[Exception] = []

    async def run() -> None:
        try:
            results.append(await first())
        except Exception as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        try:
            other = await last()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return results[0], other
