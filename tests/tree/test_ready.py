"""`ready/` and `after` without a kernel: when a step is the reader's, and what is refused."""

from errno import EINVAL, ENODATA, ENOENT, EPERM, EROFS
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tcfs.tree._base import Handle, Link
from tcfs.wire import keys
from tcfs.wire.documents import State
from tcfs.wire.ids import StepId
from tests.memory_store import MemoryStore
from tests.project.parties import place, present, reference_claims, state_of
from tests.tree.walk import APPEND, READ, REPLACE, TOUCH, Tree, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")

BUILD = StepId("build")


async def opened(tree: Tree) -> Handle:
    return await tree.open("ready/take", READ)


def is_lent(store: MemoryStore) -> bool:
    return present(store, keys.claim(BUILD)).get("hold") is True


async def is_given_back(store: MemoryStore) -> bool:
    await trio.sleep(1)
    return state_of(store, BUILD).state is State.PENDING


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    place(store, keys.status(BUILD), status="pending", agent="r", claim=None)
    return store


async def test_a_step_is_taken_by_the_read_and_not_by_opening(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with grown(tmp_path, store) as tree:
        handle = await opened(tree)
        assert state_of(store, BUILD).state is State.PENDING
        assert await handle.read(0, 65536) == b"build\n"
        assert state_of(store, BUILD).agent == "a"
        await handle.release()


async def test_a_read_that_returns_nothing_more_hands_over(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with grown(tmp_path, store) as tree:
        handle = await opened(tree)
        await handle.read(0, 65536)
        assert is_lent(store)
        assert await handle.read(6, 65536) == b""
        assert not is_lent(store)
        handle.discard()
        await handle.release()
        assert not await is_given_back(store)


@pytest.mark.parametrize("part", [1, 2, 5, 128])
async def test_a_close_after_the_id_was_read_hands_over(
    store: MemoryStore, tmp_path: Path, part: int
) -> None:
    """As bash's `read` does, which closes a duplicate before it has read."""
    async with grown(tmp_path, store) as tree:
        handle = await opened(tree)
        await handle.commit()
        read = b""
        while len(read) < len("build"):
            read += await handle.read(len(read), part)
            assert is_lent(store)
        assert read.startswith(b"build")
        await handle.commit()
        assert not is_lent(store)
        await handle.release()
        assert not await is_given_back(store)


@pytest.mark.parametrize("parts", [[], [(0, 4)], [(2, 10)], [(0, 2), (3, 10)]])
async def test_who_closes_without_the_id_gives_back(
    store: MemoryStore, tmp_path: Path, parts: list[tuple[int, int]]
) -> None:
    async with grown(tmp_path, store) as tree:
        handle = await opened(tree)
        for offset, size in parts:
            await handle.read(offset, size)
        await handle.commit()
        await handle.release()
        assert await is_given_back(store)


async def test_an_opener_that_was_killed_gives_back(store: MemoryStore, tmp_path: Path) -> None:
    async with grown(tmp_path, store) as tree:
        handle = await opened(tree)
        await handle.read(0, 65536)
        handle.discard()
        assert await handle.read(0, 65536) == b""  # a child that has it open as well
        await handle.commit()
        await handle.release()
        assert await is_given_back(store)
        assert await tree.cat("ready/take") == "build\n"


async def test_a_last_close_that_nobody_was_asked_about_hands_over(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with grown(tmp_path, store) as tree:
        handle = await opened(tree)
        await handle.read(0, 65536)
        await handle.release()
        await trio.sleep(1)
        assert not is_lent(store)


async def test_one_open_takes_one_step(store: MemoryStore, tmp_path: Path) -> None:
    async with grown(tmp_path, store) as tree:
        await tree.write("steps/test/after", "")
        handle = await opened(tree)
        read: list[bytes] = []

        async def reads() -> None:
            read.append(await handle.read(0, 65536))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reads)
            nursery.start_soon(reads)
        assert read[0] == read[1]
        await handle.read(6, 10)
        await handle.release()
        assert len(await tree.ls("ready")) == 1


async def test_what_is_shown_and_what_is_refused(store: MemoryStore, tmp_path: Path) -> None:
    """`ready/` is a view; `take` is not listed, and a step of that name is only taken."""
    async with grown(tmp_path, store) as tree:
        await tree.write("steps/take/after", "")
        directory = await tree.directory("ready")
        ((name, link),) = await directory.entries(caller())
        assert (name, isinstance(link, Link) and link.target) == ("build", "../steps/build")
        assert link.listed is not None
        assert link.listed.modified > 0
        for name in ("nothing", "Build", ".x", "take/x"[4:]):
            with refused(ENOENT):
                await directory.lookup(name, caller())
        with refused(EPERM):
            await tree.open("ready/take", REPLACE)
        with refused(EPERM):
            await (await tree.node("ready/take")).set_times(caller())
        with refused(EROFS):
            await directory.mkdir("x", caller())
        with refused(EROFS):
            await directory.unlink("build", caller())
        assert await tree.cat("as/b/ready/take") in ("build\n", "take\n")
        assert {state_of(store, BUILD).agent, state_of(store, StepId("take")).agent} == {"b", None}


async def test_nothing_left_is_no_data(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        with refused(ENODATA):
            await tree.cat("ready/take")


async def test_a_cycle_has_a_line_in_errors(store: MemoryStore, tmp_path: Path) -> None:
    async with grown(tmp_path, store) as tree:
        place(store, "steps/a/after.json", after=["b"])
        place(store, "steps/b/after.json", after=["a"])
        assert await tree.ls("ready") == ["build"]
        assert await tree.ls("ready") == ["build"]
        (line,) = (await tree.cat(".tcfs/errors")).splitlines()
        assert line.endswith("/ready 0 these wait for each other: a → b → a; write one's after")


# after


async def test_after_is_a_list_of_ids(store: MemoryStore, tmp_path: Path) -> None:
    async with grown(tmp_path, store) as tree:
        await tree.write("steps/x/after", " One.A\ttwo \n\nthree")
        assert await tree.cat("steps/x/after") == "one-a\ntwo\nthree\n"
        assert await tree.ls("steps/x") == ["status", "after"]
        assert await tree.cat("steps/x/status") == "pending\n"
        assert '"two"' in await tree.cat("steps/x/after.json")
        handle = await tree.open("steps/x/after", APPEND)
        await handle.write(0, b"four\n")
        await handle.write(5, b"two five")
        await handle.commit()
        await handle.release()
        assert await tree.cat("steps/x/after") == "one-a\ntwo\nthree\nfour\nfive\n"
        await tree.write("steps/x/after", "six\n")
        assert await tree.cat("steps/x/after") == "six\n"
        size = (await (await tree.file("steps/x/after")).attributes()).size
        assert size == len("six\n")


async def test_nothing_is_written_and_nothing_comes_first(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with grown(tmp_path, store) as tree:
        await tree.write("steps/x/after", "one\n")
        await tree.write("steps/x/after", "")
        with refused(ENOENT):
            await tree.cat("steps/x/after")
        assert await tree.ls("steps/x") == ["status"]
        await tree.write("steps/x/after", "one\n")
        await (await tree.directory("steps/x")).unlink("after", caller())
        assert await tree.ls("steps/x") == ["status"]
        await tree.write("steps/x/after", "one\n")
        await (await tree.file("steps/x/after")).truncate(0, caller())
        assert "x" in await tree.ls("ready")


@pytest.mark.parametrize("mode", [REPLACE, APPEND, TOUCH], ids=[">", ">>", "touch"])
async def test_a_step_is_made_pending_by_an_empty_list(tmp_path: Path, mode: object) -> None:
    store = MemoryStore()
    async with grown(tmp_path, store) as tree:
        assert mode in (REPLACE, APPEND, TOUCH)
        handle = await tree.open("steps/x/after", mode)  # type: ignore[arg-type]  # one of these
        await handle.commit()
        await handle.release()
        assert await tree.ls("ready") == ["x"]
        assert present(store, "steps/x/status.json")["status"] == "pending"


async def test_what_is_refused(store: MemoryStore, tmp_path: Path) -> None:
    async with grown(tmp_path, store) as tree:
        for text in ("_x", "x", "a\x01b", "\xff" * 201):
            with refused(EINVAL):
                await tree.write("steps/x/after", text)
        with refused(EINVAL):
            await tree.open("steps/x/after", REPLACE)
            handle = await tree.open("steps/x/after", REPLACE)
            await handle.write(0, b"\xff\n")
        await tree.write("steps/x/after", "y\n")
        with refused(EINVAL, "y → x → y"):
            await tree.write("steps/y/after", "x\n")
        with refused(EPERM):
            await tree.write("steps/x/after.json", "{}")
        await tree.write("steps/done/status", "complete\n")
        with refused(EPERM, "reopen it first"):
            await tree.open("steps/done/after", REPLACE)
        reference_claims(store, "r", StepId("theirs"))
        with refused(EPERM, "held by r"):
            await tree.open("steps/theirs/after", REPLACE)


async def test_one_that_nobody_can_read_is_replaced(store: MemoryStore, tmp_path: Path) -> None:
    async with grown(tmp_path, store) as tree:
        store.place("steps/x/after.json", b"{")
        with refused(EINVAL):
            await tree.cat("steps/x/after")
        assert await tree.ls("steps/x") == ["status"]
        await tree.write("steps/x/after", "y\n")
        assert await tree.cat("steps/x/after") == "y\n"


async def test_a_whole_step_is_removed_with_its_order(store: MemoryStore, tmp_path: Path) -> None:
    async with grown(tmp_path, store) as tree:
        await tree.write("steps/x/after", "y\n")
        steps = await tree.directory("steps")
        await steps.rmdir("x", caller())
        await wait_all_tasks_blocked()
        assert [it for it in store.stored() if it.startswith("steps/x/")] == []
