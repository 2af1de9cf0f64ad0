"""What a mount remembers of what it has seen has a bound, however long it is used."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from tcfs.project import _appends, _directories
from tcfs.project._directories import Directories
from tcfs.project._documents import Documents
from tcfs.project._watch import TICK, Watcher
from tcfs.project.artifacts import Files
from tcfs.stores import _file_etag
from tcfs.tree import Refusals, refusals
from tcfs.wire.ids import AgentId
from tests.memory_store import MemoryStore
from tests.tree.walk import caller, grown

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_small_files_that_were_added_to_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_appends, "_BASES", 3)
    files = Files(MemoryStore(), tmp_path)
    for number in range(9):
        adder = files.add(f"runs/{number}", created=True)
        await adder.write(b"" if number % 2 else b"x")
        await adder.save()
        adder.close()
    appends = files._adders._appends
    assert list(appends._known) == ["runs/6", "runs/7", "runs/8"]
    assert appends._held == 2


async def test_bases_of_additions_are_forgotten_by_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_appends, "_KNOWN", 10)
    files = Files(MemoryStore(), tmp_path)
    for key, text in (("a", b"12345"), ("b", b"12345"), ("a", b"6"), ("c", b"1234")):
        adder = files.add(key, created=True)
        await adder.write(text)
        await adder.save()
        adder.close()
    appends = files._adders._appends
    assert list(appends._known) == ["a", "c"]
    assert appends._held == sum(len(it.body) for it, _ in appends._known.values()) == 10


def test_removed_directories_are_forgotten_though_nobody_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_directories, "REMOVED", 3)
    directories = Directories()
    for number in range(9):
        directories.add(f"shared/{number}")
        directories.drop(f"shared/{number}")
    assert [it for it in range(9) if directories.was_removed(f"shared/{it}")] == [6, 7, 8]
    directories.listed("shared/", ["7"])
    assert [it for it in range(9) if directories.was_removed(f"shared/{it}")] == [7]


def test_refusals_of_agents_who_were_refused_nothing_for_long_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refusals, "AGENTS", 2)
    kept = Refusals()
    for name in ("a", "b", "a", "c"):
        kept.record(AgentId(name), "/p", 1, "no")
    assert [len(kept.text(AgentId(it)).splitlines()) for it in "abc"] == [2, 0, 1]


async def test_prefixes_that_nobody_watches_any_more_are_forgotten() -> None:
    async with trio.open_nursery() as nursery:
        watcher = Watcher(MemoryStore(), nursery)
        with watcher.watch("agents/"):  # somebody waits all the time
            for number in range(5):
                with watcher.watch(f"messages/{number}/"):
                    await trio.sleep(2 * TICK)
            assert set(watcher._pages) <= {"agents/", "messages/4/"}
        nursery.cancel_scope.cancel()


async def test_cache_counts_what_small_documents_really_take() -> None:
    """Documents of two hundred bytes take three times as much: measured, an entry without body."""
    store = MemoryStore()
    documents = Documents(store, limit=100_000)
    for number in range(500):
        store.place(f"messages/a/{number:019d}_b_00000000.json", os.urandom(200))
    for key in store.stored():
        await documents.read(key)
    assert documents.size <= 100_000
    assert 100 < len(documents._seen) < 150


def test_hashes_of_a_hundred_thousand_files_are_kept(tmp_path: Path) -> None:
    """Listing them must not mean reading each of them anew, which takes longer than a deadline."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    found = path.stat()
    hashes = _file_etag.Hashes()
    for number in range(100_000):
        hashes.keep(_stat(found, number), _file_etag.of_content(b"%d" % number))
    for number in (0, 99_999):
        assert hashes.find(_stat(found, number)) == _file_etag.of_content(b"%d" % number)


def _stat(found: os.stat_result, inode: int) -> Any:
    """Return the stat of another file."""
    return SimpleNamespace(
        st_dev=found.st_dev,
        st_ino=inode,
        st_size=found.st_size,
        st_mtime_ns=found.st_mtime_ns,
        st_ctime_ns=found.st_ctime_ns,
    )


async def test_listed_mailbox_keeps_no_text_of_its_messages(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.project.agents.register(AgentId("a"))
        await tree.append("messages/a/inbox", "x" * 100_000)
        directory = await tree.directory("messages/a")
        tree.project.documents.forget(tree.store.asked("PUT")[-1])
        gets = len(tree.store.asked("GET"))
        ((name, _), (_, message)) = await directory.entries(caller())
        assert name == "inbox"
        assert len(tree.store.asked("GET")) == gets + 1
        assert message.listed is not None
        assert message.listed.size > 100_000
        key = next(it for it in tree.store.stored() if it.startswith("messages/a/1"))
        tree.project.documents.forget(key)
        await message.attributes()
        assert len(tree.store.asked("GET")) == gets + 2, "its text was not asked for again"


async def test_one_version_among_many_is_found_without_listing_them(tmp_path: Path) -> None:
    store = MemoryStore(page=10)
    async with grown(tmp_path, store) as tree:
        for number in range(30):
            await tree.write("memory/k", f"{number}\n")
        versions = await tree.ls("memory/_history/k")
        lists = len(store.asked("LIST"))
        assert await tree.cat(f"memory/_history/k/{versions[7]}") == "7\n"
        assert len(store.asked("LIST")) == lists
