"""`memory/`: one file a key (tree.md)."""

import json
from errno import EEXIST, EFBIG, EINVAL, ENOENT, ENOTEMPTY, EPERM, EROFS, EXDEV
from pathlib import Path

import pytest
import trio

from tcfs.tree import Directory, OpenMode
from tests.memory_store import MemoryStore
from tests.project.parties import place
from tests.tree.walk import APPEND, EXCLUSIVE, REPLACE, TOUCH, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")

READ_WRITE = OpenMode(write=True)


def versions(store: MemoryStore) -> int:
    return sum("_history" in key for key in store.stored())


async def test_value_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        for content in ("v\n", "v", "", "\n", "a\n\nb\n", "\x00\x1b\r\n", "é\u2028"):
            await tree.write("memory/k", content)
            assert await tree.cat("memory/k") == content
            assert await tree.size("memory/k") == len(content.encode())


async def test_slash_in_a_path_means_a_dot(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/design.contract", "v2\n")
        assert await tree.cat("memory/design/contract") == "v2\n"
        assert await tree.ls("memory") == ["design.contract"]
        assert await tree.ls("memory/design") == ["contract"]
        assert tree.store.body("memory/design/contract.json") is not None


async def test_key_and_longer_keys_stand_side_by_side(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/design", "the key itself\n")
        await tree.write("memory/design.contract", "v2\n")
        assert await tree.ls("memory") == ["design", "design.contract"]
        assert await tree.cat("memory/design") == "the key itself\n"
        assert await tree.cat("memory/design.contract") == "v2\n"


async def test_made_directory_lives_in_this_mount(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        with refused(ENOENT):
            await tree.node("memory/design")
        await tree.mkdir("memory/design")
        assert await tree.ls("memory") == ["design"]
        await tree.write("memory/design/contract", "v\n")
        assert await tree.cat("memory/design.contract") == "v\n"
        with refused(ENOTEMPTY, "ls memory/design"):
            await tree.rmdir("memory/design")
        await tree.rm("memory/design/contract")
        await tree.mkdir("memory/design/sub")
        with refused(ENOTEMPTY):
            await tree.rmdir("memory/design")
        await tree.rmdir("memory/design/sub")
        await tree.rmdir("memory/design")
        assert await tree.ls("memory") == []


async def test_first_line_is_stored_at_once_and_the_rest_at_the_end(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("memory/k", REPLACE)
        await handle.write(0, b"one\n")
        assert await tree.cat("memory/k") == "one\n"
        await handle.write(4, b"two\n")
        assert await tree.cat("memory/k") == "one\n"
        await handle.commit()
        assert await tree.cat("memory/k") == "one\ntwo\n"
        await handle.commit()
        assert versions(tree.store) == 2


async def test_opening_to_replace_stores_an_empty_value_and_killing_does_not(
    tmp_path: Path,
) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "old\n")
        handle = await tree.open("memory/k", REPLACE)
        handle.discard()
        await handle.commit()
        assert await tree.cat("memory/k") == "old\n"
        await tree.write("memory/k")
        assert await tree.cat("memory/k") == ""
        await tree.append("memory/new")
        assert await tree.cat("memory/new") == ""


async def test_group_of_appends_adds_what_it_wrote(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.append("memory/log", "one\n", "two\n", "three")
        await tree.append("memory/log", "\n", by="b")
        assert await tree.cat("memory/log") == "one\ntwo\nthree\n"


async def test_exclusive_create_is_one_conditional_put_at_open(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        store = tree.store.other()
        await tree.write("memory/leader", "mine\n", mode=EXCLUSIVE)
        async with grown(tmp_path / "other", store) as other:
            with refused(EEXIST, "set by a"):
                await (await other.directory("memory")).create("leader", EXCLUSIVE, caller("b"))
        assert await tree.cat("memory/leader") == "mine\n"


async def test_touch_makes_a_key_and_empties_none(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.touch("memory/k")
        assert await tree.cat("memory/k") == ""

        async def somebody_else() -> None:
            place(tree.store, "memory/late.json", value="theirs", set_by="r")

        memory = await tree.directory("memory")
        await somebody_else()
        _, handle = await memory.create("late", TOUCH, caller())
        await handle.commit()
        assert await tree.cat("memory/late") == "theirs\n"


async def test_value_is_changed_in_place(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "hello world")
        handle = await tree.open("memory/k", READ_WRITE)
        assert await handle.read(0, 5) == b"hello"
        await handle.write(6, b"there")
        await handle.truncate(8)
        assert handle.size() == 8
        await handle.commit()
        assert await tree.cat("memory/k") == "hello th"
        await (await tree.file("memory/k")).truncate(5, caller())
        assert await tree.cat("memory/k") == "hello"


@pytest.mark.parametrize(
    "name", ["_history", ".hidden", "a..b", "a.", " ", "a\nb", "a\udcff", "x" * 900]
)
async def test_names_that_are_no_keys(tmp_path: Path, name: str) -> None:
    async with grown(tmp_path) as tree:
        memory = await tree.directory("memory")
        with refused(EINVAL):
            await memory.create(name, REPLACE, caller())
        with refused(EINVAL):
            await memory.mkdir(name, caller())
        if name != "_history":
            with refused(ENOENT):
                await tree.node(f"memory/{name}")


async def test_values_that_are_refused(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        for mode in (REPLACE, APPEND):
            with refused(EINVAL, "UTF-8", "artifacts/"):
                await tree.write("memory/k", b"\xff\n", mode=mode)
            with refused(EFBIG, "artifacts/"):
                await tree.write("memory/k", b"x" * ((1 << 20) + 1), mode=mode)
        with refused(EFBIG):
            await (await tree.open("memory/k", REPLACE)).write(1 << 40, b"x")


async def test_removing_and_moving(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/a", "1\n")
        await tree.mv("memory/a", "memory/b")
        assert await tree.ls("memory") == ["b"]
        await tree.write("memory/c", "2")
        with refused(EEXIST):
            await tree.mv("memory/b", "memory/c", exclusive=True)
        await tree.mv("memory/c", "memory/b")
        assert await tree.cat("memory/b") == "2"
        await tree.mv("memory/b", "memory/b")
        assert await tree.cat("memory/b") == "2"
        await tree.write("memory/d.e", "3")
        with refused(EXDEV):
            await tree.mv("memory/d", "memory/f")
        with refused(EXDEV):
            await tree.mv("memory/b", "steps/b")
        await tree.rm("memory/b")
        with refused(ENOENT):
            await tree.node("memory/b")


async def test_history_is_a_read_only_file_a_version_oldest_first(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/a.b", "1\n")
        await tree.write("memory/a.b", "2", by="b")
        names = await tree.ls("memory/_history/a.b")
        assert [name.split("_")[1] for name in names] == ["a", "b"]
        assert [await tree.cat(f"memory/_history/a.b/{name}") for name in names] == ["1\n", "2"]
        assert await tree.ls("memory/_history") == ["a.b"]
        assert "_history" not in await tree.ls("memory")
        with refused(EROFS):
            await tree.write(f"memory/_history/a.b/{names[0]}", "x")
        directory = await tree.directory("memory/_history/a.b")
        for refuse in (
            directory.unlink(names[0], caller()),
            directory.create("x", REPLACE, caller()),
            directory.mkdir("x", caller()),
            directory.rmdir("x", caller()),
            directory.symlink("x", "y", caller()),
            directory.rename(names[0], directory, "x", caller(), exclusive=False),
        ):
            with refused(EROFS, "README"):
                await refuse
        with refused(ENOENT):
            await tree.node("memory/_history/nothing")
        with refused(ENOENT):
            await tree.node("memory/_history/a.b/nothing")


async def test_exact_object(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "v\n")
        assert json.loads(await tree.cat("memory/k.json"))["value"] == "v"
        assert await tree.ls("memory") == ["k"]
        with refused(EPERM, "without .json"):
            await tree.write("memory/k.json", "{}")
        with refused(ENOENT):
            await tree.node("memory/other.json")
        with refused(ENOENT):
            await tree.node("memory/.json")


async def test_object_nobody_can_read_can_be_replaced_and_removed(tmp_path: Path) -> None:
    store = MemoryStore()
    for key in ("one", "two"):
        store.place(f"memory/{key}.json", b"{")
    async with grown(tmp_path, store) as tree:
        assert await tree.ls("memory") == ["one", "two"]
        with refused(EINVAL):
            await tree.cat("memory/one")
        await tree.write("memory/one", "new\n")
        assert await tree.cat("memory/one") == "new\n"
        await tree.rm("memory/two")
        assert await tree.ls("memory") == ["one"]


async def test_listing_tells_sizes_and_times(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "hello\n")
        memory = await tree.node("memory")
        assert isinstance(memory, Directory)
        ((name, node),) = await memory.entries(caller())
        assert name == "k"
        assert node.listed is not None
        assert node.listed.size == 6
        assert node.listed.modified > 0


async def test_look_up_shows_another_mounts_change_at_once(tmp_path: Path) -> None:
    """Close-to-open: what an open shows was in the bucket after the path walk began."""
    store = MemoryStore()
    async with grown(tmp_path / "a", store) as one, grown(tmp_path / "b", store.other()) as two:
        await one.write("memory/k", "1\n")
        assert await two.cat("memory/k") == "1\n"
        await trio.sleep(0.01)
        await one.write("memory/k", "2\n")
        assert await two.cat("memory/k") == "2\n"
        await one.rm("memory/k")
        with refused(ENOENT):
            await two.node("memory/k")
