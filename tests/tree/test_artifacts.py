"""Ordinary files, without a kernel: what is shared in a mount, and what becomes of failures."""

from collections.abc import Sequence
from errno import EEXIST, EINVAL, EIO, ENOENT, ENOTEMPTY, EPERM, EROFS, ESTALE, EXDEV
from pathlib import Path

import pytest
import trio

from tcfs.stores import OutcomeUnknown
from tcfs.tree import Handle, OpenMode
from tests.memory_store import NO_DELETE, Fault, MemoryStore
from tests.tree.walk import APPEND, EXCLUSIVE, READ, REPLACE, Tree, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")

UPDATE = OpenMode(read=True, write=True)
MIB = 1 << 20


async def end(*handles: Handle) -> None:
    for handle in handles:
        await handle.commit()
        await handle.release()


def stored(tree: Tree) -> list[str]:
    return [key for key in tree.store.stored() if not key.startswith("agents/")]


async def test_nothing_is_stored_before_the_opener_lets_go(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("artifacts/shared/f", REPLACE)
        await handle.write(0, b"half")
        assert tree.store.body("artifacts/shared/f") is None
        assert await tree.ls("artifacts/shared") == ["f"]
        assert (await tree.cat("artifacts/shared/f"), await tree.size("artifacts/shared/f")) == (
            *("half", 4),
        )
        await end(handle)
        assert tree.store.body("artifacts/shared/f") == b"half"
        assert tree.store.asked("PUT").count("artifacts/shared/f") == 1


async def test_reading_and_writing_share_one_file(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("artifacts/shared/f", b"0123456789")
        reader = await tree.open("artifacts/shared/f", READ)
        one, two = [await tree.open("artifacts/shared/f", UPDATE) for _ in range(2)]
        await one.write(2, b"xx")
        await two.write(4, b"yy")
        for each in (reader, one, two):
            assert await each.read(0, 99) == b"01xxyy6789"
        await (await tree.file("artifacts/shared/f")).truncate(5, caller())
        assert await reader.read(0, 99) == b"01xxy"
        await end(one)
        assert tree.store.body("artifacts/shared/f") == b"01xxy"
        await end(two, reader)


async def test_discarded_writes_leave_what_others_wrote(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("artifacts/shared/f", b"old")
        killed = await tree.open("artifacts/shared/f", UPDATE)
        await killed.write(0, b"new")
        killed.discard()
        await killed.release()
        assert await tree.cat("artifacts/shared/f") == "old"
        created = await tree.open("artifacts/shared/g", REPLACE)
        created.discard()
        await created.release()
        with refused(ENOENT):
            await tree.node("artifacts/shared/g")
        killed, other = [await tree.open("artifacts/shared/f", UPDATE) for _ in range(2)]
        await other.write(3, b"er")
        killed.discard()
        await killed.release()
        await end(other)
        assert tree.store.body("artifacts/shared/f") == b"older"


async def test_a_removed_file_goes_on_for_who_has_it_open(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("artifacts/shared/f", b"old")
        handle = await tree.open("artifacts/shared/f", UPDATE)
        await tree.rm("artifacts/shared/f")
        await handle.write(3, b"er")
        assert await handle.read(0, 99) == b"older"
        await end(handle)
        assert tree.store.body("artifacts/shared/f") is None


async def test_renaming_what_is_being_written_stores_it_under_its_new_name(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("artifacts/shared/f.lock", REPLACE)
        await handle.write(0, b"one")
        await tree.mv("artifacts/shared/f.lock", "artifacts/shared/f")
        assert stored(tree) == ["artifacts/shared/f"]
        await handle.write(3, b" two")
        await end(handle)
        assert tree.store.body("artifacts/shared/f") == b"one two"


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


async def test_an_addition_meets_what_was_added_elsewhere(tmp_path: Path) -> None:
    store = MemoryStore()
    async with grown(tmp_path, store) as tree:
        await tree.append("steps/x/log", "one\n")
        store.place("steps/x/log", b"one\ntwo\n")
        await tree.append("steps/x/log", "three\n")
        store.remove("steps/x/log")
        await tree.append("steps/x/log", "four\n")
        assert store.body("steps/x/log") == b"four\n"


async def test_a_new_file_opened_for_adding_is_there_and_empty(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("artifacts/shared/log", APPEND)
        assert await tree.cat("artifacts/shared/log") == ""
        assert await tree.ls("artifacts/shared") == ["log"]
        tree.store.place("artifacts/shared/log", b"theirs\n")
        await handle.write(0, b"ours\n")
        await end(handle)
        assert tree.store.body("artifacts/shared/log") == b"theirs\nours\n"


async def test_much_is_added_through_the_disk(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("artifacts/shared/log", b"begin\n")
        handle = await tree.open("artifacts/shared/log", APPEND)
        for _ in range(9):
            await handle.write(0, bytes(MIB))
        await end(handle)
        assert tree.store.body("artifacts/shared/log") == b"begin\n" + bytes(9 * MIB)


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


async def test_a_line_in_a_new_file_is_decided_at_once(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("artifacts/shared/lock", EXCLUSIVE)
        with refused(EEXIST):
            await (await tree.directory("artifacts/shared")).create("lock", EXCLUSIVE, caller())
        tree.store.place("artifacts/shared/lock", b"theirs\n")
        with refused(EEXIST, "stored by another mount"):
            await handle.write(0, b"ours\n")
        await end(handle)
        assert tree.store.body("artifacts/shared/lock") == b"theirs\n"


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


async def test_directories(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.mkdir("runs")
        await tree.mkdir("runs/1")
        assert await tree.ls("runs") == ["1"]
        with refused(ENOTEMPTY):
            await tree.rmdir("runs")
        await tree.write("runs/1/f", "v")
        with refused(ENOTEMPTY):
            await tree.rmdir("runs/1")
        with refused(EXDEV, "is a directory"):
            await tree.mv("runs/1", "runs/2")
        await tree.rm("runs/1/f")
        assert await tree.ls("runs/1") == []
        await tree.rmdir("runs/1")
        await tree.rmdir("runs")
        with refused(ENOENT):
            await tree.node("runs")
        tree.store.place("other/", b"")  # what stands for a directory with other tools
        assert await tree.ls("other") == []
        await tree.rmdir("other")
        assert stored(tree) == []


async def test_steps_of_artifacts(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        assert await tree.ls("artifacts") == ["shared"]
        with refused(ENOENT, "mkdir artifacts/s1-a"):
            await tree.node("artifacts/S1.A")
        await tree.write("steps/S1.A/claim", "mine\n")
        await tree.write("artifacts/S1.A/f", "v")
        assert tree.store.body("artifacts/s1-a/f") == b"v"
        assert await tree.ls("artifacts") == ["s1-a", "shared"]
        await tree.mkdir("artifacts/Two")
        assert await tree.ls("artifacts") == ["s1-a", "two", "shared"]
        for name, code in (("file", EPERM), ("_x", EPERM)):
            with refused(code, "artifacts/shared/"):
                await (await tree.directory("artifacts")).create(name, REPLACE, caller())
        with refused(EINVAL):
            await tree.mkdir("artifacts/_x")


async def test_names_at_the_root(tmp_path: Path) -> None:
    store = MemoryStore()
    keys: Sequence[str] = ("README", "top", "runs/a", "artifacts/shared/b", "ready/x", ".tcfs/y")
    for key in keys:
        store.place(key, b"v")
    async with grown(tmp_path, store) as tree:
        listed = await tree.ls()
        assert len(listed) == len(set(listed))
        assert {"top", "runs"} <= set(listed)
        assert await tree.cat("as/dev/top") == "v"
        await tree.mv("top", "runs/top")
        with refused(EROFS):
            await tree.mv("runs/top", "README")
        with refused(EINVAL):
            await tree.write("runs/a\udcff", "v")
        with refused(EINVAL, "shorten"):
            await tree.write(f"runs/{'x' * 256}", "v")


async def test_whoever_cannot_be_told_stores_nothing(tmp_path: Path) -> None:
    unknown = caller(trusted=False)
    async with grown(tmp_path) as tree:
        for mode in (REPLACE, APPEND):
            with refused(EPERM, "as/<agent>/"):
                await tree.open("artifacts/shared/f", mode, unknown)
        with refused(EPERM):
            await tree.root.mkdir("runs", unknown)
