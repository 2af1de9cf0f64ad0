"""Sessions: what no door shows, the requests that reading one takes.

The rules are tested in tests/doors.
"""

from pathlib import Path

import pytest
import trio

from tcfs.tree import Handle
from tests.memory_store import MemoryStore
from tests.project.mirrored import HERE, mirror, part_key
from tests.tree.walk import READ, Tree, caller, grown

pytestmark = pytest.mark.usefixtures("autojump_clock")

FOLDER = str(HERE)
TRANSCRIPT = f"{FOLDER}/transcript.jsonl"


async def opened(tree: Tree, path: str = TRANSCRIPT) -> Handle:
    return await (await tree.file(path)).open(READ, caller())


async def test_requests_of_an_open_and_of_reading_it_through(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, *("x" * 99 + "\n" for _ in range(20)))
    async with grown(tmp_path, store) as tree:
        directory = await tree.directory(FOLDER)
        await trio.sleep(10)
        store.requests.clear()
        file = await directory.lookup("transcript.jsonl", caller())
        assert file.listed is not None
        assert file.listed.size == 2000
        handle = await opened(tree)
        assert len(store.asked("GET")) <= 2
        assert store.asked("RANGE") == []
        store.requests.clear()
        content = b""
        while more := await handle.read(len(content), 30):
            content += more
        assert len(content) == 2000
        # The rest of a part comes with what is read of it, but for the first.
        assert len(store.asked("RANGE")) <= 21
        assert len(store.requests) <= 22


async def test_a_range_fetches_nothing_else(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, *(f"{it:03d}\n" for it in range(300)))
    async with grown(tmp_path, store) as tree:
        handle = await opened(tree)
        store.requests.clear()
        assert await handle.read(1100, 8192) == b"".join(b"%03d\n" % it for it in range(275, 300))
        assert await handle.read(400, 4) == b"100\n"
        asked = sorted(store.asked("RANGE"))  # many at once
        assert asked == [part_key(it) for it in (100, *range(275, 300))]
