"""A mount that ends between two requests leaves nothing that stays (protocol.md, the journal)."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from tcfs.project import Project
from tcfs.project._journal import PATIENCE, Entry, Journal
from tcfs.stores import StoreError
from tests.memory_store import NO_DELETE, MemoryStore
from tests.project.parties import (
    CLAIM,
    COMPLETE,
    IN_PROGRESS,
    PENDING,
    STATUS,
    A,
    B,
    X,
    mounted,
    place,
    present,
    reference_status,
    state_of,
    take,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")

Act = Callable[[Project], Awaitable[object]]


async def crash_at(store: MemoryStore, state: Path, number: int, act: Act, *, after: bool) -> bool:
    """Run `act` on a mount that dies at its request `number`; return whether it came to that."""
    came = False
    with trio.CancelScope() as life:
        async with mounted(store, state) as project:
            start = len(store.requests)

            async def die() -> None:
                nonlocal came
                came = True
                life.cancel()

            async def count(at: int, verb: str, key: str) -> None:
                if at - start == number:
                    (store.after if after else store.before)(verb, key, die)

            store.each = count
            await act(project)
    store.each = None
    return came


async def claim(project: Project) -> None:
    await project.steps.claim(X, A)


async def hold(project: Project) -> None:
    await project.steps.hold(X, A)


async def lend(project: Project) -> None:
    await project.steps.lend(X, A)


async def finish(project: Project) -> None:
    await project.steps.set_state(X, A, COMPLETE)


async def give_back(project: Project) -> None:
    await project.steps.give_back(X, A)


async def reopen(project: Project) -> None:
    await project.steps.set_state(X, A, PENDING)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("capabilities", [None, NO_DELETE], ids=["delete", "tombstone"])
@pytest.mark.parametrize("act", [claim, hold, lend])
async def test_claim_whose_mount_dies_untold_is_given_back_by_the_next(
    tmp_path: Path, number: int, after: bool, capabilities: object, act: Act
) -> None:
    store = MemoryStore(NO_DELETE) if capabilities else MemoryStore()
    assert await crash_at(store, tmp_path, number, act, after=after)
    async with mounted(store.other(), tmp_path) as next_mount:
        await trio.sleep(10)
        assert state_of(store).state is PENDING
        won = await take(next_mount.steps, B)
        await trio.sleep(60)
        assert state_of(store).tenure == won.claim.id


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(5))
async def test_takeover_whose_mount_dies_untold_is_given_back(
    tmp_path: Path, number: int, after: bool
) -> None:
    """The status changed in the gap, so the claim was raised as well."""
    store = MemoryStore()

    async def raced(project: Project) -> None:
        async def late() -> None:
            place(store, STATUS, status="pending", agent="b", claim="t0", generation=5)

        store.before("PUT", CLAIM, late)
        await project.steps.claim(X, A)

    assert await crash_at(store, tmp_path, number, raced, after=after)
    async with mounted(store.other(), tmp_path):
        await trio.sleep(10)
        assert state_of(store).state is PENDING


async def test_claim_that_was_told_survives_its_mount(tmp_path: Path) -> None:
    store = MemoryStore()
    with trio.CancelScope() as life:
        async with mounted(store, tmp_path) as project:
            won = await project.steps.claim(X, A)
            life.cancel()
            await trio.lowlevel.checkpoint()
    async with mounted(store.other(), tmp_path):
        await trio.sleep(60)
        assert state_of(store).tenure == won.claim.id


@pytest.mark.parametrize("act", [hold, lend])
async def test_claim_bound_to_a_file_does_not_survive_its_mount(tmp_path: Path, act: Act) -> None:
    store = MemoryStore()
    with trio.CancelScope() as life:
        async with mounted(store, tmp_path) as project:
            await act(project)
            life.cancel()
    assert state_of(store).state is IN_PROGRESS
    async with mounted(store.other(), tmp_path):
        await trio.sleep(10)
        assert state_of(store).state is PENDING


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(4))
async def test_taking_on_a_claim_that_dies_leaves_its_agent_or_nobody(
    tmp_path: Path, number: int, after: bool
) -> None:
    """The next mount carries on what was a claim, and gives back what was bound by then."""
    store = MemoryStore()

    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
    assert await crash_at(store, tmp_path, number, hold, after=after)
    async with mounted(store.other(), tmp_path) as next_mount:
        await trio.sleep(10)
        now = state_of(store)
        assert (now.state, now.agent) in ((IN_PROGRESS, A), (PENDING, None))
        if now.state is IN_PROGRESS:
            await next_mount.steps.give_back(X, A)
        await take(next_mount.steps, B)


async def test_cancelled_claim_is_undone_by_the_mount_that_goes_on(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        with trio.CancelScope() as request:

            async def give_up() -> None:
                request.cancel()

            store.after("PUT", CLAIM, give_up)
            await project.steps.claim(X, A)
        assert request.cancelled_caught
        assert state_of(store).agent == A
        await trio.sleep(10)
        assert state_of(store).state is PENDING
        await take(project.steps, A)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(8))
async def test_finishing_what_nobody_holds_never_leaves_a_holder(
    tmp_path: Path, number: int, after: bool
) -> None:
    store = MemoryStore()
    assert await crash_at(store, tmp_path, number, finish, after=after)
    async with mounted(store.other(), tmp_path) as next_mount:
        await trio.sleep(10)
        assert state_of(store).state in (PENDING, COMPLETE)
        await next_mount.steps.look(X)
        await trio.sleep(1)
        if state_of(store).state is COMPLETE:
            assert present(store, STATUS)["status"] == "complete", "mended by the reader"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(6))
async def test_finish_that_dies_is_whole_or_not_at_all(
    tmp_path: Path, number: int, after: bool
) -> None:
    store = MemoryStore()

    async def work(project: Project) -> None:
        await finish(project)

    async with mounted(store, tmp_path) as project:
        won = await take(project.steps, A)
    assert await crash_at(store, tmp_path, number, work, after=after)
    async with mounted(store.other(), tmp_path) as next_mount:
        seen = await next_mount.steps.look(X)
        await trio.sleep(1)
        assert state_of(store).state is seen.effective.state
        assert state_of(store).tenure == won.claim.id
        said = present(store, STATUS)["status"]
        assert said == state_of(store).state.value, "what the reference reads"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("act", [give_back, reopen])
async def test_step_is_never_held_by_nobody(
    tmp_path: Path, act: Act, number: int, after: bool
) -> None:
    """Giving back and reopening write the status first: a crash leaves no empty tenure."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        if act is reopen:
            await finish(project)
    await crash_at(store, tmp_path, number, act, after=after)
    async with mounted(store.other(), tmp_path) as next_mount:
        left = state_of(store)
        if left.state is PENDING:
            await take(next_mount.steps, B)
        else:
            await act(next_mount)
            assert state_of(store).state is PENDING


async def test_undo_does_not_take_back_what_the_reference_finished(tmp_path: Path) -> None:
    store = MemoryStore()

    async def raced(project: Project) -> None:
        async def complete() -> None:
            reference_status(store, "complete", "r")

        store.after("PUT", CLAIM, complete)
        await project.steps.claim(X, A)

    assert await crash_at(store, tmp_path, 4, raced, after=False)
    assert state_of(store).agent == A
    async with mounted(store.other(), tmp_path):
        await trio.sleep(10)
    assert state_of(store).state is COMPLETE
    assert state_of(store).agent == "r"


async def test_undo_leaves_a_claim_that_was_renewed_since(tmp_path: Path) -> None:
    """Another mount of the agent took it over: it carries another nonce."""
    store = MemoryStore()
    assert await crash_at(store, tmp_path, 2, claim, after=True)
    async with mounted(store.other(), tmp_path / "other") as other:
        await other.steps.annotate(X, A, "mine")
    async with mounted(store.other(), tmp_path):
        await trio.sleep(10)
    assert state_of(store).state is IN_PROGRESS


async def test_undo_that_fails_is_tried_again(tmp_path: Path) -> None:
    store = MemoryStore()
    assert await crash_at(store, tmp_path, 2, claim, after=True)
    other = store.other()
    failures = 0

    async def fail() -> None:
        nonlocal failures
        failures += 1
        raise StoreError("not now")

    other.before("GET", CLAIM, fail)
    async with mounted(other, tmp_path):
        await trio.sleep(30)
    assert failures == 1
    assert state_of(store).state is PENDING


# the journal itself


def entry(nonce: str) -> Entry:
    return Entry(nonce, X, A)


def test_journal_of_a_mount_that_lives_is_not_taken_over(tmp_path: Path) -> None:
    alive, other = Journal(tmp_path, "one"), Journal(tmp_path, "two")
    alive.enter(entry("n"))
    other.inherit()
    assert other.due() == []
    alive.close()
    other.close()


def test_journal_of_a_mount_that_ended_is_taken_over_once(tmp_path: Path) -> None:
    dead = Journal(tmp_path, "one")
    dead.enter(entry("n"))
    dead.close()
    first, second = Journal(tmp_path, "two"), Journal(tmp_path, "three")
    first.inherit()
    second.inherit()
    assert first.due() == [entry("n")]
    assert second.due() == []
    first.close()
    second.close()


def test_entries_are_forgotten_ten_minutes_after_the_last_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("tcfs.project._journal.time", SimpleNamespace(monotonic=lambda: now))
    journal = Journal(tmp_path, "one")
    journal.enter(entry("n"))
    assert journal.due() == [], "what is under way is not doubted"
    journal.doubt(entry("n"))
    looks = []
    for second in range(0, int(PATIENCE) + 60, 5):
        now = 1000.0 + second
        looks += [second] * len(journal.due())
    assert looks[0] == 0
    assert 500 < looks[-1] <= PATIENCE
    assert len(looks) < 40, "ever less often"
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_struck_out_entry_is_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "one")
    journal.enter(entry("n"))
    journal.doubt(entry("n"))
    journal.strike("n", "never entered")
    assert journal.due() == []
    journal.close()
    assert list(tmp_path.iterdir()) == []
