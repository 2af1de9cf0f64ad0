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
    Sequence,
)
from contextlib import aclosing, suppress
from functools import partial
from typing import Final, Protocol, TypeVar

import trio

from tcfs.stores import _threads
from tcfs.stores._base import ETag
from tcfs.stores._errors import NotFound, OutcomeUnknown, Unsupported
from tcfs.stores._s3_control import Control
from tcfs.stores._s3_objects import content_type

T = TypeVar("T")

SMALL: Final = 1 << 20  # bytes that go as any other put
PART: Final = 8 << 20
MAX_PARTS: Final = 10_000  # S3's limit
_AT_ONCE: Final = 4
_CLEANING: Final = 5.0  # seconds


class Writer(Protocol):
    """Runs a blocking request in a worker thread, retried and with its errors translated."""

    async def __call__(self, attempt: Callable[[], T], /) -> T:
        """Return what `attempt` does."""
        ...


async def upload(
    control: Control,
    key: str,
    parts: AsyncIterable[bytes],
    write: Writer,
    put: Callable[[bytes], Awaitable[ETag]],
) -> ETag:
    """Store what `parts` yields under `key` and return its ETag; holds a few parts at most."""
    async with aclosing(_blocks(parts)) as blocks:
        first = await anext(blocks, b"")
        if len(first) <= SMALL:
            return await put(first)
        if len(first) < PART:
            return await write(partial(control.put, key, first, **content_type(key)))
        name = await write(partial(control.begin, key, **content_type(key)))
        try:
            etags = await _send(control, key, name, first, blocks, write)
            return await _finish(control, key, name, etags, write)
        except BaseException:
            await _abort(control, key, name)
            raise


async def _send(
    control: Control,
    key: str,
    name: str,
    first: bytes,
    rest: AsyncIterator[bytes],
    write: Writer,
) -> list[str]:
    etags: dict[int, str] = {}
    room = trio.Semaphore(_AT_ONCE)

    async def send(number: int, block: bytes) -> None:
        try:
            etags[number] = await write(partial(control.part, key, name, number, block))
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


async def _finish(
    control: Control, key: str, name: str, etags: Sequence[str], write: Writer
) -> ETag:
    try:
        return await write(partial(control.finish, key, name, etags))
    except NotFound:
        # The upload is gone: an attempt before this one, whose answer was lost, has finished it.
        found = await write(partial(control.head, key))
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


async def _abort(control: Control, key: str, name: str) -> None:
    # Parts that stay cost money until the bucket's life cycle removes them. The operation's time
    # may be up, so this has its own.
    with (
        trio.move_on_after(_CLEANING, shield=True),
        suppress(Exception),  # botocore's have no common base; the caller hears of the first
    ):
        await _threads.abandoned(partial(control.abort, key, name))


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
