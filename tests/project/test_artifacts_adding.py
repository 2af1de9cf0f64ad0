"""Adding to the end of files: what `>>` and O_APPEND come to, whoever else writes there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tcfs.project.artifacts import Files
from tcfs.project.errors import Missing
from tcfs.stores import Denied, OutcomeUnknown, PreconditionFailed, Unavailable
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import mounted

pytestmark = pytest.mark.usefixtures("autojump_clock")

KEY = "runs/log"
MIB = 1 << 20


@asynccontextmanager
async def files(store: MemoryStore, state: Path) -> AsyncIterator[Files]:
    async with mounted(store, state) as project:
        yield project.files


async def add(here: Files, text: bytes) -> None:
    adder = here.add(KEY, created=False)
    try:
        await adder.write(text)
        await adder.save()
    finally:
        adder.close()


async def test_what_is_added_beside_an_idle_writer_comes_after_what_others_stored(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    store.place(KEY, b"one\n")
    async with files(store, tmp_path) as here:
        idle = await here.write(KEY, truncate=False)
        store.place(KEY, b"one\ntheirs\n")
        await add(here, b"ours\n")
        assert store.body(KEY) == b"one\ntheirs\nours\n"
        store.place(KEY, b"one\ntheirs\nours\ntheirs again\n")
        await add(here, b"ours again\n")
        assert await idle.read(0, 99) == store.body(KEY)
        idle.close()
    assert store.body(KEY) == b"one\ntheirs\nours\ntheirs again\nours again\n"


async def test_one_descriptor_adds_after_what_others_stored(tmp_path: Path) -> None:
    store = MemoryStore()
    async with files(store, tmp_path) as here:
        writer = await here.create(KEY, truncate=False, exclusive=False)
        store.place(KEY, b"theirs\n")
        await writer.append(b"one\n")
        await writer.save()
        assert (store.body(KEY), writer.size) == (b"theirs\none\n", 11)
        await writer.append(b"two\n")
        store.remove(KEY)
        await writer.save()
        assert store.body(KEY) == b"two\n"
        writer.close()


@pytest.mark.parametrize("opened", [False, True])
async def test_what_is_added_to_a_file_that_was_cut_replaces_it(
    tmp_path: Path, opened: bool
) -> None:
    store = MemoryStore()
    store.place(KEY, b"old\n")
    async with files(store, tmp_path) as here:
        reader = await here.write(KEY, truncate=False) if opened else None
        writer = await here.write(KEY, truncate=True)
        await add(here, b"one\n")
        assert store.body(KEY) == b"one\n"
        store.place(KEY, b"one\ntheirs\n")
        await add(here, b"two\n")
        assert store.body(KEY) == b"one\ntheirs\ntwo\n"
        for each in (reader, writer):
            if each is not None:
                each.close()


@pytest.mark.parametrize("act", ["write", "truncate"])
async def test_what_cannot_be_put_after_what_others_stored_is_stale(
    tmp_path: Path, act: str
) -> None:
    store = MemoryStore()
    store.place(KEY, b"one\n")
    async with files(store, tmp_path) as here:
        writer = await here.write(KEY, truncate=False)
        await writer.append(b"two\n")
        await (writer.write(0, b"ONE") if act == "write" else writer.truncate(2))
        store.place(KEY, b"theirs\n")
        for _ in range(2):
            with pytest.raises(PreconditionFailed, match="try again"):
                await writer.save()
        writer.close()
    assert store.body(KEY) == b"theirs\n"


async def test_a_large_file_is_not_fetched_to_be_added_to(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"one\n")
    async with files(store, tmp_path) as here:
        writer = await here.write(KEY, truncate=False)
        await writer.append(b"two\n")
        store.place(KEY, bytes(8 * MIB))
        with pytest.raises(PreconditionFailed, match="try again"):
            await writer.save()
        writer.close()
    assert store.body(KEY) == bytes(8 * MIB)


async def test_an_addition_that_may_have_landed_is_not_made_twice(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"one\n")
    async with files(store, tmp_path) as here:
        writer = await here.write(KEY, truncate=False)
        await writer.append(b"two\n")
        store.fail(KEY, Fault.ANSWER_LOST)
        with pytest.raises(OutcomeUnknown):
            await writer.save()
        with pytest.raises(PreconditionFailed):
            await writer.save()
        writer.close()
    assert store.body(KEY) == b"one\ntwo\n"


async def test_a_file_that_is_only_made_cuts_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with files(store, tmp_path) as here:
        touched = await here.create(KEY, truncate=False, exclusive=False)
        store.place(KEY, b"theirs\n")
        await touched.save()
        touched.close()
        assert store.body(KEY) == b"theirs\n"
        made = await here.create("runs/new", truncate=False, exclusive=False)
        await made.save()
        made.close()
    assert store.body("runs/new") == b""


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.REFUSED])
async def test_a_new_file_is_stored_again_while_the_store_refuses(
    tmp_path: Path, fault: Fault
) -> None:
    store = MemoryStore()
    async with files(store, tmp_path) as here:
        writer = await here.create(KEY, truncate=False, exclusive=True)
        await writer.write(0, b"copied")
        store.fail(KEY, fault, times=3)
        await writer.save()
        writer.close()
        assert store.body(KEY) == b"copied"
        writer = await here.create("runs/2", truncate=False, exclusive=True)
        store.fail("runs/2", fault, times=10_000)
        with pytest.raises(Exception, match="runs/2"):
            await writer.save()
        writer.close()


async def test_an_addition_that_surely_failed_is_added_by_the_next_fsync(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"one\n")
    async with files(store, tmp_path) as here:
        adder = here.add(KEY, created=False)
        await adder.write(b"two\n")
        store.fail(KEY, Fault.DENIED)
        with pytest.raises(Denied):
            await adder.save()
        await adder.write(b"three\n")
        await adder.save()
        await adder.save()
        adder.close()
    assert store.body(KEY) == b"one\ntwo\nthree\n"


async def test_adding_ends_though_nobody_gave_it_a_deadline(tmp_path: Path) -> None:
    store = MemoryStore()
    async with files(store, tmp_path) as here:
        store.fail(KEY, Fault.REFUSED, times=10_000)
        for opened in (False, True):
            writer = await here.create(KEY, truncate=False, exclusive=False) if opened else None
            with trio.fail_after(40), pytest.raises(Unavailable):
                await add(here, b"one\n")
            if writer is not None:
                writer.close()


async def test_what_was_gathered_is_kept_when_it_cannot_go_through_the_disk(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    store.place(KEY, b"1" * MIB)

    async def there() -> None:
        return

    async def away() -> None:
        raise Unavailable("away")

    async with files(store, tmp_path) as here:
        adder = here.add(KEY, created=False)
        await adder.write(b"a" * 5 * MIB)
        store.before("RANGE", KEY, there)  # it is opened, and cannot be fetched
        store.before("RANGE", KEY, away)
        with pytest.raises(Unavailable):
            await adder.write(b"b" * 5 * MIB)
        await adder.write(b"c" * 5 * MIB)
        await adder.save()
        adder.close()
    assert store.body(KEY) == b"1" * MIB + b"a" * 5 * MIB + b"c" * 5 * MIB


async def test_what_is_added_to_a_removed_file_is_not_stored(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"one\n")
    async with files(store, tmp_path) as here:
        for created in (False, True):
            adder = here.add(KEY, created=created)
            await adder.write(b"two\n")
            await here.remove(KEY)
            with pytest.raises(Missing):
                await here.stat(KEY)
            await adder.write(b"three\n")
            await adder.save()
            adder.close()
    assert store.body(KEY) is None


@pytest.mark.parametrize("created", [False, True])
async def test_what_is_added_goes_where_the_file_was_moved(tmp_path: Path, created: bool) -> None:
    store = MemoryStore()
    if not created:
        store.place(KEY, b"one\n")
    store.place("runs/old", b"replaced\n")
    async with files(store, tmp_path) as here:
        adder, replaced = here.add(KEY, created=created), here.add("runs/old", created=False)
        await adder.write(b"two\n")
        await replaced.write(b"of what was replaced\n")
        await here.rename(KEY, "runs/old", exclusive=False)
        await adder.write(b"three\n")
        for each in (adder, replaced):
            await each.save()
            each.close()
        with pytest.raises(Missing):
            await here.stat(KEY)
    one = b"" if created else b"one\n"
    assert store.body("runs/old") == one + b"two\nthree\n"
