"""What is asked for ahead of whoever reads a long file through."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tcfs.project._ahead import LARGEST, PIECES, Ahead
from tcfs.project.sessions import Gone
from tcfs.stores import Unavailable

pytestmark = pytest.mark.usefixtures("autojump_clock")

KIB = 1 << 10
SIZE = 128 << 20
PART = 10 << 20  # what is ahead best ends with one
SLOW = 1.0  # seconds of each request


class File:
    """A file whose every request takes a while. Byte `n` says which KiB it is of."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.under_way = 0
        self.most = 0  # under way at once
        self.failing: Exception | None = None

    @staticmethod
    def cut(offset: int, limit: int) -> int:
        return limit // PART * PART if limit // PART * PART > offset else limit

    async def fetch(self, offset: int, size: int) -> Sequence[bytes]:
        self.asked.append((offset, size))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await trio.sleep(SLOW)
        finally:
            self.under_way -= 1
        if self.failing is not None:
            raise self.failing
        found = content(offset, size)
        return [found[: size // 3], found[size // 3 :]]


def content(offset: int, size: int) -> bytes:
    kib = range(offset // KIB, (offset + size) // KIB + 1)
    begin = offset % KIB
    return b"".join(bytes([it % 251]) * KIB for it in kib)[begin : begin + size]


@asynccontextmanager
async def reader(file: File) -> AsyncIterator[Ahead]:
    async with trio.open_nursery() as nursery:

        def later(act: Callable[[], Awaitable[object]]) -> None:
            nursery.start_soon(act)

        yield Ahead(file.fetch, file.cut, later)
        nursery.cancel_scope.cancel()


async def through(ahead: Ahead, begin: int, end: int, step: int = 128 * KIB) -> None:
    for offset in range(begin, end, step):
        size = min(step, end - offset)
        assert await ahead.read(offset, size, SIZE) == content(offset, size)


async def until_under_way(ahead: Ahead, file: File) -> None:
    """Read on until something is being asked for that nobody waits for yet."""
    at = 8 << 20
    await through(ahead, 0, at)
    while not file.under_way:
        await through(ahead, at, at + 128 * KIB)
        at += 128 * KIB


async def test_whoever_reads_on_is_given_more_and_more_at_once() -> None:
    file = File()
    async with reader(file) as ahead:
        begin = trio.current_time()
        await through(ahead, 0, SIZE)
        took = trio.current_time() - begin
    assert sorted(file.asked) == file.asked
    assert sum(size for _, size in file.asked) == SIZE
    assert file.most == PIECES
    assert max(size for _, size in file.asked) == LARGEST
    # One after the other they take more than twice as long.
    assert took < len(file.asked) * SLOW / 2
    assert set(range(PART, SIZE, PART)) <= {offset for offset, _ in file.asked}


async def test_no_more_is_ahead_than_was_read() -> None:
    file = File()
    async with reader(file) as ahead:
        assert await ahead.read(0, 8 * KIB, SIZE) == content(0, 8 * KIB)
        assert file.asked == [(0, 8 * KIB)]
        await through(ahead, 8 * KIB, 1000 * KIB, 8 * KIB)
        last = max(offset + size for offset, size in file.asked)
        assert last <= 2 * 1000 * KIB + 256 * KIB
        await through(ahead, 1000 * KIB, SIZE // 2, 8 * KIB)
        last = max(offset + size for offset, size in file.asked)
        assert last <= SIZE // 2 + PIECES * LARGEST


async def test_a_jump_asks_for_what_is_read_and_drops_what_was_ahead() -> None:
    file = File()
    async with reader(file) as ahead:
        await until_under_way(ahead, file)
        file.asked.clear()
        assert await ahead.read(40 << 20, 10, SIZE) == content(40 << 20, 10)
        assert file.asked == [(40 << 20, 10)]
        assert file.under_way == 0
        assert await ahead.read(SIZE - 10, 100, SIZE) == content(SIZE - 10, 10)


async def test_nothing_is_asked_for_once_it_is_dropped() -> None:
    file = File()
    async with reader(file) as ahead:
        await until_under_way(ahead, file)
        ahead.drop()
        await trio.testing.wait_all_tasks_blocked()
        assert file.under_way == 0


@pytest.mark.parametrize("error", [Gone("a part"), Unavailable("away")])
async def test_what_fails_ahead_is_asked_for_again_when_it_is_read(error: Exception) -> None:
    file = File()
    async with reader(file) as ahead:
        await through(ahead, 0, 1 << 20)
        file.failing = error
        # What is held still comes; what is asked for now is what the reader is told.
        with pytest.raises(type(error)):
            await through(ahead, 1 << 20, SIZE)
        file.failing = None
        at = file.asked[-1][0]
        await through(ahead, at, at + (1 << 20))
