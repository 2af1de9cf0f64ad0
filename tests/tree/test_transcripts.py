"""A transcript that is begun anew while it is read."""

from errno import ESTALE
from pathlib import Path

import pytest
import trio

from tests.memory_store import MemoryStore
from tests.project.mirrored import HERE, named, part_key, write_meta
from tests.tree.walk import READ, caller, grown

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_threads_may_read_what_one_of_them_opened(tmp_path: Path) -> None:
    store = MemoryStore()
    text = "".join(f"{number:07}\n" for number in range(1 << 17)).encode()
    parts = [named(number, uploaded_bytes=1 << 18) for number in range(4)]
    for number in range(4):
        store.place(part_key(number), text[number << 18 : (number + 1) << 18])
    write_meta(store, parts)
    read: list[tuple[int, bytes]] = []
    async with grown(tmp_path, store) as tree:
        handle = await (await tree.file(f"{HERE}/transcript.jsonl")).open(READ, caller())

        async def thread() -> None:
            offset = 0
            while found := await handle.read(offset, 50_000):
                read.append((offset, bytes(found)))
                offset += len(found)

        async with trio.open_nursery() as threads:
            for _ in range(3):
                threads.start_soon(thread)
    assert len(read) == 3 * len(range(0, len(text), 50_000))
    assert all(found == text[offset : offset + 50_000] for offset, found in read)


async def test_reader_at_the_end_is_given_nothing_of_a_new_generation(tmp_path: Path) -> None:
    """What it has read is no beginning of that."""
    store = MemoryStore()
    store.place(part_key(0), b"old\n")
    write_meta(store, [named(0, generation=0)], generation=0, nonce="n1")
    async with grown(tmp_path, store) as tree:
        handle = await (await tree.file(f"{HERE}/transcript.jsonl")).open(READ, caller())
        assert await handle.read(0, 100) == b"old\n"
        parts = [named(0, generation=0), named(1, generation=1)]
        store.place(part_key(1), b"new")
        write_meta(store, parts, generation=1, nonce="n2")
        await trio.sleep(2)
        assert await handle.read(4, 100) == b"", "as of a file that became shorter"
        store.place(part_key(2), b", and longer\n")
        write_meta(store, [*parts, named(2, generation=1)], generation=1, nonce="n3")
        await trio.sleep(2)
        with pytest.raises(OSError, match="open it again") as failure:
            await handle.read(4, 100)
        assert failure.value.errno == ESTALE
        assert await handle.read(0, 100) == b"new, and longer\n"
