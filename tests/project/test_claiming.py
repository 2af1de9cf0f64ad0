"""Claiming a step: the order of requests, and what happens between them (protocol.md, Steps)."""

from pathlib import Path

import pytest
import trio

from tcfs.project.errors import Held, NotHolder
from tests.memory_store import Fault, MemoryStore
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
    reference_claims,
    reference_status,
    state_of,
    take,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_claim_costs_two_gets_a_put_and_a_get(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        won = await project.steps.claim(X, A)
        assert sorted(store.requests[:2]) == [("GET", CLAIM), ("GET", STATUS)]
        assert store.requests[2:] == [("PUT", CLAIM), ("GET", STATUS)]
        await project.steps.begin(won, "note")
        assert store.requests[4:] == [("PUT", STATUS)]


async def test_losing_claim_to_who_has_it_costs_the_look(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "a") as one, mounted(store.other(), tmp_path / "b") as two:
        await take(two.steps, B)
        await one.steps.look(X)  # asks for the time, once
        await trio.sleep(1)
        store.requests.clear()
        with pytest.raises(Held, match=r"steps/x is held by b.*wait"):
            await one.steps.claim(X, A)
    assert sorted(store.requests) == [("GET", CLAIM), ("GET", STATUS)]


async def test_claim_lost_in_the_gap_costs_one_more_get(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "a") as one, mounted(store.other(), tmp_path / "b") as two:
        store.before("PUT", CLAIM, lambda: take(two.steps, B))
        with pytest.raises(Held, match="held by b"):
            await one.steps.claim(X, A)
        assert store.requests[2:] == [("PUT", CLAIM), ("GET", CLAIM)]
    assert state_of(store).agent == B


async def test_two_shells_of_one_agent_cannot_both_win(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        with pytest.raises(Held, match="held by a"):
            await project.steps.claim(X, A)


async def test_of_many_claims_at_once_one_wins(tmp_path: Path) -> None:
    store = MemoryStore()
    outcomes: list[str] = []
    async with mounted(store, tmp_path / "a") as one, mounted(store.other(), tmp_path / "b") as two:

        async def try_it(project: object) -> None:
            try:
                await take(project.steps, project.agent)  # type: ignore[attr-defined]
            except Held:
                outcomes.append("lost")
            else:
                outcomes.append("won")

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(try_it, (one, two)[number % 2])
    assert outcomes.count("won") == 1
    assert len(outcomes) == 20


async def test_claim_and_status_carry_the_tenure(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        won = await take(project.steps, A, note="what I will do\n")
        claim, status = present(store, CLAIM), present(store, STATUS)
    assert claim["agent"] == "a"
    assert claim["id"] == claim["nonce"] == status["claim"] == won.claim.id
    assert claim["generation"] == status["generation"] == 1
    assert claim["host"] == "host-a"
    assert claim["mount"] == project.mount
    assert claim["lease"]["seconds"] == 900
    assert (status["status"], status["note"]) == ("in_progress", "what I will do\n")
    assert status["started_at"] == claim["claimed_at"]


async def test_finished_step_is_not_claimed(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_status(store, "complete", "r")
    async with mounted(store, tmp_path) as project:
        with pytest.raises(Held, match=r"is complete, finished by r; .*pending.*reopens"):
            await project.steps.claim(X, A)
    assert store.asked("PUT") == []


async def test_reference_s_claim_holds(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_claims(store, "r")
    async with mounted(store, tmp_path) as project:
        with pytest.raises(Held, match="held by r"):
            await project.steps.claim(X, A)


async def test_claim_nobody_can_read_holds(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(CLAIM, b"{not json")
    async with mounted(store, tmp_path) as project:
        with pytest.raises(Held, match="held by unknown"):
            await project.steps.claim(X, A)


async def test_status_is_read_again_after_the_create(tmp_path: Path) -> None:
    """Another tenure went by in the gap: ours is lifted above it, or it would be stale."""
    store = MemoryStore()
    async with mounted(store, tmp_path / "a") as one, mounted(store.other(), tmp_path / "b") as two:

        async def claim_and_give_back() -> None:
            await take(two.steps, B)
            await two.steps.give_back(X, B)

        store.before("PUT", CLAIM, claim_and_give_back)
        won = await one.steps.claim(X, A)
        assert won.claim.generation == 2
        assert state_of(store).agent == A
        assert state_of(store).tenure == won.claim.id
        await one.steps.begin(won, None)
        assert present(store, STATUS)["generation"] == 2


async def test_raising_the_generation_lost_means_the_claim_is_lost(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "a") as one, mounted(store.other(), tmp_path / "b") as two:

        async def claim_and_give_back() -> None:
            await take(two.steps, B)
            await two.steps.give_back(X, B)
            # ... and what A then creates is stale, so it may be claimed over.
            store.before("PUT", CLAIM, claim_again)

        async def claim_again() -> None:
            await trio.sleep(1)
            await take(two.steps, B)

        store.before("PUT", CLAIM, claim_and_give_back)
        with pytest.raises(Held, match="held by b"):
            await one.steps.claim(X, A)
        assert state_of(store).agent == B
        await trio.sleep(30)
        assert state_of(store).agent == B


async def test_reference_completing_in_the_gap_refuses_and_takes_the_claim_back(
    tmp_path: Path,
) -> None:
    store = MemoryStore()

    async def complete() -> None:
        reference_status(store, "complete", "r")

    async with mounted(store, tmp_path) as project:
        store.after("PUT", CLAIM, complete)
        with pytest.raises(Held, match="complete, finished by r"):
            await project.steps.claim(X, A)
    assert store.body(CLAIM) is None
    assert state_of(store).state is COMPLETE


async def test_own_reference_tool_completing_in_the_gap_stands(tmp_path: Path) -> None:
    store = MemoryStore()

    async def complete() -> None:
        reference_status(store, "complete", "a")

    async with mounted(store, tmp_path) as project:
        store.after("PUT", CLAIM, complete)
        with pytest.raises(Held, match="finished by a"):
            await project.steps.claim(X, A)
    assert state_of(store).state is COMPLETE


async def test_begin_stops_once_the_step_is_not_held(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        won = await one.steps.claim(X, A)
        await two.steps.set_state(X, A, COMPLETE)
        await one.steps.begin(won, "late")
        assert state_of(store).state is COMPLETE
        assert present(store, STATUS)["status"] == "complete"


async def test_begin_lifts_the_generation_above_a_late_status(tmp_path: Path) -> None:
    """The winner was told: that it cannot be raised now must not take the step from it."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        won = await project.steps.claim(X, A)
        place(store, STATUS, status="pending", agent="b", claim="t0", generation=5)
        await project.steps.begin(won, "note")
        assert present(store, CLAIM)["generation"] == 6
        assert present(store, STATUS)["generation"] == 6
        assert state_of(store).tenure == won.claim.id


async def test_raise_after_winning_is_never_undone(tmp_path: Path) -> None:
    store = MemoryStore()
    with trio.CancelScope() as crash:
        async with mounted(store, tmp_path) as project:
            won = await project.steps.claim(X, A)
            place(store, STATUS, status="pending", agent="b", claim="t0", generation=5)

            async def die() -> None:
                crash.cancel()

            store.after("PUT", CLAIM, die)
            await project.steps.begin(won, None)
    assert present(store, CLAIM)["generation"] == 6
    async with mounted(store, tmp_path):
        await trio.sleep(30)
        assert state_of(store).tenure == won.claim.id, "its holder was told it won"


async def test_status_that_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        won = await project.steps.claim(X, A)
        store.fail(STATUS, Fault.DENIED)
        await project.steps.begin(won, "note")
        assert store.body(STATUS) is None
        await trio.sleep(6)
        assert present(store, STATUS)["note"] == "note"


async def test_cancelled_begin_is_finished_later(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        won = await project.steps.claim(X, A)
        with trio.CancelScope() as scope:

            async def cancel() -> None:
                scope.cancel()

            store.before("PUT", STATUS, cancel)
            await project.steps.begin(won, "note")
        assert store.body(STATUS) is None
        await trio.sleep(6)
        assert present(store, STATUS)["status"] == "in_progress"


async def test_claim_over_a_tombstone_or_what_was_given_back_raises_the_generation(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    place(store, CLAIM, agent="b", id="t4", nonce="n", generation=4)
    place(store, STATUS, status="pending", agent="b", claim="t4", generation=7)
    async with mounted(store, tmp_path) as project:
        won = await take(project.steps, A)
    assert won.claim.generation == 8
    assert state_of(store).state is IN_PROGRESS


async def test_adding_to_the_note_renews_the_claim(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A, note="one\n")
        before = present(store, CLAIM)
        start = len(store.requests)
        await project.steps.annotate(X, A, "two\n")
        assert [it for it in store.requests[start:] if it[0] == "PUT"] == [
            ("PUT", CLAIM),
            ("PUT", STATUS),
        ]
        after = present(store, CLAIM)
        assert after["id"] == before["id"]
        assert after["nonce"] != before["nonce"]
        assert present(store, STATUS)["note"] == "one\ntwo\n"
        with pytest.raises(NotHolder):
            await project.steps.annotate(X, B, "mine")


async def test_note_of_an_earlier_tenure_is_not_added_to(tmp_path: Path) -> None:
    store = MemoryStore()
    place(store, STATUS, status="in_progress", agent="b", claim="t0", generation=1, note="theirs")
    async with mounted(store, tmp_path) as project:
        await project.steps.claim(X, A)
        await project.steps.annotate(X, A, "mine")
        assert present(store, STATUS)["note"] == "mine"


async def test_members_nobody_knows_are_kept(tmp_path: Path) -> None:
    store = MemoryStore()
    place(store, STATUS, status="pending", agent="b", claim=None, generation=3, colour="red")
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        assert present(store, STATUS)["colour"] == "red"
        await project.steps.set_state(X, A, PENDING)
        assert present(store, STATUS)["colour"] == "red"


async def test_claim_that_ended_is_not_begun_any_more(tmp_path: Path) -> None:
    """The step was removed while somebody had its claim open: nothing of it comes back."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        won = await project.steps.claim(X, A)
        await project.steps.give_back(X, A)
        await project.steps.remove_document(X, "status")
        await project.steps.begin(won, "note")
        await trio.sleep(60)
    assert store.body(STATUS) is None
    assert store.body(CLAIM) is None
