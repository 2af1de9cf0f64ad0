"""The steps that are ready, and handing them out."""

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio

from tcfs.project import Project
from tcfs.project.errors import Held, NothingLeft, NotHolder
from tcfs.project.ready import AGAIN
from tcfs.project.steps import CATCH_UP, SHORTEST, Tenure
from tcfs.stores import Denied, Unavailable
from tcfs.stores.deadline import DEFAULT
from tcfs.wire import keys
from tcfs.wire.documents import State
from tcfs.wire.ids import AgentId, StepId
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import (
    COMPLETE,
    IN_PROGRESS,
    PENDING,
    A,
    B,
    X,
    document,
    mounted,
    place,
    present,
    reference_claims,
    reference_status,
    state_of,
    take,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")

Y, Z = StepId("y"), StepId("z")
TICK = 1.0
LEASE = 30


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.tell_time()
    return store


async def plan(project: Project, step: StepId, *after: StepId) -> None:
    await project.afters.set(step, A, after)


async def listed(project: Project) -> Sequence[str]:
    """Return what `ready/` lists; a look-up of each name must say the same."""
    ready = [it.id for it in await project.ready.list(A)]
    for it in await project.steps.list():
        assert await project.ready.has(it.id) == (it.id in ready), it.id
    return ready


async def finish(project: Project, step: StepId, agent: AgentId = A) -> None:
    await project.steps.set_state(step, agent, COMPLETE)


async def taken(project: Project, agent: AgentId = A) -> Tenure:
    """Take a step and pass its id on."""
    won = await project.ready.take(agent)
    await project.ready.hand_over(won)
    return won


async def until_waits(project: Project) -> None:
    """Return once somebody waits for a step, and it is known that there is none."""
    with trio.fail_after(5):
        while not project.ready._current:  # noqa: ASYNC110  # there is nothing else that tells
            await trio.sleep(0.01)


# what is ready


async def test_a_step_is_ready_once_all_that_comes_first_is_complete(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X, Y, Z)
        await plan(project, Y)
        assert await listed(project) == ["y"]
        await finish(project, Y)
        assert await listed(project) == []
        await finish(project, Z)
        assert await listed(project) == ["x"]
        await project.steps.set_state(Y, A, PENDING)
        assert await listed(project) == ["y"]


@pytest.mark.parametrize("word", ["blocked", "needs_review", "failed", "in_progress"])
async def test_what_is_not_complete_keeps_others_waiting(
    store: MemoryStore, tmp_path: Path, word: str
) -> None:
    async with mounted(store, tmp_path) as project:
        reference_claims(store, "r", Y)
        reference_status(store, word, "r", Y)
        await plan(project, X, Y)
        assert await listed(project) == []


async def test_a_step_is_pending_by_its_plain_files_and_by_what_was_given_back(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        place(store, "steps/x/task.md", text="do it")
        await take(project.steps, A, Y)
        await project.steps.give_back(Y, A)
        place(store, keys.claim(Z), agent="r")  # the reference's: no status yet
        assert await listed(project) == ["x", "y"]


async def test_a_step_whose_order_nobody_can_read_is_not_ready(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        store.place(keys.after(X), b"{")
        assert await listed(project) == []
        place(store, keys.after(X), after=["_none"])
        assert await listed(project) == []


async def test_a_lease_that_ran_out_makes_a_step_ready(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        lease = {"seconds": LEASE, "renewed_at": "2020-01-01T00:00:00+00:00"}
        place(store, keys.claim(X), agent="r", id="t", nonce="t", generation=1, lease=lease)
        assert await listed(project) == []
        await trio.sleep(LEASE + 3)
        assert await listed(project) == ["x"]


async def test_a_listing_reads_what_it_has_not_read(store: MemoryStore, tmp_path: Path) -> None:
    """One listing of `steps/`, and the documents that are not in the cache; a look-up costs what
    that step needs."""
    async with mounted(store, tmp_path) as project:
        for number in range(20):
            place(store, keys.status(StepId(f"s{number}")), status="pending", agent="r")
        await plan(project, X, Y)
        store.requests.clear()
        await project.ready.list(A)
        assert (len(store.asked("LIST")), len(store.asked("GET"))) == (1, 20)
        await project.ready.list(A)
        assert (len(store.asked("LIST")), len(store.asked("GET"))) == (2, 20)
        store.requests.clear()
        await project.ready.has(X)
        assert sorted(store.asked("GET")) == [
            *("steps/x/after.json", "steps/x/claim.json", "steps/x/status.json"),
            *("steps/y/claim.json", "steps/y/status.json"),
        ]
        assert store.asked("LIST") == []


# taking


async def test_a_taken_step_is_lent_until_its_id_was_read(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        won = await project.ready.take(B)
        claim = present(store, keys.claim(X))
        assert (claim["agent"], claim["lease"]["seconds"]) == ("b", SHORTEST * DEFAULT)
        assert claim["hold"] is True
        await project.ready.hand_over(won)
        claim = present(store, keys.claim(X))
        assert (claim["id"], claim["lease"]["seconds"]) == (won.claim.id, 900)
        assert "hold" not in claim
        await trio.testing.wait_all_tasks_blocked()
        status = present(store, keys.status(X))
        assert (status["status"], status["claim"]) == ("in_progress", won.claim.id)


async def test_what_is_ready_is_taken_at_once(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        began = trio.current_time()
        await taken(project)
        assert trio.current_time() == began


async def test_every_ready_step_is_taken_sometimes(store: MemoryStore, tmp_path: Path) -> None:
    """Which one is random among the ready."""
    steps = [StepId(f"s{number}") for number in range(3)]
    firsts = set()
    async with mounted(store, tmp_path) as project:
        for step in steps:
            await plan(project, step)
        for _ in range(60):
            won = await project.ready.take(A)
            firsts.add(won.step)
            await project.steps.let_go(won)
    assert firsts == set(steps)


async def test_a_change_made_here_wakes_at_once_and_one_made_elsewhere_within_a_tick(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with (
        mounted(store, tmp_path / "a", A) as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await take(one.steps, A, X)
        await plan(one, Y, X)
        for project, patience in ((one, 0.0), (two, TICK + 0.001)):
            times: list[float] = []

            async def wait(project: Project, times: list[float]) -> None:
                won = await project.ready.take(B)
                times.append(trio.current_time())
                await project.steps.let_go(won)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, project, times)
                await until_waits(project)
                await trio.sleep(2.5)
                done = trio.current_time()
                await finish(one, X)
            assert done <= times[0] <= done + patience
            await one.steps.set_state(X, A, PENDING)
            await take(one.steps, A, X)


async def test_a_lease_that_runs_out_wakes_though_nothing_changes(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path, B) as project:
        await project.present()
        lease = {"seconds": 1000, "renewed_at": "2020-01-01T00:00:00+00:00"}
        place(store, keys.claim(X), agent="r", id="t", nonce="t", generation=1, lease=lease)
        began = trio.current_time()
        won = await taken(project, B)
        # The worst case of the store's clock: half a second of doubt, and what a quartz drifts.
        assert 1000 <= trio.current_time() - began <= 1000 + 2.2
        assert won.claim.generation == 2


async def test_what_goes_before_the_first_tick_is_seen_to_be_gone(
    store: MemoryStore, tmp_path: Path
) -> None:
    """A step that another mount reopens as somebody begins to wait: its claim is gone by then."""
    async with (
        mounted(store, tmp_path / "a") as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await take(two.steps, B, Y)
        await two.steps.set_state(X, B, State.BLOCKED)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(taken, one)
            await until_waits(one)
            await two.steps.set_state(X, B, PENDING)
            with trio.fail_after(5):
                while state_of(store).agent != A:  # noqa: ASYNC110  # nothing else tells
                    await trio.sleep(0.1)


async def test_any_number_of_takers_costs_the_same(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A, X)
        await plan(project, Y, X)
        await plan(project, Z, X)
        costs = []
        for takers in (1, 100):
            async with trio.open_nursery() as nursery:
                for _ in range(takers):
                    nursery.start_soon(project.ready.take, A)
                await until_waits(project)
                store.requests.clear()
                await trio.sleep(10)
                costs.append(list(store.requests))
                nursery.cancel_scope.cancel()
        assert costs[0] == costs[1]
        assert set(costs[1]) == {("LIST", "steps/")}
        assert len(costs[1]) in (9, 10, 11)
        await trio.sleep(5)
        store.requests.clear()
        await trio.sleep(30)
        assert store.asked("LIST") == []  # nobody waits any more


async def test_of_many_takers_one_tries_a_step(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A, X)
        await plan(project, Y, X)
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(project.ready.take, B)
            await until_waits(project)
            claim = keys.claim(Y)
            store.before("PUT", claim, partial(trio.sleep, 3))
            await finish(project, X)
            store.requests.clear()
            for number in range(10):  # each change is a reason to look for who can be served
                await plan(project, StepId(f"s{number}"), Z)
                await trio.sleep(0.1)
            await trio.sleep(5)
            assert store.asked("PUT").count(claim) == 1
            assert store.asked("GET").count(claim) <= 2
            nursery.cancel_scope.cancel()


async def test_who_comes_while_another_s_claim_is_under_way_is_served(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        await plan(project, Y)
        times: list[float] = []

        async def wait() -> None:
            await project.ready.take(A)
            times.append(trio.current_time() - began)

        async def slow() -> None:
            await trio.sleep(20)

        store.before("PUT", "steps/*/claim.json", slow)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(5)
            nursery.start_soon(wait)
        assert times == [5, 20]


async def test_many_takers_of_two_mounts_finish_all_steps_once_and_in_order(
    store: MemoryStore, tmp_path: Path
) -> None:
    """Every step is taken by one, after those it comes after; all takers end by themselves."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    steps = [StepId(f"s{number:02}") for number in range(40)]
    after = {
        step: [it for it in steps[:number] if dice.random() < 3 / (number + 1)]
        for number, step in enumerate(steps)
    }
    done: list[StepId] = []

    async def work(project: Project, agent: AgentId) -> None:
        while True:
            try:
                won = await taken(project, agent)
            except NothingLeft:
                return
            assert set(after[won.step]) <= set(done)
            await trio.sleep(dice.random())
            done.append(won.step)
            await finish(project, won.step, agent)

    async with (
        mounted(store, tmp_path / "a", A) as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        for step in dice.sample(steps, len(steps)):
            await plan(one, step, *after[step])
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(work, one, A)
                nursery.start_soon(work, two, B)
        assert sorted(done) == steps


# nothing left


async def test_nothing_left(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        began = trio.current_time()
        with pytest.raises(NothingLeft):
            await project.ready.take(A)
        await finish(project, X)
        reference_claims(store, "r", Y)
        reference_status(store, "failed", "r", Y)
        with pytest.raises(NothingLeft):
            await project.ready.take(A)
        assert trio.current_time() == began


async def test_whoever_waits_is_told_when_the_last_is_complete(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with (
        mounted(store, tmp_path / "a", A) as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await plan(one, X)
        await taken(one)
        told: list[float] = []

        async def wait() -> None:
            with pytest.raises(NothingLeft):
                await two.ready.take(B)
            told.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(wait)
            await until_waits(two)
            await trio.sleep(100)
            assert told == []
            done = trio.current_time()
            await finish(one, X)
        assert all(done <= it <= done + TICK + 0.001 for it in told)


async def test_one_waits_on_while_something_is_pending(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X, Y)
        with trio.move_on_after(1000) as waiting:
            await project.ready.take(A)
        assert waiting.cancelled_caught


async def test_a_step_behind_the_first_listing_is_not_overlooked(
    store: MemoryStore, tmp_path: Path
) -> None:
    """Made before the last one was completed, it may be where the listing has been already."""
    async with mounted(store, tmp_path) as project:
        reference_claims(store, "r", X)
        first = StepId("a")

        async def meanwhile() -> None:
            # Another mount's worker: first what is left to do, then its own step is complete.
            place(store, keys.status(first), status="pending", agent="r")
            reference_status(store, "complete", "r", X)

        store._page = 1
        store.after("LIST", "steps/", meanwhile)
        assert (await taken(project)).step == first


# losing, and not knowing


async def test_whoever_loses_takes_another(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        await plan(project, Y)
        lost: list[str] = []

        async def somebody_is_quicker() -> None:
            step = StepId(store.requests[-1][1].split("/")[1])
            reference_claims(store, "r", step)
            lost.append(step)

        store.before("PUT", "steps/*/claim.json", somebody_is_quicker)
        won = await taken(project)
        assert {won.step, *lost} == {X, Y}


async def test_what_is_to_come_first_since_a_moment_comes_first(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)

        async def it_is_put_off() -> None:
            place(store, keys.status(Y), status="pending", agent="r")
            place(store, keys.after(X), after=["y"])

        store.after("LIST", "steps/", it_is_put_off)
        assert (await taken(project)).step == Y


async def test_a_claim_of_unknown_outcome_is_given_back_and_another_step_taken(
    store: MemoryStore, tmp_path: Path
) -> None:
    """Two are never taken: what may have been won is undone, and the reader told of neither."""
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        await plan(project, Y)
        unsure: list[StepId] = []

        async def away() -> None:
            raise Unavailable("no answer")

        async def no_answer() -> None:
            # Whichever it is, it is claimed, and cannot be read back.
            step = StepId(store.requests[-1][1].split("/")[1])
            unsure.append(step)
            store.fail(keys.claim(step), Fault.ANSWER_LOST)
            store.before("GET", keys.claim(step), away)

        store.before("PUT", "steps/*/claim.json", no_answer)
        won = await taken(project)
        (first,) = unsure
        assert won.step != first
        assert state_of(store, first).state is IN_PROGRESS
        await trio.sleep(2 * CATCH_UP)
        assert state_of(store, first).state is PENDING
        assert state_of(store, won.step).state is IN_PROGRESS
        assert (await taken(project)).step == first


async def test_a_refusal_of_the_store_is_told(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        store.fail(keys.claim(X), Fault.DENIED)
        with pytest.raises(Denied):
            await project.ready.take(A)
        assert document(store, keys.claim(X)) is None
        await taken(project)


async def test_a_store_that_is_away_is_waited_for(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        store.fail(keys.claim(X), Fault.REFUSED, times=200)
        await taken(project)
        assert store.pending_faults == 0


# giving back


async def test_whose_wait_ends_has_taken_nothing(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X, Y)
        with trio.move_on_after(3):
            await project.ready.take(A)
        await finish(project, Y)
        await trio.sleep(60)
        assert state_of(store).state is PENDING
        assert project.steps.held_here() == {}


async def test_a_wait_that_ends_while_a_claim_is_under_way_gives_it_back(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        with trio.CancelScope() as reader:

            async def killed() -> None:
                reader.cancel()
                await trio.sleep(1)

            store.after("PUT", keys.claim(X), killed)
            await project.ready.take(A)
        assert reader.cancelled_caught
        await trio.sleep(1.5)
        assert state_of(store).state is PENDING
        assert document(store, keys.claim(X)) is None
        assert project.steps.held_here() == {}


async def test_giving_back_is_tried_until_it_is_done(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        won = await project.ready.take(A)
        await trio.sleep(1)
        store.fail(keys.status(X), Fault.DENIED, times=3)
        project.ready.put_back(won)
        await trio.sleep(3 * AGAIN + 1)
        assert state_of(store).state is PENDING
        await taken(project, B)


async def test_handing_over_is_tried_until_it_is_done(store: MemoryStore, tmp_path: Path) -> None:
    """The agent has the id: it is not told of a failure, and the step stays its own meanwhile."""
    async with (
        mounted(store, tmp_path / "a", A) as project,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await two.present()
        await plan(project, X)
        won = await project.ready.take(A)
        await trio.sleep(1)
        store.fail(keys.claim(X), Fault.DENIED, times=3)
        await project.ready.hand_over(won)
        assert present(store, keys.claim(X))["hold"] is True
        await trio.sleep(3 * AGAIN + 1)
        claim = present(store, keys.claim(X))
        assert (claim["id"], claim["lease"]["seconds"]) == (won.claim.id, 900)
        await trio.sleep(10_000)
        with pytest.raises(Held):
            await two.steps.claim(X, B)


async def test_the_next_mount_gives_back_what_nobody_was_told_of(
    store: MemoryStore, tmp_path: Path
) -> None:
    with trio.CancelScope() as life:
        async with mounted(store, tmp_path, A) as project:
            await plan(project, X)
            await project.ready.take(A)
            life.cancel()
    assert state_of(store).state is IN_PROGRESS
    async with mounted(store.other(), tmp_path, A):
        await trio.sleep(1)
        assert state_of(store).state is PENDING


async def test_what_was_handed_over_may_be_held(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path) as project:
        await plan(project, X)
        won = await taken(project)
        held = await project.steps.hold(X, A)
        assert held.claim.id == won.claim.id
        await project.steps.let_go(held)
        assert state_of(store).state is PENDING
        with pytest.raises(NotHolder):
            await project.steps.give_back(X, A)


# cycles


async def test_a_cycle_is_told_once_to_whoever_lists_or_takes(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        told: list[tuple[str, str]] = []
        project.ready.tell = lambda agent, text: told.append((agent, text))
        place(store, keys.after(X), after=["y"])
        place(store, keys.after(Y), after=["z", "x"])
        text = "these wait for each other: x → y → x; write one's after"
        for _ in range(3):
            assert await project.ready.list(A) == []
        assert told == [("a", text)]
        for _ in range(2):
            with trio.move_on_after(5):
                await project.ready.take(B)
        assert told == [("a", text), ("b", text)]
        await project.afters.set(Y, A, [Z])
        await project.ready.list(A)
        place(store, keys.after(Y), after=["x"])
        await project.ready.list(A)
        assert told == [("a", text), ("b", text), ("a", text)]


async def test_a_cycle_through_a_step_that_is_done_is_none(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path) as project:
        told: list[str] = []
        project.ready.tell = lambda agent, text: told.append(text)
        await finish(project, Y)
        place(store, keys.after(X), after=["y"])
        place(store, keys.after(Y), after=["x"])
        assert await listed(project) == ["x"]
        assert told == []


async def test_who_was_being_tried_for_the_last_step_is_sent_home_as_well(
    store: MemoryStore, tmp_path: Path
) -> None:
    """It is ENODATA when nothing is pending, though another finishes it during a failing claim."""
    async with (
        mounted(store, tmp_path / "1") as project,
        mounted(store.other(), tmp_path / "2", B) as other,
    ):
        await plan(project, X)

        async def finished_meanwhile() -> None:
            await other.steps.set_state(X, B, COMPLETE)
            await trio.sleep(5 * TICK)  # that is seen, and nobody is in the queue
            raise Unavailable("no answer")

        store.before("PUT", keys.claim(X), finished_meanwhile)
        with trio.fail_after(60), pytest.raises(NothingLeft):
            await project.ready.take(A)
