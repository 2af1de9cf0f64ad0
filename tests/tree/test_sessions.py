"""`sessions/` (tree.md): what is listed, what is read, and how a reader follows."""

import json
from errno import ENOENT, EROFS, ESTALE
from pathlib import Path

import pytest
import trio

from tcfs.tree import Handle
from tcfs.wire import keys
from tests.memory_store import MemoryStore
from tests.project.mirrored import AT, HERE, mirror, named, part_key, write_meta
from tests.tree.walk import APPEND, READ, REPLACE, TOUCH, Tree, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")

FOLDER = str(HERE)
TRANSCRIPT = f"{FOLDER}/transcript.jsonl"
META = keys.session_meta(*HERE)


def compact(store: MemoryStore, text: str, parts: int) -> None:
    """Merge parts as the reference does: merged part, meta, then the old parts."""
    store.place(part_key(0, "aaaaaaaa"), text.encode())
    write_meta(store, [named(0, "aaaaaaaa", compacted_from=parts)])
    for seq in range(parts):
        store.remove(part_key(seq))


async def opened(tree: Tree, path: str = TRANSCRIPT) -> Handle:
    return await (await tree.file(path)).open(READ, caller())


async def test_what_is_listed(tmp_path: Path) -> None:
    store = MemoryStore()
    body = write_meta(store, [named(0), named(1)])
    for seq, text in enumerate(("one\n", "two\n")):
        store.place(part_key(seq), text.encode())
    store.place(part_key(9), b"orphan\n")
    store.place(f"{FOLDER}/junk", b"")
    async with grown(tmp_path, store) as tree:
        assert "sessions" in await tree.ls()
        assert await tree.ls("sessions") == ["claude-code"]
        assert await tree.ls("sessions/claude-code") == [HERE.id]
        assert await tree.ls(FOLDER) == ["transcript.jsonl", "parts", "meta.json"]
        names = [part_key(seq).rpartition("/")[2] for seq in (0, 1, 9)]
        assert await tree.ls(f"{FOLDER}/parts") == names
        assert await tree.cat(TRANSCRIPT) == "one\ntwo\n"
        assert await tree.size(TRANSCRIPT) == 8
        assert (await tree.cat(f"{FOLDER}/meta.json")).encode() == body
        assert await tree.size(f"{FOLDER}/meta.json") == len(body)
        assert await tree.cat(f"{FOLDER}/parts/{names[2]}") == "orphan\n"
        assert await tree.cat(f"as/b/{TRANSCRIPT}") == "one\ntwo\n"


async def test_what_is_not_there_is_enoent(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n")
    store.place("sessions/codex/odd/junk", b"")
    store.place("sessions/codex/bare/part-00000-0123abcd.jsonl", b"bare\n")
    async with grown(tmp_path, store) as tree:
        for path in (
            *("sessions/none", "sessions/a\udcff", "sessions/codex/none", f"{FOLDER}/junk"),
            *("sessions/codex/odd/transcript.jsonl", "sessions/codex/odd/meta.json"),
            *("sessions/codex/bare/meta.json", f"{FOLDER}/parts/junk"),
            *(f"{FOLDER}/parts/part-00007-0123abcd.jsonl",),
        ):
            with refused(ENOENT):
                await tree.node(path)
        assert await tree.ls("sessions/codex/odd") == []
        assert await tree.ls("sessions/codex/bare") == ["transcript.jsonl", "parts"]
        assert await tree.cat("sessions/codex/bare/transcript.jsonl") == "bare\n"


async def test_sessions_take_no_writes(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n")
    async with grown(tmp_path, store) as tree:
        before = store.stored()
        part = f"{FOLDER}/parts/{part_key(0).rpartition('/')[2]}"
        for path in (TRANSCRIPT, f"{FOLDER}/meta.json", part, f"{FOLDER}/new", "sessions/new"):
            for mode in (REPLACE, APPEND, TOUCH):
                with refused(EROFS):
                    await tree.open(path, mode)
        for path in ("sessions", "sessions/claude-code", FOLDER, f"{FOLDER}/parts"):
            directory = await tree.directory(path)
            for refuse in (
                directory.mkdir("x", caller()),
                directory.unlink("transcript.jsonl", caller()),
                directory.rmdir("parts", caller()),
                directory.symlink("x", "y", caller()),
                directory.rename("x", directory, "y", caller(), exclusive=False),
            ):
                with refused(EROFS):
                    await refuse
        with refused(EROFS):
            await (await tree.file(TRANSCRIPT)).truncate(0, caller())
        assert store.stored() == before


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


async def test_a_reader_at_the_end_sees_growth(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n")
    async with grown(tmp_path, store) as tree:
        file = await tree.file(TRANSCRIPT)
        handle = await file.open(READ, caller())
        assert await handle.read(0, 100) == b"one\n"
        assert await handle.read(4, 100) == b""
        mirror(store, "two\n", "three\n", since=1)
        await trio.sleep(1)
        assert (await file.attributes()).size == 14
        assert await handle.read(4, 100) == b"two\nthree\n"
        assert await handle.read(14, 100) == b""
        mirror(store, "four\n", since=3)
        await trio.sleep(1)
        assert await handle.read(14, 100) == b"four\n"


async def test_a_reader_that_meets_a_part_gone_goes_on_at_its_offset(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n", "two\n", "three\n", "four\n")
    async with grown(tmp_path, store) as tree:
        handle = await opened(tree)
        assert await handle.read(0, 6) == b"one\ntw"
        compact(store, "one\ntwo\nthree\nfour\n", 4)
        assert await handle.read(6, 5) == b"o\nthr"
        assert await handle.read(11, 100) == b"ee\nfour\n"
        store.remove(part_key(0, "aaaaaaaa"))
        store.remove(META)
        with refused_stale():
            await handle.read(0, 100)


async def test_a_part_lost_while_it_is_read_is_said(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n", "two\n", "three\n")
    async with grown(tmp_path, store) as tree:
        handle = await opened(tree)
        assert await handle.read(0, 4) == b"one\n"
        store.remove(part_key(1))
        with refused_stale():
            await handle.read(4, 100)
        assert await tree.cat(TRANSCRIPT) == "one\nthree\n"
        assert await tree.size(TRANSCRIPT) == 10


def refused_stale() -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, check=lambda error: error.errno == ESTALE, match="open it again")


async def test_a_new_generation_is_read_from_its_start(tmp_path: Path) -> None:
    """What `tail -f` does with a file that became shorter."""
    store = MemoryStore()
    store.place(part_key(0), b"old and longer\n")
    write_meta(store, [named(0, generation=0)], generation=0, nonce="n1")
    async with grown(tmp_path, store) as tree:
        file = await tree.file(TRANSCRIPT)
        handle = await file.open(READ, caller())
        assert await handle.read(0, 100) == b"old and longer\n"
        store.place(part_key(1), b"new\n")
        parts = [named(0, generation=0), named(1, generation=1)]
        write_meta(store, parts, generation=1, nonce="n2")
        await trio.sleep(2)
        assert (await file.attributes()).size == 4
        assert await handle.read(0, 100) == b"new\n"


async def test_overview_counts_sessions(tmp_path: Path) -> None:
    store = MemoryStore()
    async with grown(tmp_path, store) as tree:
        assert "SESSIONS (0)\n" in await tree.cat("status")
        mirror(store, "one\n", total_uploaded_bytes=1_260_000)
        text = await tree.cat("status")
        (line,) = (it for it in text.splitlines() if it.startswith("SESSIONS"))
        assert line.startswith("SESSIONS (1): 1.3 MB, last upload ")
        assert json.loads(await tree.cat("status.json"))["sessions"] == {
            "count": 1,
            "total_uploaded_bytes": 1_260_000,
            "last_uploaded_at": AT,
        }
