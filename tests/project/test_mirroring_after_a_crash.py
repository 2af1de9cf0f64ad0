"""A mirror that was killed: on its host the next one knows, and goes on without waiting."""

import os
from pathlib import Path

import pytest
import trio

from tcfs.project import Project
from tcfs.project import mirroring as mirroring_module
from tcfs.project._journal import Journal
from tcfs.project.mirroring import LEASE, Owned
from tcfs.wire.ids import fresh
from tests.memory_store import Fault, MemoryStore
from tests.project.mirrored import HERE
from tests.project.mirrors import (
    ORIGIN,
    Source,
    meta_of,
    mirror,
    shown,
)
from tests.project.parties import A, B, mounted

pytestmark = pytest.mark.usefixtures("autojump_clock")


def killed(project: Project) -> None:
    """Let go of the journal as the kernel does for who was killed: nothing of it is removed."""
    journal = project.steps._context.journal
    assert journal._lock is not None
    os.close(journal._lock)
    journal._lock = None
    journal.close = lambda: None  # type: ignore[method-assign]  # nobody is there to call it


async def crashed(tmp_path: Path) -> tuple[MemoryStore, Source]:
    """Return a store with a session whose mirror, of A on host-a, was killed."""
    store, source = MemoryStore(), Source(["one\n"])
    store.tell_time()
    async with mounted(store, tmp_path / "here") as project:
        await mirror(project.mirrors.of(HERE, ORIGIN), source)
        killed(project)
    source.says("two\n")
    return store, source


async def test_the_next_one_on_that_host_goes_on_at_once(tmp_path: Path) -> None:
    """From a mirror that was killed, the next one on its host takes over at once."""
    store, source = await crashed(tmp_path)
    before = meta_of(store)
    assert before is not None
    begun = trio.current_time()
    async with mounted(store.other(), tmp_path / "here") as project:
        here = project.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        assert trio.current_time() == begun
        assert shown(store) == "one\ntwo\n"
        meta = meta_of(store)
        assert meta is not None
        assert meta.epoch == (before.epoch or 0) + 1
        await here.release()


async def test_so_does_one_that_was_there_already(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    store.tell_time()
    async with mounted(store.other(), tmp_path / "here") as second:
        other = second.mirrors.of(HERE, ORIGIN)
        async with mounted(store, tmp_path / "here") as first:
            await mirror(first.mirrors.of(HERE, ORIGIN), source)
            with pytest.raises(Owned):
                await other.cursor()
            killed(first)
        source.says("two\n")
        await mirror(other, source)
        assert shown(store) == "one\ntwo\n"
        await other.release()


async def test_while_it_lives_the_next_one_waits(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    store.tell_time()
    async with (
        mounted(store, tmp_path / "here") as first,
        mounted(store.other(), tmp_path / "here") as second,
    ):
        await mirror(first.mirrors.of(HERE, ORIGIN), source)
        source.says("two\n")
        with pytest.raises(Owned) as owned:
            await mirror(second.mirrors.of(HERE, ORIGIN), source)
        assert 0 < owned.value.left <= LEASE + 5


@pytest.mark.parametrize("agent", [A, B], ids=["another disk", "another host"])
async def test_whoever_cannot_tell_waits(tmp_path: Path, agent: str) -> None:
    """Another host of that name has no directory of it; nor has one of another name, if it had."""
    store, source = await crashed(tmp_path)
    state = "there" if agent == A else "here"
    async with mounted(store.other(), tmp_path / state, agent) as project:
        with pytest.raises(Owned):
            await mirror(project.mirrors.of(HERE, ORIGIN), source)


@pytest.mark.parametrize("fault", [None, Fault.DELAYED, Fault.ANSWER_LOST, Fault.BROKEN])
async def test_what_it_had_under_way_lands_once_or_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault | None
) -> None:
    """It dies at each of its requests, which may come as late as it likes: after the next one's."""
    monkeypatch.setattr(mirroring_module, "MANY", 3)
    for number in range(40):
        died = await _lives_through(tmp_path / str(number), number, fault)
        if not died:
            assert number > 8
            return
    raise AssertionError("more requests than are made")


async def _lives_through(state: Path, number: int, fault: Fault | None) -> bool:
    """Let a mirror die at a request, another of that host go on; return whether it came to it."""
    store, source = MemoryStore(), Source([f"line {it}\n" for it in range(5)])
    store.tell_time()
    died = False
    with trio.CancelScope() as life:
        async with mounted(store, state) as project:
            start = len(store.requests)

            async def die() -> None:
                nonlocal died
                died = True
                killed(project)
                life.cancel()

            async def count(at: int, verb: str, key: str) -> None:
                if at - start == number:
                    if fault is not None and verb in ("PUT", "DELETE"):
                        store.fail(key, fault, verb=verb)
                    store.after(verb, key, die)

            store.each = count
            await mirror(project.mirrors.of(HERE, ORIGIN), source)
            killed(project)
    begun = trio.current_time()
    async with mounted(store.other(), state) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        source.says("next\n")
        await mirror(here, source)
        assert trio.current_time() == begun
        assert shown(store) == source.text
        store.deliver()
        assert shown(store) == source.text
        source.says("last\n")
        await mirror(here, source)
        await here.release()
    assert shown(store) == source.text
    meta = meta_of(store)
    assert meta is not None
    assert meta.generation == 1
    return died


def test_a_journal_tells_who_is_gone(tmp_path: Path) -> None:
    names = [fresh() for _ in range(4)]
    alive, asking = Journal(tmp_path, names[0]), Journal(tmp_path, names[1])
    dead = Journal(tmp_path, names[2])
    assert not asking.is_gone(names[2])
    assert dead._lock is not None
    os.close(dead._lock)
    assert asking.is_gone(names[2])
    assert not asking.is_gone(names[0])
    assert not asking.is_gone(names[1])  # itself
    assert not asking.is_gone(names[3])  # was never here
    another = Journal(tmp_path, names[3])
    another.inherit()
    assert not (tmp_path / names[2]).exists()
    assert another.is_gone(names[2])
    assert asking.is_gone(names[2])  # it was told before
    assert not alive.is_gone(names[2])  # it might be of another host
    for it in (alive, asking, another):
        it.close()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/", "x" * 24, "0" * 23])
def test_a_name_that_no_mount_has_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").mkdir()
    asking = Journal(tmp_path / "journal", fresh())
    assert not asking.is_gone(name)
    asking.close()
