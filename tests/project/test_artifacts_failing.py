"""What files come to where a service refuses for the moment, or does not answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tcfs.project.artifacts import Files
from tcfs.stores import OutcomeUnknown, Unavailable
from tcfs.stores.deadline import remaining, unhurried, within
from tests.memory_store import Fault, MemoryStore

KEY, NEW = "runs/f", "runs/g"


@asynccontextmanager
async def files(store: MemoryStore, state: Path) -> AsyncIterator[Files]:
    yield Files(store, state)


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.CONFLICT])
async def test_a_name_is_taken_though_the_service_refused_at_first(
    tmp_path: Path, autojump_clock: object, fault: Fault
) -> None:
    store = MemoryStore()
    store.place(KEY, b"v")
    store.fail(NEW, fault, times=3)
    async with files(store, tmp_path) as here:
        await here.rename(KEY, NEW, exclusive=True)
    assert (store.body(KEY), store.body(NEW)) == (None, b"v")


async def test_a_name_that_cannot_be_taken_until_the_deadline_is_not(
    tmp_path: Path, autojump_clock: object
) -> None:
    store = MemoryStore()
    store.place(KEY, b"v")
    store.fail(NEW, Fault.CONFLICT, times=1000)
    async with files(store, tmp_path) as here:
        with within(3), pytest.raises(Unavailable, match="could not be renamed"):
            await here.rename(KEY, NEW, exclusive=True)
    assert (store.body(KEY), store.body(NEW)) == (b"v", None)


async def test_a_copy_whose_original_could_not_be_removed_is_of_unknown_outcome(
    tmp_path: Path, autojump_clock: object
) -> None:
    store = MemoryStore()
    store.place(KEY, b"v")
    store.fail(KEY, Fault.REFUSED, verb="DELETE", times=1000)
    async with files(store, tmp_path) as here:
        with within(3), pytest.raises(OutcomeUnknown, match=f"{NEW} has a copy of {KEY}"):
            await here.rename(KEY, NEW, exclusive=False)
    assert (store.body(KEY), store.body(NEW)) == (b"v", b"v")


async def create(here: Files, body: bytes) -> None:
    writer = await here.create(KEY, truncate=True, exclusive=True)
    try:
        await writer.write(0, body)
        await writer.save()
    finally:
        writer.close()


async def test_a_file_that_must_be_new_is_stored_though_a_request_was_lost(
    tmp_path: Path, autojump_clock: object
) -> None:
    store = MemoryStore()
    store.fail(KEY, Fault.BROKEN)
    async with files(store, tmp_path) as here:
        await create(here, b"v")
    assert store.body(KEY) == b"v"


async def test_a_file_that_must_be_new_is_unknown_where_its_answer_was_lost(
    tmp_path: Path, autojump_clock: object
) -> None:
    """What is there may be another's, with the same content."""
    store = MemoryStore()
    store.fail(KEY, Fault.ANSWER_LOST)
    async with files(store, tmp_path) as here:
        with pytest.raises(OutcomeUnknown):
            await create(here, b"v")
    assert store.body(KEY) == b"v"


async def test_a_lost_request_that_arrives_late_is_not_taken_for_anothers(
    tmp_path: Path, autojump_clock: object
) -> None:
    store = MemoryStore()
    store.fail(KEY, Fault.BROKEN)

    async def arrives() -> None:
        store.place(KEY, b"v")

    async def look() -> None:
        store.before("PUT", KEY, arrives)

    async with files(store, tmp_path) as here:
        store.after("HEAD", KEY, look)
        with pytest.raises(OutcomeUnknown):
            await create(here, b"v")


async def test_a_transfer_gives_each_request_the_mounts_deadline(autojump_clock: object) -> None:
    with unhurried(3):
        assert remaining() == 3
        await trio.sleep(5)
        assert remaining() == 3
        with within(10):
            assert remaining() == 10
    assert remaining() == 30
