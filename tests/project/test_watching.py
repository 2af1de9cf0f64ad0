"""The watcher: who waits costs nothing but a tick (architecture.md, freshness)."""

from pathlib import Path

import pytest
import trio
import trio.testing

from tcfs.project import Project
from tcfs.project._watch import TICK
from tcfs.project.errors import WontComplete
from tcfs.stores import Unavailable
from tcfs.stores.deadline import within
from tcfs.wire.documents import State
from tcfs.wire.ids import StepId
from tests.memory_store import MemoryStore
from tests.project.parties import (
    CLAIM,
    COMPLETE,
    PENDING,
    STATUS,
    A,
    X,
    mounted,
    place,
    present,
    reference_claims,
    reference_status,
    take,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def waiting(project: Project, times: list[float], step: StepId = X) -> None:
    await project.steps.wait(step)
    times.append(trio.current_time())


async def test_wait_for_what_is_complete_returns_at_once(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_status(store, "complete", "r")
    async with mounted(store, tmp_path) as project:
        start = trio.current_time()
        await project.steps.wait(X)
        assert trio.current_time() == start


@pytest.mark.parametrize("state", [State.BLOCKED, State.FAILED])
async def test_wait_ends_when_the_step_will_not_complete(tmp_path: Path, state: State) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(WontComplete, match=f"is {state.value}, by a.*read steps/x/handoff"):
                await project.steps.wait(X)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await project.steps.set_state(X, A, state)


async def test_wait_goes_on_through_needs_review_and_pending(tmp_path: Path) -> None:
    store = MemoryStore()
    times: list[float] = []
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        nursery.start_soon(waiting, project, times)
        await project.steps.set_state(X, A, State.NEEDS_REVIEW)
        await project.steps.set_state(X, A, PENDING)
        await trio.sleep(5)
        assert times == []
        await project.steps.set_state(X, A, COMPLETE)
    assert len(times) == 1


async def test_change_through_this_mount_wakes_at_once(tmp_path: Path) -> None:
    store = MemoryStore()
    times: list[float] = []
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        nursery.start_soon(waiting, project, times)
        await trio.sleep(0.3)
        await project.steps.set_state(X, A, COMPLETE)
        done = trio.current_time()
    assert times == [pytest.approx(done, abs=0.001)]


async def test_change_by_another_wakes_within_a_tick(tmp_path: Path) -> None:
    store = MemoryStore()
    times: list[float] = []
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        nursery.start_soon(waiting, project, times)
        await trio.sleep(10.3)
        reference_claims(store, "r")
        await trio.sleep(2)
        assert times == []
        reference_status(store, "complete", "r")
        done = trio.current_time()
    assert done <= times[0] <= done + TICK + 0.001


async def test_nobody_waiting_costs_no_requests(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await trio.sleep(1000)
        assert store.requests == []
        with trio.move_on_after(2.5):
            await project.steps.wait(X)
        await trio.sleep(TICK)
        store.requests.clear()
        await trio.sleep(1000)
        assert store.requests == []


async def test_idle_mount_asks_once_a_minute_at_most(tmp_path: Path) -> None:
    """While nobody waits, a mount asks nothing of the store but a heartbeat a minute."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.present()
        await trio.sleep(1)
        store.requests.clear()
        await trio.sleep(3600)
        assert set(store.requests) == {("PUT", "agents/a.json")}
        assert 55 <= len(store.requests) <= 60


async def test_a_thousand_waiters_cost_what_one_does(tmp_path: Path) -> None:
    """A thousand who wait for one step cost what one does."""
    costs = []
    for waiters in (1, 1000):
        store = MemoryStore()
        times: list[float] = []
        state = tmp_path / str(waiters)
        async with mounted(store, state) as project, trio.open_nursery() as nursery:
            for _ in range(waiters):
                nursery.start_soon(waiting, project, times)
            await trio.sleep(10.5)
            costs.append(len(store.requests))
            await project.steps.set_state(X, A, COMPLETE)
        assert len(times) == waiters
    assert costs[0] == costs[1] <= 2 + 10


async def test_many_steps_waited_for_cost_one_listing_a_tick(tmp_path: Path) -> None:
    store = MemoryStore()
    times: list[float] = []
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(waiting, project, times, StepId(f"s{number}"))
        await trio.sleep(0.5)
        store.requests.clear()
        await trio.sleep(10)
        assert store.requests == [("LIST", "steps/")] * 10
        nursery.cancel_scope.cancel()


async def test_waiting_outlives_the_deadline_of_who_came_first(tmp_path: Path) -> None:
    """The tick belongs to the mount, not to the request that started it."""
    store = MemoryStore()
    times: list[float] = []
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        with within(2):
            nursery.start_soon(waiting, project, times)
        await trio.sleep(60)
        reference_status(store, "complete", "r")
        done = trio.current_time()
    assert times[0] <= done + TICK + 0.001


async def test_store_that_is_away_is_waited_out(tmp_path: Path) -> None:
    store = MemoryStore()
    times: list[float] = []
    listed = 0

    async def away() -> None:
        nonlocal listed
        listed += 1
        raise Unavailable("not now")

    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        store.before("GET", STATUS, away)
        store.before("LIST", "steps/*", away)
        nursery.start_soon(waiting, project, times)
        await trio.sleep(5)
        assert listed == 2
        reference_status(store, "complete", "r")
    assert len(times) == 1


async def test_waiter_that_gives_up_first_leaves_the_others_waiting(tmp_path: Path) -> None:
    store = MemoryStore()
    times: list[float] = []
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        with trio.CancelScope() as first:

            async def give_up() -> None:
                nursery.start_soon(waiting, project, times)
                await trio.sleep(0.1)
                first.cancel()
                await trio.testing.wait_all_tasks_blocked()

            store.before("GET", STATUS, give_up)
            await project.steps.wait(X)
        assert first.cancelled_caught
        reference_status(store, "complete", "r")
        done = trio.current_time()
    assert times[0] <= done + TICK + 0.001


async def test_mending_is_begun_once_however_many_look(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        await project.steps.set_state(X, A, COMPLETE)
        tenure = present(store, CLAIM)["id"]
        place(store, STATUS, status="in_progress", agent="a", claim=tenure, generation=1)
        writes = len(store.asked("PUT"))
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(project.steps.look, X)
        await trio.sleep(1)
        assert store.asked("PUT")[writes:] == [STATUS]
        assert present(store, STATUS)["status"] == "complete"
