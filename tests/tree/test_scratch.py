"""What programs make for themselves, without a kernel."""

from errno import EEXIST, EINVAL, ENOSPC, ENOTEMPTY, ESTALE, EXDEV
from pathlib import Path

import pytest

from tcfs.tree import File, Link
from tcfs.tree._view import View
from tcfs.tree.scratch import ENTRY, LIMIT, Room, is_scratch, is_scratch_if_new
from tests.tree.walk import EXCLUSIVE, READ, REPLACE, Tree, caller, grown, refused

ALWAYS = [
    ".k.swp", ".k.swo", ".k.swpx", "k~", "k.~1~", "#k#", ".#k", ".goutputstream-A1B2C3",
    ".fuse_hidden00000001", ".nfs0000000000000001", ".k.aB3dE6", ".my.key.cQgm1P",
]  # fmt: skip
EXCLUSIVELY = ["4913", "sedPws8P4", "k.tmp", ".tmp", "k.part"]
NEVER = ["k", ".env", ".git", ".k.abc", "sed", "sed12345678", "49131", "k.swp", "#k", "tmp", "~k"]


def room(tree: Tree) -> Room:
    view = tree.root._view  # type: ignore[attr-defined]  # the mount's own
    assert isinstance(view, View)
    return view.local.scratch


@pytest.mark.parametrize("name", [*ALWAYS, *EXCLUSIVELY, *NEVER])
def test_which_names_they_are(name: str) -> None:
    assert is_scratch(name) == (name in ALWAYS)
    assert is_scratch_if_new(name) == (name in ALWAYS or name in EXCLUSIVELY)


async def test_nothing_of_them_is_stored(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        before = tree.store.stored()
        for directory in ("memory", "steps/x", "agents", "messages/_broadcast"):
            await tree.write(f"{directory}/.k.swp", "one", "two")
            assert await tree.cat(f"{directory}/.k.swp") == "onetwo"
            assert ".k.swp" in await tree.ls(directory)
        assert tree.store.stored() == before


async def test_it_is_made_once(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        memory = await tree.directory("memory")
        await memory.create(".k.swp", EXCLUSIVE, caller())
        with refused(EEXIST):
            await memory.create(".k.swp", EXCLUSIVE, caller())
        await memory.symlink(".#k", "me@host.1", caller())
        with refused(EEXIST):
            await memory.symlink(".#k", "me@host.1", caller())
        link = await memory.lookup(".#k", caller())
        assert isinstance(link, Link)
        assert link.target == "me@host.1"
        with refused(EINVAL, "symbolic link"):
            await tree.mv("memory/.#k", "memory/k")
        with refused(EEXIST):
            await tree.mv("memory/.#k", "memory/.k.swp", exclusive=True)
        await tree.mv("memory/.#k", "memory/.k.swp")
        assert await tree.ls("memory") == [".k.swp"]


async def test_what_cannot_be_written_stays_where_it_is(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "v\n")
        await tree.write("memory/k~", b"\xff")
        with refused(EINVAL, "UTF-8"):
            await tree.mv("memory/k~", "memory/k")
        await tree.write("memory/k~", "w\n")
        with refused(EEXIST):
            await tree.mv("memory/k~", "memory/k", exclusive=True)
        with refused(EINVAL, "artifacts/"):
            await tree.mv("memory/k~", "memory/.env")
        with refused(EXDEV):
            await tree.mv("memory/k~", "steps/k")
        assert await tree.cat("memory/k") == "v\n"
        assert await tree.ls("memory") == ["k~", "k"]


async def test_one_that_was_stored_is_written_no_more(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("memory/.k.swp", REPLACE)
        await handle.write(0, b"v")
        await tree.mv("memory/.k.swp", "memory/k")
        with pytest.raises(OSError, match="open it again") as failure:
            await handle.write(1, b"w")
        assert failure.value.errno == ESTALE
        await handle.release()
        assert await tree.cat("memory/k") == "v"


async def test_one_that_is_removed_lives_as_long_as_it_is_open(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("memory/.k.swp", REPLACE)
        await handle.write(0, bytes(LIMIT - ENTRY))
        await tree.rm("memory/.k.swp")
        assert await tree.ls("memory") == []
        assert await handle.read(LIMIT - ENTRY - 1, 9) == b"\0"
        with pytest.raises(OSError, match="64 MiB") as failure:
            await tree.open("memory/.other.swp", REPLACE)
        assert failure.value.errno == ENOSPC
        await handle.release()
        await tree.write("memory/.other.swp", bytes(LIMIT - ENTRY))


async def test_a_backup_too_large_leaves_nothing(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "v" * 10)
        await tree.write("memory/.k.swp", bytes(LIMIT - 2 * ENTRY - 5))
        with pytest.raises(OSError, match="64 MiB"):
            await tree.mv("memory/k", "memory/k~")
        assert await tree.ls("memory") == [".k.swp", "k"]
        await tree.rm("memory/.k.swp")
        await tree.mv("memory/k", "memory/k~")
        assert await tree.cat("memory/k~") == await tree.cat("memory/k")


async def test_what_is_no_file_is_not_backed_up(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.mkdir("memory/d")
        await tree.write("memory/d/k~", "v")
        with refused(1, "no file"):
            await tree.mv("memory/d", "memory/d~")
        with refused(1, "cannot be renamed"):
            await tree.mv("steps/x/wait", "steps/x/wait~")
        with refused(ENOTEMPTY, "ls -a"):
            await tree.rmdir("memory/d")


async def test_what_is_left_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is left of them has a line in `.tcfs/errors` after a minute, and in the log when the
    mount ends."""
    async with grown(tmp_path) as tree:
        await tree.write("memory/k~", "v")
        await tree.write("memory/other~", "v", by="b")
        assert await tree.cat(".tcfs/errors") == ""
        for _, found in room(tree).left():
            found.modified -= 61 * 10**9
        assert (await tree.cat(".tcfs/errors")).startswith("/memory/k~ lies in the memory of this")
        file = await tree.file("memory/k~")
        handle = await file.open(READ, caller())
        assert await tree.cat(".tcfs/errors") == ""
        await handle.release()
        tree.root.end()  # type: ignore[attr-defined]  # the root's own
        assert [it.getMessage() for it in caplog.records] == [
            "'/memory/k~' was in the memory of this mount only: 1 bytes",
            "'/memory/other~' was in the memory of this mount only: 1 bytes",
        ]


async def test_cutting_and_adding(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/.k.swp", "one")
        await tree.append("memory/.k.swp", "two")
        file = await tree.node("memory/.k.swp")
        assert isinstance(file, File)
        await file.truncate(4, caller())
        assert await tree.cat("memory/.k.swp") == "onet"
        await file.truncate(6, caller())
        assert await tree.cat("memory/.k.swp") == "onet\0\0"
        assert await tree.size("memory/.k.swp") == 6
