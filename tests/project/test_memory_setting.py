"""Setting a memory value while attempts get lost, come late, or are overtaken."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tcfs.project._documents import WALK
from tcfs.project.memory import Memory
from tcfs.stores import ETag, NotModified, Object, OutcomeUnknown, Oversized
from tcfs.stores.deadline import within
from tests.memory_store import ALL, Fault, MemoryStore
from tests.project.parties import A, B, mounted, place, present

pytestmark = pytest.mark.usefixtures("autojump_clock")

KEY = "memory/a.json"


async def content(memory: Memory) -> bytes:
    return (await memory.read("a")).content


async def test_a_mount_that_stood_still_while_it_was_answered_shows_what_came_since(
    tmp_path: Path,
) -> None:
    """What an `open` shows was in the bucket after it began."""
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await two.memory.set("a", B, b"zero\n")

        async def stand_still() -> None:
            await two.memory.append("a", B, b"two\n")
            await trio.sleep(1)

        store.after("PUT", KEY, stand_still)
        await one.memory.append("a", A, b"one\n")
        assert (await one.memory.read("a", max_age=WALK)).content == b"zero\none\ntwo\n"


@pytest.mark.parametrize("there", [True, False])
async def test_an_attempt_that_comes_late_undoes_nothing_that_was_acknowledged(
    tmp_path: Path, there: bool
) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        if there:
            await two.memory.set("a", B, b"zero\n")
        store.fail(KEY, Fault.DELAYED)
        await one.memory.set("a", A, b"one\n")
        await two.memory.append("a", B, b"two\n")
        store.deliver()
        assert await content(two.memory) == b"one\ntwo\n"


async def test_a_set_whose_answer_is_lost_is_not_done_again_over_what_came_then(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        store.fail(KEY, Fault.ANSWER_LOST)
        store.after("PUT", KEY, lambda: two.memory.append("a", B, b"two\n"))
        await one.memory.set("a", A, b"one\n")
        assert await content(two.memory) == b"one\ntwo\n"


async def test_the_last_writer_wins_whatever_was_there_meanwhile(tmp_path: Path) -> None:
    store = MemoryStore()

    async def reference_sets() -> None:
        place(store, KEY, value="theirs", set_by="c")

    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await two.memory.set("a", B, b"zero\n")
        await one.memory.read("a")
        await two.memory.set("a", B, b"two\n")
        await one.memory.set("a", A, b"one\n")
        assert await content(two.memory) == b"one\n"
        store.before("PUT", KEY, reference_sets)
        await one.memory.set("a", A, b"three\n")
        assert await content(two.memory) == b"three\n"
        # The version is the one that was kept before the first attempt.
        assert len([it for it in store.stored() if "_history" in it]) == 4
    assert len(present(store, KEY)["recent"]) == 1


async def test_a_set_that_may_have_been_replaced_is_unknown_when_it_then_cannot_be_done(
    tmp_path: Path,
) -> None:
    store = MemoryStore()

    async def reference_sets() -> None:
        place(store, KEY, value="theirs", set_by="c")
        store.fail(KEY, Fault.REFUSED, times=1000)

    async with mounted(store, tmp_path) as project:
        await project.memory.set("a", A, b"zero\n")
        store.fail(KEY, Fault.ANSWER_LOST)
        store.after("PUT", KEY, reference_sets)
        with within(3), pytest.raises(OutcomeUnknown, match="another tool wrote it"):
            await project.memory.set("a", A, b"one\n")


async def test_where_the_store_does_not_compare_a_value_is_put_as_it_is(tmp_path: Path) -> None:
    store = MemoryStore(replace(ALL, replace=False, delete=False))
    async with mounted(store, tmp_path) as project:
        await project.memory.set("a", A, b"one\n")
        await project.memory.set("a", A, b"two\n")
        assert await content(project.memory) == b"two\n"


async def test_what_is_too_large_to_be_read_is_replaced(tmp_path: Path) -> None:
    """A larger object than 16 MiB is no document, and is not read."""
    store = MemoryStore()
    store.place(KEY, b" " * 100)
    get = store.get

    async def oversized(key: str, *, if_none_match: ETag | None = None) -> Object | NotModified:
        if store.body(key) == b" " * 100:
            raise Oversized(f"{key} is too large")
        return await get(key, if_none_match=if_none_match)

    store.get = oversized  # type: ignore[method-assign]  # as a real store does above 16 MiB
    async with mounted(store, tmp_path) as one:
        with trio.fail_after(5):
            await one.memory.set("a", A, b"one\n")
        assert await content(one.memory) == b"one\n"
