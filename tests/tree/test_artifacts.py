"""Ordinary files: what no door shows, stores with faults or gaps, and what is asked of them.

The rules are tested in tests/doors.
"""

from errno import EEXIST, EIO, EPERM, ESTALE
from pathlib import Path

import pytest
import trio

from tcfs.stores import OutcomeUnknown
from tcfs.tree import Handle
from tests.memory_store import NO_DELETE, Fault, MemoryStore
from tests.tree.walk import APPEND, READ, REPLACE, Tree, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")

MIB = 1 << 20


async def end(*handles: Handle) -> None:
    for handle in handles:
        await handle.commit()
        await handle.release()


def stored(tree: Tree) -> list[str]:
    return [key for key in tree.store.stored() if not key.startswith("agents/")]


async def test_rename_is_repeated_while_others_write_what_is_renamed(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("artifacts/shared/a", b"1")

        async def write() -> None:
            tree.store.place("artifacts/shared/a", b"2")

        tree.store.after("COPY", "artifacts/shared/a", write)
        await tree.mv("artifacts/shared/a", "artifacts/shared/b")
        assert stored(tree) == ["artifacts/shared/b"]
        assert tree.store.body("artifacts/shared/b") == b"2"


@pytest.mark.parametrize("size", [1, 9 * MIB])
async def test_exclusive_rename_is_decided_by_the_store(tmp_path: Path, size: int) -> None:
    async with grown(tmp_path, MemoryStore(NO_DELETE)) as tree:
        tree.store.place("runs/a", bytes(size))
        await tree.mv("runs/a", "runs/b", exclusive=True)
        assert tree.store.body("runs/b") == bytes(size)
        tree.store.place("runs/c", b"theirs")
        with refused(EEXIST):
            await tree.mv("runs/b", "runs/c", exclusive=True)
        assert tree.store.body("runs/c") == b"theirs"
        assert tree.store.body("runs/b") == bytes(size)


async def test_additions_of_one_mount_go_together(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        tree.store.place("runs/log", b"first\n")
        await tree.node("runs/log")

        async def add(number: int) -> None:
            await tree.append("runs/log", f"{number}\n")

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(add, number)
        body = tree.store.body("runs/log") or b""
        assert sorted(body.split()) == sorted([b"first", *(b"%d" % it for it in range(50))])
        assert tree.store.asked("PUT").count("runs/log") < 10


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.REFUSED])
async def test_an_addition_is_repeated_while_the_store_refuses(
    tmp_path: Path, fault: Fault
) -> None:
    async with grown(tmp_path) as tree:
        tree.store.place("runs/log", b"one\n")
        tree.store.fail("runs/log", fault, times=3)
        await tree.append("runs/log", "two\n")
        assert tree.store.body("runs/log") == b"one\ntwo\n"


async def test_an_addition_of_unknown_outcome_is_told_and_not_repeated(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        tree.store.place("runs/log", b"one\n")
        tree.store.fail("runs/log", Fault.ANSWER_LOST)
        with refused(EIO, "add what is missing"):
            await tree.append("runs/log", "two\n")
        assert tree.store.body("runs/log") == b"one\ntwo\n"


async def test_a_version_that_is_gone_is_stale(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        tree.store.place("runs/f", b"1" * MIB)
        reader = await tree.open("runs/f", READ)
        assert await reader.read(0, 10) == b"1" * 10
        tree.store.place("runs/f", b"2" * MIB)
        newer = await tree.open("runs/f", READ)
        assert (reader.paged, newer.paged) == (True, False), "one cache cannot hold both"
        for offset in (0, MIB // 2):
            with refused(ESTALE, "open it again"):
                await reader.read(offset, 10)
        assert await newer.read(MIB - 1, 10) == b"2"
        await end(reader, newer)


async def test_reading_on_asks_for_more_at_once(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        content = bytes(range(256)) * (64 << 10)  # 16 MiB
        tree.store.place("runs/f", content)
        assert len(await read_all(await tree.open("runs/f", READ))) == len(content)
        assert len(tree.store.asked("RANGE")) < 8


async def read_all(handle: Handle) -> bytes:
    body = bytearray()
    while piece := await handle.read(len(body), 128 << 10):
        body += piece
    await end(handle)
    return bytes(body)


async def test_a_failure_is_told_and_another_fsync_stores(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("artifacts/shared/f", REPLACE)
        await handle.write(0, b"v")
        tree.store.fail("artifacts/shared/f", Fault.BROKEN)
        with pytest.raises(OutcomeUnknown):
            await handle.sync()
        await handle.sync()
        assert tree.store.body("artifacts/shared/f") == b"v"
        await end(handle)


async def test_object_that_stands_for_a_directory_goes_with_it(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        tree.store.place("other/", b"")  # as other tools make one
        assert await tree.ls("other") == []
        await tree.rmdir("other")
        assert stored(tree) == []


async def test_transfers_have_no_deadline_but_that_of_each_request(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        tree.store.place("runs/log", b"1")
        for mode in (READ, REPLACE, APPEND):
            handle = await tree.open("runs/log", mode)
            assert handle.unhurried, "`>>` too: what it adds to may be large"
            await handle.release()


async def test_whoever_cannot_be_told_stores_nothing(tmp_path: Path) -> None:
    unknown = caller(trusted=False)
    async with grown(tmp_path) as tree:
        for mode in (REPLACE, APPEND):
            with refused(EPERM, "as/<agent>/"):
                await tree.open("artifacts/shared/f", mode, unknown)
        with refused(EPERM):
            await tree.root.mkdir("runs", unknown)
