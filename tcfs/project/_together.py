"""Several requests at once, whose errors are plain ones."""

from collections.abc import Awaitable, Callable, Sequence
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


async def all_of(asks: Sequence[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
    """Return what each gives, in their order, at most `at_once` of them asked at the same time.

    The first error ends the others and is raised as it is.
    """
    if len(asks) == 1:
        return [await asks[0]()]
    results: dict[int, T] = {}
    errors: list[Exception] = []
    queue = iter(enumerate(asks))

    async def run(scope: trio.CancelScope) -> None:
        try:
            for index, ask in queue:
                results[index] = await ask()
        except Exception as error:
            errors.append(error)
            scope.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(min(at_once, len(asks))):
            nursery.start_soon(run, nursery.cancel_scope)
    if errors:
        raise errors[0]
    return [results[index] for index in range(len(asks))]
