"""What comes before a step: `after.json`, and the cycles it may not have."""

from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from tcfs.project import Project
from tcfs.project.errors import Invalid, Missing, NotAllowed, NotHolder
from tcfs.wire import InvalidName, Malformed, keys
from tcfs.wire.ids import StepId
from tests.memory_store import NO_DELETE, Fault, MemoryStore
from tests.project.parties import (
    COMPLETE,
    IN_PROGRESS,
    PENDING,
    STATUS,
    A,
    B,
    X,
    document,
    mounted,
    place,
    present,
    reference_claims,
    state_of,
    take,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")

Y, Z = StepId("y"), StepId("z")
AFTER = keys.after(X)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def before(project: Project, step: StepId = X) -> tuple[str, ...]:
    return (await project.afters.read(step))[0].steps


async def test_what_comes_first_makes_the_step_pending(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await project.afters.set(X, A, [Y, Z, Y])
        assert await before(project) == ("y", "z")
        written = present(store, AFTER)
        assert (written["after"], written["agent"]) == (["y", "z"], "a")
        status = present(store, STATUS)
        assert (status["status"], status["claim"], status["generation"]) == ("pending", None, 0)
        assert state_of(store).state is PENDING
        # In this order: shown as pending before its order is known, it could be taken too early.
        assert [it for it in store.asked("PUT") if it.startswith("steps/")] == [AFTER, STATUS]


async def test_a_planned_step_is_claimed_as_any(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await project.afters.set(X, A, [Y])
        won = await take(project.steps, B)
        assert won.claim.generation == 1
        assert (state_of(store).state, state_of(store).agent) == (IN_PROGRESS, B)


async def test_a_status_that_is_there_stays(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A, note="mine")
        await project.afters.set(X, A, [Y])
        assert present(store, STATUS)["note"] == "mine"
        assert state_of(store).state is IN_PROGRESS


async def test_pending_is_written_of_a_step_that_is_nothing_yet(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        await project.steps.set_state(X, A, PENDING)
        assert present(store, STATUS)["status"] == "pending"
        written = store.body(STATUS)
        await project.steps.set_state(X, B, PENDING)
        assert store.body(STATUS) == written


@pytest.mark.parametrize("empty", [True, False], ids=["set", "never"])
async def test_nothing_comes_first(store: MemoryStore, tmp_path: Path, empty: bool) -> None:
    async with mounted(store, tmp_path) as project:
        if empty:
            await project.afters.set(X, A, [Y])
            await project.afters.set(X, A, [])
        with pytest.raises(Missing):
            await project.afters.read(X)
        assert document(store, AFTER) is None


async def test_without_conditional_delete_an_empty_list_stays(tmp_path: Path) -> None:
    store = MemoryStore(NO_DELETE)
    async with mounted(store, tmp_path) as project:
        await project.afters.set(X, A, [Y])
        await project.afters.set(X, A, [])
        assert present(store, AFTER)["after"] == []
        with pytest.raises(Missing):
            await project.afters.read(X)


async def test_members_that_nobody_knows_are_kept(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        place(store, AFTER, after=["y"], why="it uses its API")
        await project.afters.add(X, A, [Z])
        written = present(store, AFTER)
        assert (written["after"], written["why"]) == (["y", "z"], "it uses its API")


async def test_what_nobody_can_read_is_replaced(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        store.place(AFTER, b"{")
        with pytest.raises(Malformed):
            await project.afters.read(X)
        await project.afters.set(X, A, [Y])
        assert await before(project) == ("y",)


# whose it is


async def test_only_whose_step_it_is_says_what_comes_first(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        reference_claims(store, "r")
        with pytest.raises(NotHolder):
            await project.afters.set(X, A, [Y])
        assert document(store, AFTER) is None


async def test_a_finished_step_comes_after_nothing_new(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await project.steps.set_state(X, A, COMPLETE)
        with pytest.raises(NotAllowed, match="reopen it first"):
            await project.afters.set(X, A, [Y])
        await project.steps.set_state(X, A, PENDING)
        await project.afters.set(X, A, [Y])
        assert await before(project) == ("y",)


# cycles


async def test_a_step_does_not_come_after_itself(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        with pytest.raises(Invalid, match="x → x;"):
            await project.afters.set(X, A, [Y, X])
        assert store.stored() == []


async def test_a_cycle_is_refused_and_named(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        chain = [StepId(f"s{number}") for number in range(6)]
        for step, first in pairwise(chain):
            await project.afters.set(step, A, [Y, first, Z])
        with pytest.raises(Invalid, match="s5 → s0 → s1 → s2 → s3 → s4 → s5"):
            await project.afters.add(chain[-1], A, [Z, chain[0]])
        with pytest.raises(Invalid, match="y → s2 → y"):
            await project.afters.set(Y, A, [chain[2]])
        assert document(store, keys.after(Y)) is None


async def test_a_cycle_of_others_is_no_concern(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        place(store, keys.after(Y), after=["z"])
        place(store, keys.after(Z), after=["y", "_none", 7])
        await project.afters.set(X, A, [Y, Z])
        assert await before(project) == ("y", "z")


# two who write


async def test_two_who_add_do_not_lose_each_other(store: MemoryStore, tmp_path: Path) -> None:
    async with (
        mounted(store, tmp_path / "a", A) as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        steps = [StepId(f"s{number}") for number in range(12)]
        async with trio.open_nursery() as nursery:
            for number, step in enumerate(steps):
                project = (one, two)[number % 2]
                nursery.start_soon(project.afters.add, X, A, [step])
        assert sorted(await before(one)) == sorted(steps)


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.REFUSED, Fault.CONFLICT, Fault.BROKEN])
async def test_what_met_a_fault_is_written_once(
    store: MemoryStore, tmp_path: Path, fault: Fault
) -> None:
    async with mounted(store, tmp_path) as project:
        for times, act in enumerate(
            (
                partial(project.afters.set, X, A, [Y]),
                partial(project.afters.add, X, A, [Z]),
            ),
            1,
        ):
            store.fail(AFTER, fault)
            await act()
            assert len(await before(project)) == times
        store.fail(AFTER, fault, verb="DELETE")
        await project.afters.set(X, A, [])
        assert document(store, AFTER) is None
        assert store.pending_faults == 0


def test_ids_fold_as_step_ids_do() -> None:
    from tcfs.project.after import parse_ids

    assert parse_ids(" One.A\n\ttwo \n") == ["one-a", "two"]
    with pytest.raises(InvalidName):
        parse_ids("one _two")


async def test_a_plan_is_written_without_reading_it_all_again(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        chain = [StepId(f"s{number:02}") for number in range(40)]
        for first, step in pairwise(chain):
            store.requests.clear()
            await project.afters.set(step, A, [first])
            assert len(store.requests) < 15


async def test_a_cycle_that_is_no_more_is_not_refused(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await project.afters.set(X, A, [Y])
        store.remove(AFTER)  # by another mount, a moment ago
        await project.afters.set(Y, A, [X])
        assert await before(project, Y) == ("x",)
