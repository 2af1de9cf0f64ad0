"""Objects too big for one put: parts of 8 MiB, a few at a time, each retried by itself.

Through boto3: its time-out counts from the last byte sent, where obstore's bounds a whole request
and a slow line would never get 8 MiB through.
"""

import hashlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Protocol, TypeVar, final

import trio

from tcfs.stores._base import ETag
from tcfs.stores._errors import NotFound, OutcomeUnknown, Unsupported
from tcfs.stores._s3_control import Control
from tcfs.stores._s3_objects import content_type
from tcfs.stores.deadline import anew

T = TypeVar("T")

SMALL: Final = 1 << 20  # bytes that go as any other put
PART: Final = 8 << 20
MAX_PARTS: Final = 10_000  # S3's limit
_AT_ONCE: Final = 4
_CLEANING: Final = 0.8  # seconds that an operation may end late by it


class Asker(Protocol):
    """Runs a blocking request in a worker thread, retried and with its errors translated."""

    async def __call__(self, attempt: Callable[[], T], /) -> T:
        """Return what `attempt` does."""
        ...


async def _nothing() -> None:
    return


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How an object is to be stored: whatever is there, or under a condition.

    `put` does so in one request. `ask` is for requests that may be repeated and store no object,
    whatever became of them; `finish` for the one that decides, to which `condition` is given once
    `look` has not refused.
    """

    put: Callable[[bytes], Awaitable[ETag]]
    ask: Asker
    finish: Asker
    condition: Mapping[str, str] = field(default_factory=dict)
    look: Callable[[], Awaitable[None]] = _nothing

    def under(
        self, condition: Mapping[str, str], finish: Asker, look: Callable[[], Awaitable[None]]
    ) -> "Wish":
        """Return the same under a condition, as boto3 calls it."""
        return replace(self, condition=condition, finish=finish, look=look)


async def upload(control: Control, key: str, parts: AsyncIterable[bytes], how: Wish) -> ETag:
    """Store what `parts` yields under `key` and return its ETag; holds a few parts at most."""
    async with aclosing(_blocks(parts)) as blocks:
        first = await anext(blocks, b"")
        if len(first) <= SMALL:
            return await how.put(first)
        if len(first) < PART:
            headers = {**content_type(key), **how.condition}
            return await how.finish(partial(control.put, key, first, **headers))
        name = await how.ask(partial(control.begin, key, **content_type(key)))
        try:
            etags = await _send(control, key, name, first, blocks, how.ask)
            await how.look()
            return await _finish(control, key, name, etags, how)
        except BaseException:
            await _abort(control, key, name, how.ask)
            raise


async def _send(
    control: Control,
    key: str,
    name: str,
    first: bytes,
    rest: AsyncIterator[bytes],
    ask: Asker,
) -> list[str]:
    etags: dict[int, str] = {}
    room = trio.Semaphore(_AT_ONCE)

    async def send(number: int, block: bytes) -> None:
        try:
            etags[number] = await ask(partial(control.part, key, name, number, block))
        finally:
            room.release()

    number, block = 1, first
    try:
        async with trio.open_nursery() as nursery:
            while block:
                if number > MAX_PARTS:
                    raise Unsupported(f"an object has at most {MAX_PARTS * PART >> 30} GiB")
                await room.acquire()
                nursery.start_soon(send, number, block)
                number, block = number + 1, await anext(rest, b"")
    except BaseExceptionGroup as group:
        raise _first(group) from None
    return [etags[number] for number in sorted(etags)]


async def _finish(control: Control, key: str, name: str, etags: Sequence[str], how: Wish) -> ETag:
    try:
        return await how.finish(partial(control.finish, key, name, etags, **how.condition))
    except NotFound:
        # The upload is gone: an attempt before this one, whose answer was lost, has finished it.
        found = await how.ask(partial(control.head, key))
        if found.etag != _whole(etags):
            raise OutcomeUnknown(f"{key!r} may be stored, and then replaced; read it") from None
        return found.etag


def _whole(etags: Sequence[str]) -> str:
    """Return the ETag S3 gives to an object of these parts."""
    try:
        digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)
    except ValueError:
        return ""  # the service's ETags are no hashes
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"


async def _abort(control: Control, key: str, name: str, ask: Asker) -> None:
    # Parts that stay cost money until the bucket's life cycle removes them. The operation's time
    # may be up, so this has its own; a request that has no answer by then goes on in its thread.
    with (
        trio.CancelScope(shield=True),
        anew(_CLEANING),
        suppress(Exception),  # the caller hears of the first
    ):
        await ask(partial(control.abort, key, name))


async def _blocks(parts: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    gathered = bytearray()
    async for part in parts:
        gathered += part
        while len(gathered) >= PART:
            block = bytes(memoryview(gathered)[:PART])
            del gathered[:PART]
            yield block
    if gathered:
        yield bytes(gathered)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what broke an upload; the other parts were only cancelled with it."""
    for error in group.exceptions:
        found = _first(error) if isinstance(error, BaseExceptionGroup) else error
        if not isinstance(found, trio.Cancelled):
            return found
    return group
