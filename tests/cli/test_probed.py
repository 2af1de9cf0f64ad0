"""A store of a mount does what it was found to do, and nothing it was not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tcfs.cli._probed import AGAIN, Trust, probed
from tcfs.stores import Denied, ETag, OutcomeUnknown, ReadOnly, Unsupported
from tcfs.stores.probe import PREFIX
from tests.memory_store import Fault, MemoryStore

pytestmark = pytest.mark.usefixtures("autojump_clock")


def trust(path: Path, **how: bool) -> Trust:
    return Trust(path / "cache" / "probes" / "file.json", **how)


async def test_what_was_found_is_used_again(tmp_path: Path) -> None:
    store = MemoryStore()
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path), background)
    assert limited.capabilities.claims == "atomic"
    before = len(store.requests)
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path), background)
    assert limited.capabilities.claims == "atomic"
    assert len(store.requests) == before
    async with trio.open_nursery() as background:
        await probed(store, trust(tmp_path, anew=True), background)
    assert len(store.requests) > before


async def test_what_was_found_with_answers_missing_is_used_again(tmp_path: Path) -> None:
    """So a command with a short deadline does not try out the store each time."""
    store = MemoryStore()
    store.fail("*/race-?", Fault.REFUSED)  # loses, as far as anybody can tell
    async with trio.open_nursery() as background:
        await probed(store, trust(tmp_path), background)
    before = len(store.requests)
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path), background)
    assert len(store.requests) == before
    assert limited.capabilities.claims == "atomic"
    assert "1 of 40 writes had no answer yet" in limited.capabilities.facts[0]


async def test_second_winner_that_comes_late_stops_claims(tmp_path: Path) -> None:
    """A second winner that a service names late, after the mount answered, stops claims."""
    store = MemoryStore()
    answered = trio.Event()

    async def late() -> None:
        await answered.wait()
        (key,) = [it for it in store.stored() if it.endswith("/race-2")]
        store.remove(key)  # so that the late one finds nothing there, and wins too

    store.before("PUT", "*/race-2", late)
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path), background)
        assert limited.capabilities.claims == "atomic"
        assert "1 of 40 writes had no answer yet" in limited.capabilities.facts[0]
        await limited.put("early", b"", if_absent=True)
        answered.set()
    assert limited.capabilities.claims == "refused"
    with pytest.raises(Unsupported, match="another had 2"):
        await limited.put("late", b"", if_absent=True)
    async with trio.open_nursery() as background:
        again = await probed(store, trust(tmp_path), background)
    assert again.capabilities.claims == "refused", "the next mount knows"


async def test_refused_write_that_is_done_later_stops_claims(tmp_path: Path) -> None:
    store = MemoryStore()
    answered = trio.Event()

    async def late() -> None:
        await answered.wait()
        (key,) = [it for it in store.stored() if it.endswith("/race-2")]
        store.place(key, b"of who is told now that it lost")

    store.before("PUT", "*/race-2", late)
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path), background)
        assert limited.capabilities.claims == "atomic"
        answered.set()
    with pytest.raises(Unsupported, match="the service writes what it refuses"):
        await limited.put("late", b"", if_absent=True)


async def test_what_was_found_before_is_not_believed_once_it_is_in_doubt(tmp_path: Path) -> None:
    store = MemoryStore()
    async with trio.open_nursery() as background:
        await probed(store, trust(tmp_path), background)
    store.fail("*/race-?", Fault.ANSWER_LOST, times=40)
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path, anew=True), background)
    assert limited.capabilities.claims == "refused"
    before = len(store.requests)
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path), background)
    assert len(store.requests) > before, "it was tried out again"
    assert limited.capabilities.claims == "atomic"


async def test_who_may_not_write_is_refused_as_the_store_refuses(tmp_path: Path) -> None:
    store = MemoryStore()
    store.fail(f"{PREFIX}*", Fault.DENIED)
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path), background)
    assert limited.capabilities.claims == "refused"
    with pytest.raises(Denied, match="takes no writes"):
        await limited.put("k", b"", if_absent=True)
    assert not (tmp_path / "cache").exists(), "other credentials may find more"


async def test_what_is_not_known_is_not_risked(tmp_path: Path) -> None:
    store = MemoryStore()
    store.fail(f"{PREFIX}*", Fault.REFUSED)
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path), background)
    with pytest.raises(Unsupported, match="mount again with --probe"):
        await limited.put("k", b"", if_absent=True)
    async with trio.open_nursery() as background:
        store.fail(f"{PREFIX}*", Fault.REFUSED)
        careless = await probed(store, trust(tmp_path, best_effort=True), background)
    assert careless.capabilities.claims == "best-effort"
    await careless.put("k", b"", if_absent=True)


@pytest.fixture
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock clock jumps on while a thread works: work right here instead."""

    async def at_once(work: Callable[..., object], *arguments: object) -> object:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr("trio.to_thread.run_sync", at_once)


@pytest.mark.usefixtures("_no_threads")
async def test_mount_that_could_not_find_out_tries_again(tmp_path: Path) -> None:
    """What is not known since requests fail is tried again, and claims go on when it is."""
    store = MemoryStore()
    put = store.put
    away = True

    async def unanswered(key: str, body: bytes, **how: Any) -> ETag:
        if away and how.get("if_match"):
            raise OutcomeUnknown("no answer")
        return await put(key, body, **how)

    store.put = unanswered  # type: ignore[method-assign]  # its conditional writes are lost
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path, lasting=True), background)
        assert limited.capabilities.claims == "refused"
        assert "did not answer" in limited.capabilities.facts[1]
        away = False
        await trio.sleep(AGAIN[0] + 1)
        assert limited.capabilities.claims == "atomic"
        await limited.put("k", b"", if_absent=True)
    before = len(store.requests)
    async with trio.open_nursery() as background:
        await probed(store, trust(tmp_path, lasting=True), background)
    assert len(store.requests) == before, "it is known now"


@pytest.mark.usefixtures("_no_threads")
async def test_mount_tries_again_for_some_time_only(tmp_path: Path) -> None:
    store = MemoryStore()
    async with trio.open_nursery() as background:
        store.fail(f"{PREFIX}*", Fault.REFUSED, times=1000)
        limited = await probed(store, trust(tmp_path, lasting=True), background)
    assert limited.capabilities.claims == "refused"
    tried = [key for verb, key in store.requests if verb == "PUT" and key.endswith("/first")]
    assert len(set(tried)) == 1 + len(AGAIN)


async def test_read_only_mount_asks_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with trio.open_nursery() as background:
        limited = await probed(store, trust(tmp_path, silent=True), background)
    assert store.requests == []
    with pytest.raises(ReadOnly):
        await limited.put("k", b"", if_absent=True)
    assert limited.capabilities.facts == ("not probed: the mount is read-only",)
