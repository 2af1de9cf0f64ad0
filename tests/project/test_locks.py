"""Locks: who has one, for how long, and what comes of writes that go wrong (protocol.md, Locks)."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from tcfs.project import Project
from tcfs.project._journal import Holding
from tcfs.project.errors import Held, Missing, NotAllowed, NotHolder, Refused
from tcfs.stores import Denied, OutcomeUnknown, Unavailable
from tcfs.stores.deadline import within
from tcfs.wire import Malformed, keys
from tcfs.wire.ids import LockId
from tcfs.wire.locks import Lock
from tests.memory_store import NO_DELETE, Fault, MemoryStore
from tests.project.parties import A, B, document, mounted, place, present

pytestmark = pytest.mark.usefixtures("autojump_clock")

X = LockId("x")
KEY = keys.lock(X)
LEASE = 30  # seconds


@pytest.fixture(autouse=True)
def _one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the journal's patience go by the mock clock, as everything else."""
    clocks = SimpleNamespace(monotonic=trio.current_time, time=time.time)
    monkeypatch.setattr("tcfs.project._journal.time", clocks)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.tell_time()
    return store


def stands_still(project: Project) -> None:
    """Let a mount renew nothing from now on, as one that was stopped."""

    async def never(holding: Holding) -> bool:
        await trio.sleep_forever()
        return False

    project.upkeep._renew = never  # type: ignore[method-assign]  # it is not there to do it


def written_down(state: Path) -> list[str]:
    """Return the ids of what a mount would come back for."""
    return [json.loads(it.read_bytes())["id"] for it in state.glob("journal/*/*/held/*")]


async def is_free(project: Project) -> bool:
    return (await project.locks.look(X)).holder is None


async def test_a_lock_says_who_has_it_and_is_gone_when_it_is_given_back(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path, A, LEASE) as project:
        won = await project.locks.take(X, A)
        lock = present(store, KEY)
        assert (lock["agent"], lock["id"], lock["generation"]) == (A, won.id, 1)
        assert lock["lease"]["seconds"] == LEASE
        assert (lock["host"], lock["mount"]) == ("host-a", project.mount)
        assert "hold" not in lock
        with pytest.raises(Held, match=r"held by a since .* rmdir locks/x"):
            await project.locks.take(X, A)
        with pytest.raises(Held):
            await project.locks.take(X, B)
        await project.locks.give_back(X, A)
        assert document(store, KEY) is None
        with pytest.raises(Missing, match="mkdir locks/x takes it"):
            await project.locks.give_back(X, A)


async def test_only_its_holder_gives_a_lock_back(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path, A, LEASE) as project:
        await project.locks.take(X, A)
        with pytest.raises(NotHolder, match="held by a, not by you"):
            await project.locks.give_back(X, B)
        assert present(store, KEY)["agent"] == A


async def test_without_conditional_delete_a_tombstone_is_left_and_taken_over(
    tmp_path: Path,
) -> None:
    """Without conditional delete a lock that is given back stays, marked as released."""
    store = MemoryStore(NO_DELETE)
    async with mounted(store, tmp_path, A, LEASE) as project:
        await project.locks.take(X, A)
        await project.locks.give_back(X, A)
        left = present(store, KEY)
        assert (left["released"], left["lease"], left["generation"]) == (True, None, 1)
        assert await is_free(project)
        assert await project.locks.list() == []
        await project.locks.take(X, B)
        assert present(store, KEY)["generation"] == 2
        assert "released" not in present(store, KEY)


async def test_listing_shows_what_somebody_has(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path, A, LEASE) as project:
        await project.clock.ask(store)
        await project.locks.take(LockId("dir"), A)
        await project.locks.hold(LockId("file"), B)
        lease = {"seconds": 1, "renewed_at": "2020-01-01T00:00:00+00:00"}
        place(store, "locks/over.json", agent="c", id="t", nonce="n", lease=lease)
        place(store, "locks/gone.json", agent="c", id="t", nonce="n", released=True)
        store.place("locks/odd.json", b"no document")
        for nobodys in ("locks/_x.json", "locks/a/b.json", "locks/c.json.json", "locks/text"):
            place(store, nobodys, agent="c")
        await trio.sleep(10)
        shown = [(lock.agent, name, lock.hold) for lock, name, _ in await project.locks.list()]
        assert shown == [(A, "dir", False), (B, "file", True), ("unknown", "odd", False)]


async def test_a_lock_that_is_no_document_is_had_by_nobody_we_know(
    store: MemoryStore, tmp_path: Path
) -> None:
    store.place(KEY, b"no document")
    async with mounted(store, tmp_path, A, LEASE) as project:
        with pytest.raises(Held, match="held by unknown"):
            await project.locks.take(X, A)
        with pytest.raises(NotHolder):
            await project.locks.give_back(X, A)


# leases


async def test_a_lock_that_is_renewed_lives_as_long_as_its_mount(
    store: MemoryStore, tmp_path: Path
) -> None:
    """A lock taken through a mount has a lease, and that mount renews it every third of it."""
    async with (
        mounted(store, tmp_path / "a", A, LEASE) as one,
        mounted(store.other(), tmp_path / "b", B, LEASE) as two,
    ):
        await two.clock.ask(store)
        won = await one.locks.take(X, A)
        store.requests.clear()
        await trio.sleep(10 * LEASE)
        assert len([it for it in store.asked("PUT") if it == KEY]) in (29, 30)
        with pytest.raises(Held):
            await two.locks.take(X, B)
        assert (present(store, KEY)["id"], present(store, KEY)["generation"]) == (won.id, 1)


@pytest.mark.parametrize("again", [A, B])
async def test_the_former_holder_is_refused_and_removes_nothing(
    store: MemoryStore, tmp_path: Path, again: str
) -> None:
    """A lock whose lease ran out is taken over, one generation on; its former holder is refused."""
    async with (
        mounted(store, tmp_path / "a", A, LEASE) as one,
        mounted(store.other(), tmp_path / "b", B, LEASE) as two,
    ):
        await two.clock.ask(store)
        stands_still(one)
        had = await one.locks.take(X, A)
        await trio.sleep(LEASE - 1)
        assert not await is_free(two)
        await trio.sleep(3)
        assert await is_free(two)
        agent = A if again == A else B  # by another mount, it is the same to this one
        won = await two.locks.take(X, agent)
        assert present(store, KEY)["generation"] == 2
        before = store.body(KEY)
        with pytest.raises(NotHolder):
            await one.locks.renew(had)
        with pytest.raises(NotHolder):
            await one.locks.give_back(X, A)
        one.locks.let_go(had)
        await trio.sleep(1)
        assert store.body(KEY) == before
        assert present(store, KEY)["id"] == won.id


async def test_what_this_mount_holds_is_not_taken_over_through_it(
    store: MemoryStore, tmp_path: Path
) -> None:
    """Two shells of one agent in one mount cannot be told apart: the first goes on having it."""
    async with mounted(store, tmp_path, A, LEASE) as project:
        await project.clock.ask(store)
        stands_still(project)
        had = await project.locks.take(X, A)
        await trio.sleep(2 * LEASE)
        with pytest.raises(Held):
            await project.locks.take(X, A)
        await project.locks.renew(had)
        assert not await is_free(project)


async def test_a_lock_lost_and_taken_again_is_another(store: MemoryStore, tmp_path: Path) -> None:
    """Closing the file of the first tenure gives back nothing of the second."""
    async with mounted(store, tmp_path, A, LEASE) as project:
        lost = await project.locks.hold(X, A)
        store.remove(KEY)
        await trio.sleep(1)
        won = await project.locks.hold(X, A)
        project.locks.let_go(lost)
        await trio.sleep(10 * LEASE)
        assert present(store, KEY)["id"] == won.id
        assert not await is_free(project), "it is renewed"
        assert written_down(tmp_path) == [won.id]


async def test_a_lock_without_a_mount_has_no_lease(store: MemoryStore, tmp_path: Path) -> None:
    """A lock taken without a mount has no lease, and is never taken away."""
    async with Project.visit(store.other(), agent=A, host="h", state=tmp_path / "a") as command:
        await command.locks.take(X, A)
    assert present(store, KEY)["lease"] is None
    async with mounted(store, tmp_path / "b", B) as project:
        await trio.sleep(80_000)
        with pytest.raises(Held):
            await project.locks.take(X, B)
    async with Project.visit(store.other(), agent=A, host="h", state=tmp_path / "a") as command:
        await command.locks.give_back(X, A)
    assert document(store, KEY) is None


# bound to an open file


async def test_what_a_file_holds_goes_with_it_and_not_by_rmdir(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path, A, LEASE) as project:
        won = await project.locks.hold(X, A)
        assert present(store, KEY)["hold"] is True
        for _ in range(2):
            with pytest.raises(NotAllowed, match="exec 9>&-"):
                await project.locks.give_back(X, A)
        project.locks.let_go(won)
        assert await is_free(project), "whoever looks waits until it is given back"
        await project.locks.take(X, A)


async def test_by_another_mount_of_its_agent_neither(store: MemoryStore, tmp_path: Path) -> None:
    async with (
        mounted(store, tmp_path / "1", A, LEASE) as one,
        mounted(store.other(), tmp_path / "2", A, LEASE) as two,
    ):
        await one.locks.hold(X, A)
        with pytest.raises(NotAllowed):
            await two.locks.give_back(X, A)


@pytest.mark.parametrize("verb", ["closing", "rmdir"])
async def test_what_was_given_up_in_an_outage_is_given_back_after_it(
    store: MemoryStore, tmp_path: Path, verb: str
) -> None:
    """What was given up while the store was away is not renewed, and is given back after it."""
    async with mounted(store, tmp_path, A, 1000) as project:
        take = project.locks.hold if verb == "closing" else project.locks.take
        won = await take(X, A)
        store.fail(KEY, Fault.REFUSED, verb="DELETE", times=10_000)
        if verb == "closing":
            project.locks.let_go(won)
            await project.locks.look(X)
        else:
            with pytest.raises(Unavailable), within(5):
                await project.locks.give_back(X, A)
        before = store.body(KEY)
        await trio.sleep(900)
        assert store.body(KEY) == before, "it is not renewed"
        with pytest.raises(Held):
            await project.locks.take(X, A)
        store._scripts.clear()
        await trio.sleep(60)
        await project.locks.take(X, A)
        assert present(store, KEY)["id"] != won.id


@pytest.mark.parametrize("verb", ["closing", "rmdir"])
async def test_what_was_given_up_in_an_outage_is_given_back_by_the_next_mount(
    store: MemoryStore, tmp_path: Path, verb: str
) -> None:
    with trio.CancelScope() as life:
        async with mounted(store, tmp_path, A, 1000) as project:
            take = project.locks.hold if verb == "closing" else project.locks.take
            won = await take(X, A)
            store.fail(KEY, Fault.DENIED, verb="DELETE", times=10_000)
            if verb == "closing":
                project.locks.let_go(won)
                await project.locks.look(X)
            else:
                with pytest.raises(Denied):
                    await project.locks.give_back(X, A)
            life.cancel()
    assert present(store, KEY)["id"] == won.id
    other = store.other()
    other.fail(KEY, Fault.DENIED, verb="DELETE")  # it is still away when that mount begins
    async with mounted(other, tmp_path, A, 1000) as project:
        told: list[str] = []
        project.upkeep.lost = lambda agent, key, why: told.append(key)
        await trio.sleep(1000)
        assert document(store, KEY) is None
        assert told == [], "nobody had it"


async def test_the_next_mount_carries_on_and_gives_back_what_was_bound(
    store: MemoryStore, tmp_path: Path
) -> None:
    """The next mount of an agent on a host carries on its locks, and gives back those of files."""
    with trio.CancelScope() as life:
        async with mounted(store, tmp_path, A, LEASE) as one:
            kept = await one.locks.take(X, A)
            await one.locks.hold(LockId("bound"), A)
            life.cancel()
    assert "locks/bound.json" in store.stored()
    async with mounted(store.other(), tmp_path, A, LEASE) as again:
        await trio.sleep(10 * LEASE)
        assert "locks/bound.json" not in store.stored()
        assert (present(store, KEY)["id"], present(store, KEY)["mount"]) == (kept.id, again.mount)
        assert not await is_free(again)
        await again.locks.give_back(X, A)
    assert list((tmp_path / "journal").glob("*/*")) == [], "nothing is left in the journal"


async def test_what_was_taken_over_meanwhile_is_not_carried_on(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path / "a", A, LEASE) as one:
        await one.locks.take(X, A)
    async with mounted(store.other(), tmp_path / "b", B, LEASE) as two:
        await two.clock.ask(store)
        await trio.sleep(2 * LEASE)
        await two.locks.take(X, B)
        async with mounted(store.other(), tmp_path / "a", A, LEASE) as again:
            told: list[str] = []
            again.upkeep.lost = lambda agent, key, why: told.append(f"{agent} {key} {why}")
            await trio.sleep(2 * LEASE)
            assert told == ["a locks/x.json locks/x is held by b, not by you"]
        assert present(store, KEY)["agent"] == B


# lost answers


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.BROKEN, Fault.REFUSED, Fault.CONFLICT])
@pytest.mark.parametrize("verb", ["PUT", "DELETE"])
async def test_one_fault_is_not_noticed(
    store: MemoryStore, tmp_path: Path, verb: str, fault: Fault
) -> None:
    async with mounted(store, tmp_path, A, LEASE) as project:
        store.fail(KEY, fault, verb=verb)
        won = await project.locks.take(X, A)
        assert present(store, KEY)["id"] == won.id
        await project.locks.give_back(X, A)
        assert document(store, KEY) is None
        assert store.pending_faults == 0


async def test_unknown_at_the_deadline_is_undone_when_it_shows(
    store: MemoryStore, tmp_path: Path
) -> None:
    """A lock of unknown outcome is EIO, and is given back as soon as it shows."""
    async with mounted(store, tmp_path, A, 10_000) as project:
        store.fail(KEY, Fault.DELAYED)
        store.fail(KEY, Fault.BROKEN, times=1000)
        with pytest.raises(OutcomeUnknown), within(5):
            await project.locks.take(X, A)
        store._scripts.clear()
        await trio.sleep(60)
        assert store.deliver() == 1
        assert await is_free(project), "this mount knows at once"
        await project.locks.take(X, B)
        assert present(store, KEY)["generation"] == 2
        await trio.sleep(900)
        assert present(store, KEY)["agent"] == B


async def test_a_late_duplicate_of_a_lock_that_was_given_back_is_undone(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with (
        mounted(store, tmp_path / "a", A, 10_000) as one,
        mounted(store.other(), tmp_path / "b", B, 10_000) as two,
    ):
        store.fail(KEY, Fault.DELAYED)
        await one.locks.take(X, A)
        await one.locks.give_back(X, A)
        await trio.sleep(300)
        assert store.deliver() == 1
        with pytest.raises(Held):
            await two.locks.take(X, B)
        await trio.sleep(200)
        await two.locks.take(X, B)


async def test_what_was_surely_not_written_is_not_looked_for(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path, A, LEASE) as project:
        store.fail(KEY, Fault.DENIED)
        with pytest.raises(Denied):
            await project.locks.take(X, A)
        store.requests.clear()
        await trio.sleep(60)
        assert KEY not in store.asked("GET")


async def test_the_loser_of_a_race_is_told_who_won(store: MemoryStore, tmp_path: Path) -> None:
    async with (
        mounted(store, tmp_path / "a", A, LEASE) as one,
        mounted(store.other(), tmp_path / "b", B, LEASE) as two,
    ):
        store.before("PUT", KEY, lambda: two.locks.take(X, B))
        with pytest.raises(Held, match="held by b"):
            await one.locks.take(X, A)
        with pytest.raises(Refused):
            await one.locks.give_back(X, A)
        assert present(store, KEY)["agent"] == B


# the document


def test_a_lock_comes_back_as_it_was_written() -> None:
    lock = Lock(agent="a", locked_at="t", id="i", nonce="n", generation=3, host="h", mount="m")
    assert Lock.parse(lock.encode()) == lock
    assert lock.encode(2) != lock.encode()
    assert Lock.parse(lock.encode(2)) == lock
    assert Lock.parse(b'{"later": 1}') == Lock(agent="unknown", extra={"later": 1})
    assert b'"later": 1' in Lock.parse(b'{"later": 1}').encode()
    with pytest.raises(Malformed):
        Lock.parse(b"[]")
