"""What programs make for themselves is never in two places, nor in none, and is counted."""

from errno import ENOENT, ENOSPC, ESTALE
from pathlib import Path

import pytest

from tcfs.stores import Denied
from tcfs.tree._scratched import PART
from tcfs.tree._view import View
from tcfs.tree.scratch import ENTRY, LIMIT, Room
from tests.memory_store import MemoryStore
from tests.tree.walk import READ, REPLACE, Tree, caller, grown, refused


def room(tree: Tree) -> Room:
    view = tree.root._view  # type: ignore[attr-defined]  # the mount's own
    assert isinstance(view, View)
    return view.local.scratch


async def test_nothing_is_written_to_one_while_it_is_stored(tmp_path: Path) -> None:
    """It would be taken, and be neither there nor in what is stored."""
    async with grown(tmp_path) as tree:
        handle = await tree.open("memory/.k.swp", REPLACE)
        await handle.write(0, b"one\n")

        async def write_more() -> None:
            with pytest.raises(OSError, match="open it again") as failure:
                await handle.write(4, b"two\n")
            assert failure.value.errno == ESTALE

        tree.store.before("PUT", "memory/k.json", write_more)
        await tree.mv("memory/.k.swp", "memory/k")
        assert tree.store._gaps == [], "it was tried"
        await handle.release()
        assert await tree.cat("memory/k") == "one\n"


async def test_one_that_was_not_stored_goes_on(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("memory/.k.swp", REPLACE)
        await handle.write(0, b"one\n")

        async def deny() -> None:
            raise Denied("no")

        tree.store.before("PUT", "memory/k.json", deny)
        with refused(13, "no"):
            await tree.mv("memory/.k.swp", "memory/k")
        await handle.write(4, b"two\n")
        await tree.mv("memory/.k.swp", "memory/k")
        await handle.release()
        assert await tree.cat("memory/k") == "one\ntwo\n"


async def test_backup_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "old")
        await tree.mv("memory/k", "memory/k~")
        await tree.write("memory/k", "much newer")
        await tree.write("memory/.k.swp", bytes(LIMIT - 3 * ENTRY - 5))
        with pytest.raises(OSError, match="64 MiB"):
            await tree.mv("memory/k", "memory/k~")
        assert await tree.cat("memory/k~") == "old"
        await tree.rm("memory/.k.swp")
        await tree.mv("memory/k", "memory/k~")
        assert await tree.cat("memory/k~") == "much newer"


async def test_backup_of_a_large_file_reads_no_more_than_there_is_room_for(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place("steps/x/big", bytes(LIMIT + 40 * PART))
    read = 0
    get_range = store.get_range

    async def counted(key: str, offset: int, length: int) -> object:
        nonlocal read
        found = await get_range(key, offset, length)
        read += len(found.body)
        return found

    store.get_range = counted  # type: ignore[method-assign, assignment]  # counts
    async with grown(tmp_path, store) as tree:
        with pytest.raises(OSError, match="64 MiB") as failure:
            await tree.mv("steps/x/big", "steps/x/big~")
        assert failure.value.errno == ENOSPC
        assert read <= LIMIT + 16 * PART, "what was read ahead of it apart"
        assert room(tree)._used == 0


async def test_one_that_was_removed_since_it_was_found_is_not_opened(tmp_path: Path) -> None:
    """Its room was given back: it must not be given back again."""
    async with grown(tmp_path) as tree:
        await tree.write("memory/.k.swp", "one")
        file = await tree.file("memory/.k.swp")
        await tree.rm("memory/.k.swp")
        with refused(ENOENT):
            await file.open(READ, caller())
        with refused(ENOENT):
            await file.truncate(100, caller())
        assert room(tree)._used == 0


async def test_what_is_open_at_the_end_is_told_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("memory/k~", REPLACE)
        await handle.write(0, b"v")
        tree.root.end()  # type: ignore[attr-defined]  # the root's own
        assert [it.getMessage() for it in caplog.records] == [
            "'/memory/k~' was in the memory of this mount only: 1 bytes"
        ]
        await handle.release()
