"""Files that several use in one mount while they are stored, moved, removed, or fail to be."""

import errno
import gc
import os
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tcfs.project import _local
from tcfs.project.artifacts import Files
from tcfs.project.errors import Exists, Missing
from tcfs.stores import Denied, PreconditionFailed, Unavailable
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import mounted

pytestmark = pytest.mark.usefixtures("autojump_clock")

KEY, NEW = "runs/f", "runs/g"
MIB = 1 << 20


@asynccontextmanager
async def files(store: MemoryStore, state: Path) -> AsyncIterator[Files]:
    async with mounted(store, state) as project:
        yield project.files


async def turns(number: int = 20) -> None:
    """Let all other tasks go on, as often as that."""
    for _ in range(number):
        await trio.lowlevel.checkpoint()


def staging(state: Path) -> list[str]:
    """Return what this process has open in the staging directory, whatever its name."""
    links = [str(it.readlink()) for it in Path("/proc/self/fd").iterdir() if it.is_symlink()]
    return [link for link in links if link.startswith(str(state / "staging"))]


async def test_two_who_open_a_file_at_once_share_it(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"....")
    async with files(store, tmp_path) as here:

        async def write(offset: int, data: bytes) -> None:
            writer = await here.write(KEY, truncate=False)
            await writer.write(offset, data)
            await writer.save()
            writer.close()

        async with trio.open_nursery() as nursery:

            async def other() -> None:
                nursery.start_soon(write, 0, b"aa")
                await turns()

            store.after("RANGE", KEY, other)
            nursery.start_soon(write, 2, b"bb")
    assert store.body(KEY) == b"aabb"


async def test_a_killed_writer_leaves_the_file_to_who_opened_it_too(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"old")
    async with files(store, tmp_path) as here:
        killed = await here.write(KEY, truncate=True)
        other = await here.write(KEY, truncate=False)
        killed.discard()
        killed.close()
        await other.write(0, b"new")
        await other.save()
        other.close()
    assert store.body(KEY) == b"new"


async def test_a_writer_killed_while_its_file_is_renamed_leaves_no_holes(tmp_path: Path) -> None:
    store = MemoryStore()
    content = b"x" * (20 * MIB)
    async with files(store, tmp_path) as here:
        writer = await here.create(KEY, truncate=True, exclusive=False)
        await writer.write(0, content)
        async with trio.open_nursery() as nursery:

            async def rename() -> None:
                await here.rename(KEY, NEW, exclusive=False)

            nursery.start_soon(rename)
            await turns(8)
            assert store.asked("PUT")[-1:] != [NEW], "it is still being read"
            writer.discard()
            writer.close()
        assert store.body(NEW) == content
        assert staging(tmp_path) == []


@pytest.mark.parametrize(("stored", "request_"), [(True, "COPY"), (False, "DELETE")])
async def test_what_is_written_while_a_file_is_renamed_goes_with_it(
    tmp_path: Path, stored: bool, request_: str
) -> None:
    store = MemoryStore()
    store.place(KEY, b"old")
    async with files(store, tmp_path) as here, trio.open_nursery() as nursery:
        writer = await here.write(KEY, truncate=False)
        if not stored:
            await writer.write(0, b"one")

        async def write() -> None:
            await writer.write(0, b"two")
            await writer.save()

        async def begin() -> None:
            nursery.start_soon(write)
            await turns()

        store.before(request_, KEY, begin)
        await here.rename(KEY, NEW, exclusive=False)
        await writer.save()
        assert (store.body(KEY), store.body(NEW)) == (None, b"two")
        writer.close()


@pytest.mark.parametrize("refused", [False, True])
async def test_who_writes_what_a_rename_replaces_stores_it_only_if_that_fails(
    tmp_path: Path, refused: bool
) -> None:
    store = MemoryStore()
    store.place(KEY, b"moved")
    async with files(store, tmp_path) as here, trio.open_nursery() as nursery:
        replaced = await here.write(NEW, truncate=True)
        await replaced.write(0, b"replaced")

        async def begin() -> None:
            nursery.start_soon(replaced.save)
            await turns()

        store.before("DELETE", KEY, begin)
        if refused:
            store.fail(KEY, Fault.DENIED, verb="DELETE")
            with pytest.raises(Denied):
                await here.rename(KEY, NEW, exclusive=False)
        else:
            await here.rename(KEY, NEW, exclusive=False)
        await turns()
        assert await replaced.read(0, 99) == b"replaced"
        replaced.close()
    if refused:
        assert (store.body(KEY), store.body(NEW)) == (b"moved", b"replaced")
    else:
        assert (store.body(KEY), store.body(NEW)) == (None, b"moved")


async def test_a_file_moved_onto_itself_stays(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"v")
    async with files(store, tmp_path) as here:
        await here.rename(KEY, KEY, exclusive=False)
        assert store.body(KEY) == b"v"
        with pytest.raises(Exists):
            await here.rename(KEY, KEY, exclusive=True)
        with pytest.raises(Missing):
            await here.rename(NEW, NEW, exclusive=False)
    assert store.body(KEY) == b"v"


async def test_a_refused_rename_leaves_a_writer_as_it_was(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"old")
    store.place(NEW, b"theirs")
    async with files(store, tmp_path) as here:
        writer = await here.write(KEY, truncate=True)
        await writer.write(0, b"new")
        with pytest.raises(Exists):
            await here.rename(KEY, NEW, exclusive=True)
        store.fail(KEY, Fault.DENIED, verb="DELETE")
        with pytest.raises(Denied):
            await here.rename(KEY, NEW, exclusive=False)
        await writer.save()
        writer.close()
    assert store.body(KEY) == b"new"


async def test_renaming_a_file_that_must_be_new_leaves_anothers(tmp_path: Path) -> None:
    store = MemoryStore()
    async with files(store, tmp_path) as here:
        writer = await here.create(KEY, truncate=False, exclusive=True)
        await writer.write(0, b"ours")
        store.place(KEY, b"theirs")
        await here.rename(KEY, NEW, exclusive=False)
        writer.close()
    assert (store.body(KEY), store.body(NEW)) == (b"theirs", b"ours")


async def test_a_name_that_was_taken_for_a_rename_is_given_back(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, bytes(9 * MIB))
    async with files(store, tmp_path) as here:
        store.fail(NEW, Fault.REFUSED, verb="COPY")
        with pytest.raises(Unavailable):
            await here.rename(KEY, NEW, exclusive=True)
    assert (len(store.body(KEY) or b""), store.body(NEW)) == (9 * MIB, None)


async def test_a_renamed_file_is_the_version_that_was_opened_or_stale(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"1" * MIB)
    async with files(store, tmp_path) as here:
        same = await here.read(KEY)
        await here.rename(KEY, NEW, exclusive=False)
        assert await same.read(MIB - 2, 9) == b"11"
        writer = await here.write(NEW, truncate=False)
        store.place(NEW, b"2" * (2 * MIB))
        await here.rename(NEW, KEY, exclusive=False)
        with pytest.raises(PreconditionFailed):
            await same.read(MIB // 2, 9)
        with pytest.raises(PreconditionFailed):
            await writer.write(0, b"x")
        for each in (same, writer):
            each.close()
    assert store.body(KEY) == b"2" * (2 * MIB)


async def test_who_writes_a_file_that_could_not_be_removed_stores_it(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"old")
    async with files(store, tmp_path) as here:
        writer = await here.write(KEY, truncate=False)
        await writer.write(0, b"new")
        store.fail(KEY, Fault.DENIED, verb="DELETE")
        async with trio.open_nursery() as nursery:

            async def begin() -> None:
                nursery.start_soon(writer.save)
                await turns()

            store.before("DELETE", KEY, begin)
            with pytest.raises(Denied):
                await here.remove(KEY)
        writer.close()
    assert store.body(KEY) == b"new"


async def test_cutting_a_large_file_fetches_what_is_left(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"x" * (32 * MIB))
    async with files(store, tmp_path) as here:
        await here.truncate(KEY, 3)
        assert store.body(KEY) == b"xxx"
        assert len(store.asked("RANGE")) == 1
        store.place(KEY, b"x" * (2 * MIB))
        await here.truncate(KEY, MIB)
        await here.truncate(KEY, MIB + 2)
    assert store.body(KEY) == b"x" * MIB + b"\0\0"


class Full:
    """A disk that is full until it is told otherwise, for what is past `limit`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
        self.limit = limit
        self._pwrite = os.pwrite
        monkeypatch.setattr(_local.os, "pwrite", self.pwrite)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        room = self.limit - offset
        if room <= 0:
            raise OSError(errno.ENOSPC, "full")
        return self._pwrite(fd, data[:room], offset)


async def test_what_a_full_disk_lost_part_of_is_not_stored_though_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    store.place(KEY, b"old")
    async with files(store, tmp_path) as here:
        for truncate in (True, False):
            disk = Full(monkeypatch, 10)
            writer = await here.write(KEY, truncate=truncate)
            await writer.write(0, b"12345678")
            with pytest.raises(OSError, match="free some"):
                await writer.write(8, b"9012")
            disk.limit = 99
            with pytest.raises(OSError, match="free some"):
                await writer.write(8, b"9012")
            with pytest.raises(OSError, match="free some"):
                await writer.save()
            writer.close()
            monkeypatch.undo()
    assert store.body(KEY) == b"old"


async def test_what_a_full_disk_took_of_a_write_is_not_seen_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    async with files(store, tmp_path) as here:
        one = await here.write(KEY, truncate=True)
        two = await here.write(KEY, truncate=False)
        await two.write(0, b"two")
        disk = Full(monkeypatch, 6)
        with pytest.raises(OSError, match="free some"):
            await one.write(3, b"123456")
        disk.limit = 99
        await two.write(9, b"!")
        await two.save()
        for each in (one, two):
            each.close()
    assert store.body(KEY) == b"two" + bytes(6) + b"!"


async def test_an_upload_that_fails_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()

    async def upload(key: str, parts: AsyncIterable[bytes], **how: object) -> None:
        async for _ in parts:
            raise Unavailable("away")

    monkeypatch.setattr(store, "upload", upload)
    async with files(store, tmp_path) as here:
        writer = await here.write(KEY, truncate=True)
        await writer.write(0, bytes(3 * MIB))
        with pytest.raises(Unavailable):
            await writer.save()
        assert len(staging(tmp_path)) == 1
        gc.collect()  # a generator that was left half way warns
        await turns(2)
        writer.close()
        assert staging(tmp_path) == []


@pytest.mark.parametrize("old", [None, b"what was there before"])
async def test_a_file_that_is_stored_while_its_directory_is_listed_is_listed_as_it_is(
    tmp_path: Path, old: bytes | None
) -> None:
    """What the bucket showed is old by then, and it is no longer being written when we look."""
    store = MemoryStore()
    if old is not None:
        store.place(KEY, old)
    async with files(store, tmp_path) as here:
        writer = await here.create(KEY, truncate=True, exclusive=False)
        await writer.write(0, b"content")

        async def stored() -> None:
            await writer.save()
            writer.close()

        store.after("LIST", "runs/", stored)
        assert {name: it.size for name, it in (await here.level("runs/")).files.items()} == {"f": 7}
        assert store.body(KEY) == b"content"


async def test_a_file_that_is_removed_while_its_directory_is_listed_is_not(tmp_path: Path) -> None:
    store = MemoryStore()
    async with files(store, tmp_path) as here:
        writer = await here.create(KEY, truncate=True, exclusive=False)
        await writer.write(0, b"content")

        async def removed() -> None:
            await here.remove(KEY)
            writer.close()

        store.after("LIST", "runs/", removed)
        assert not (await here.level("runs/")).files
