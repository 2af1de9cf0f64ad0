"""Giving back, reopening, finishing: who may, in what order, and what is left (protocol.md)."""

from pathlib import Path

import pytest
import trio

from tcfs.project.errors import Held, Missing, NotHolder
from tcfs.stores import Capabilities, OutcomeUnknown, Unavailable
from tcfs.stores.deadline import within
from tcfs.wire.documents import State
from tcfs.wire.handoff import HandoffText
from tests.memory_store import ALL, NO_DELETE, Fault, MemoryStore
from tests.project.parties import (
    CLAIM,
    COMPLETE,
    HANDOFF,
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


async def test_given_back_step_keeps_its_generation_in_the_status(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        won = await take(project.steps, A)
        await project.steps.give_back(X, A)
        status = present(store, STATUS)
        assert store.body(CLAIM) is None
        assert (status["status"], status["claim"]) == ("pending", won.claim.id)
        assert status["generation"] == 1
        again = await take(project.steps, A)
        assert again.claim.generation == 2


async def test_only_the_holder_gives_back(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        with pytest.raises(NotHolder, match="nobody holds steps/x: claim first"):
            await project.steps.give_back(X, A)
        await take(project.steps, B)
        with pytest.raises(NotHolder, match="held by b, not by you"):
            await project.steps.give_back(X, A)
        await project.steps.set_state(X, B, COMPLETE)
        with pytest.raises(NotHolder, match="is complete, finished by b"):
            await project.steps.give_back(X, B)
    assert state_of(store).state is COMPLETE


async def test_claim_of_another_tenure_is_not_given_back(tmp_path: Path) -> None:
    """This mount's own tenure ended elsewhere: what the same agent has now is not its to end."""
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await take(one.steps, A)
        await two.steps.give_back(X, A)
        await trio.sleep(1)
        await take(two.steps, A)
        with pytest.raises(NotHolder):
            await one.steps.give_back(X, A)
        with pytest.raises(NotHolder):
            await one.steps.set_state(X, B, COMPLETE)
    assert state_of(store).state is IN_PROGRESS


async def test_without_conditional_delete_a_tombstone_is_left_and_claimed_over(
    tmp_path: Path,
) -> None:
    store = MemoryStore(NO_DELETE)
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        await project.steps.give_back(X, A)
        assert present(store, CLAIM)["released"] is True
        assert present(store, CLAIM)["lease"] is None
        assert state_of(store).state is PENDING
        won = await take(project.steps, B)
        assert "released" not in present(store, CLAIM)
        assert won.claim.generation == 2
        await project.steps.set_state(X, B, COMPLETE)
        await project.steps.set_state(X, B, PENDING)
        assert present(store, CLAIM)["released"] is True
        assert state_of(store).state is PENDING
    assert store.asked("DELETE") == []


@pytest.mark.parametrize("capabilities", [ALL, NO_DELETE], ids=["delete", "tombstone"])
async def test_reopening_is_done_though_its_answer_is_lost_and_another_claims(
    tmp_path: Path, capabilities: Capabilities
) -> None:
    """Whoever reopened a step is not refused for what another did with it then."""
    store = MemoryStore(capabilities)
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await take(one.steps, A)
        await one.steps.set_state(X, A, COMPLETE)
        verb = "DELETE" if capabilities.delete else "PUT"

        async def another_claims() -> None:
            await trio.sleep(1)
            await take(two.steps, B)

        store.fail(CLAIM, Fault.ANSWER_LOST, verb=verb)
        store.after(verb, CLAIM, another_claims)
        await one.steps.set_state(X, A, PENDING)
    assert (state_of(store).state, state_of(store).agent) == (IN_PROGRESS, "b")


async def test_what_a_mount_finds_out_of_deletes_counts_from_then_on(tmp_path: Path) -> None:
    """A first look at the store may fail; the tombstones of that time are not left for ever."""
    store = MemoryStore(NO_DELETE)
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        store.capabilities = ALL
        await project.steps.give_back(X, A)
        assert store.body(CLAIM) is None
        await take(project.steps, A)
        store.capabilities = NO_DELETE
        await project.steps.give_back(X, A)
        assert present(store, CLAIM)["released"] is True


@pytest.mark.parametrize("lost", [HANDOFF, STATUS])
async def test_finishing_again_what_was_not_answered_stores_the_rest(
    tmp_path: Path, lost: str
) -> None:
    """Who finishes a step until that is answered leaves nothing that says it is in progress."""
    store = MemoryStore()
    away = True

    async def unanswered(number: int, verb: str, key: str) -> None:
        if away and (verb, key) == ("PUT", lost):
            raise Unavailable("no answer")

    async with mounted(store, tmp_path) as project:
        won = await take(project.steps, A)
        await project.steps.begin(won, None)
        store.each = unanswered
        for _ in range(2):
            with pytest.raises(OutcomeUnknown, match="is complete, and"), within(2):
                await project.steps.set_state(X, A, COMPLETE)
        away = False
        await project.steps.set_state(X, A, COMPLETE)
        assert present(store, STATUS)["status"] == "complete"
        assert present(store, HANDOFF)["state"] == "complete"


async def test_reference_finishing_while_a_step_is_given_back_stands(tmp_path: Path) -> None:
    store = MemoryStore()

    async def complete() -> None:
        reference_status(store, "complete", "a")

    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        store.before("PUT", STATUS, complete)
        with pytest.raises(NotHolder, match="is complete"):
            await project.steps.give_back(X, A)
    assert state_of(store).state is COMPLETE


async def test_note_added_while_a_step_is_given_back_does_not_keep_it(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await take(one.steps, A)
        store.before("PUT", STATUS, lambda: two.steps.annotate(X, A, "more"))
        await one.steps.give_back(X, A)
    assert state_of(store).state is PENDING
    assert store.body(CLAIM) is None


async def test_reopening_is_for_who_finished(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        await project.steps.set_state(X, A, State.FAILED)
        with pytest.raises(NotHolder, match="is failed, finished by a; only they can reopen"):
            await project.steps.set_state(X, B, PENDING)
        await project.steps.set_state(X, A, PENDING)
        assert state_of(store).state is PENDING
        assert store.body(CLAIM) is None
        assert (await take(project.steps, B)).claim.generation == 2


async def test_what_the_reference_finished_is_reopened_by_that_agent(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_claims(store, "a")
    reference_status(store, "complete", "a")
    async with mounted(store, tmp_path) as project:
        with pytest.raises(NotHolder):
            await project.steps.set_state(X, B, PENDING)
        await project.steps.set_state(X, A, PENDING)
        assert store.body(CLAIM) is None
        assert present(store, STATUS)["claim"] is None, "no tenure: null, never left out"
        await take(project.steps, B)


async def test_finishing_lifts_the_lease_and_writes_the_result_first(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        won = await take(project.steps, A)
        await project.steps.look(X)  # asks for the time, once
        start = len(store.requests)
        await project.steps.set_state(X, A, COMPLETE)
    assert sorted(store.requests[start : start + 2]) == [("GET", CLAIM), ("GET", STATUS)]
    assert store.requests[start + 2 :] == [
        ("PUT", CLAIM),
        ("GET", HANDOFF),
        ("PUT", HANDOFF),
        ("PUT", STATUS),
    ]
    claim, status, handoff = (present(store, key) for key in (CLAIM, STATUS, HANDOFF))
    assert (claim["result"], claim["lease"]) == ("complete", None)
    assert (status["status"], status["claim"]) == ("complete", won.claim.id)
    assert status["completed_at"]
    assert (handoff["claim"], handoff["state"], handoff["schema"]) == (won.claim.id, "complete", 2)


async def test_finish_keeps_the_handoff_its_tenure_wrote(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        await project.steps.hand_off(X, A, HandoffText("look here", "b", "test it"))
        await project.steps.set_state(X, A, COMPLETE)
        record = await project.steps.handoff(X)
    assert (record.note, record.next_agent, record.next_action) == ("look here", "b", "test it")


async def test_handoff_of_an_earlier_tenure_is_ignored_and_replaced(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        await project.steps.hand_off(X, A, HandoffText("for the next"))
        await project.steps.give_back(X, A)
        assert (await project.steps.handoff(X)).note == "for the next"
        await take(project.steps, B)
        with pytest.raises(Missing, match="no handoff of its present holder"):
            await project.steps.handoff(X)
        await project.steps.set_state(X, B, COMPLETE)
        assert (await project.steps.handoff(X)).from_agent == B


async def test_finishing_is_refused_to_who_does_not_hold(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        bodies = [store.body(key) for key in (CLAIM, STATUS, HANDOFF)]
        with pytest.raises(NotHolder, match="held by a, not by you"):
            await project.steps.set_state(X, B, COMPLETE)
        assert [store.body(key) for key in (CLAIM, STATUS, HANDOFF)] == bodies


async def test_finish_that_finds_its_claim_replaced_writes_nothing_else(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await take(one.steps, A)

        async def change_hands() -> None:
            await two.steps.give_back(X, A)
            await trio.sleep(1)
            await take(two.steps, B)

        store.before("PUT", CLAIM, change_hands)
        with pytest.raises(NotHolder, match="held by b"):
            await one.steps.set_state(X, A, COMPLETE)
    assert state_of(store).agent == B
    assert store.body(HANDOFF) is None


async def test_finish_what_nobody_holds_is_told_when_another_claims_first(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        store.before("PUT", CLAIM, lambda: take(two.steps, B))
        with pytest.raises(Held, match="held by b"):
            await one.steps.set_state(X, A, COMPLETE)
    assert state_of(store).agent == B


async def test_status_of_a_finish_is_written_again_while_the_result_is_ours(
    tmp_path: Path,
) -> None:
    store = MemoryStore()

    async def interfere() -> None:
        reference_status(store, "in_progress", "r")

    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        store.before("PUT", STATUS, interfere)
        await project.steps.set_state(X, A, COMPLETE)
    assert present(store, STATUS)["status"] == "complete"


async def test_finish_does_not_overwrite_what_came_after_it(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await take(one.steps, A)

        async def reopen_and_claim() -> None:
            await two.steps.set_state(X, A, PENDING)
            await trio.sleep(1)
            await take(two.steps, B)

        store.before("PUT", STATUS, reopen_and_claim)
        with pytest.raises(OutcomeUnknown, match="changed at once"):
            await one.steps.set_state(X, A, COMPLETE)
    assert state_of(store).agent == B


async def test_finish_whose_status_is_unknown_says_so(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        store.fail(STATUS, Fault.BROKEN, times=10_000)
        with pytest.raises(OutcomeUnknown), within(10):
            await project.steps.set_state(X, A, COMPLETE)
        assert state_of(store).state is COMPLETE


async def test_finishing_again_the_same_way_is_done_already(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.steps.set_state(X, A, COMPLETE)
        writes = len(store.asked("PUT"))
        await project.steps.set_state(X, A, COMPLETE)
        assert len(store.asked("PUT")) == writes
        with pytest.raises(NotHolder, match="is complete, finished by a"):
            await project.steps.set_state(X, A, State.FAILED)
        with pytest.raises(NotHolder):
            await project.steps.set_state(X, B, COMPLETE)


async def test_in_progress_needs_the_claim(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        with pytest.raises(NotHolder, match="claim first: echo > steps/x/claim"):
            await project.steps.set_state(X, A, IN_PROGRESS)
        await take(project.steps, A)
        await project.steps.set_state(X, A, IN_PROGRESS)
        with pytest.raises(NotHolder, match="held by a"):
            await project.steps.set_state(X, B, IN_PROGRESS)


async def test_pending_of_what_is_pending_changes_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        await project.steps.give_back(X, A)
        before = {key: store.body(key) for key in store.stored()}
        await project.steps.set_state(X, B, PENDING)
    assert {key: store.body(key) for key in store.stored()} == before


async def test_held_here_names_what_is_held(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        assert project.steps.held_here() == {A: X}
        store.fail(CLAIM, Fault.DENIED)
        with pytest.raises(Exception, match="denied"):
            await project.steps.set_state(X, A, COMPLETE)
        assert project.steps.held_here() == {A: X}, "nothing was written: still held"
        await project.steps.set_state(X, A, COMPLETE)
        assert project.steps.held_here() == {}


async def test_removing_the_status_of_a_free_step_revives_no_claim(tmp_path: Path) -> None:
    store = MemoryStore()
    place(store, CLAIM, agent="b", id="t1", nonce="n", generation=1)  # landed late
    place(store, STATUS, status="pending", agent="c", claim="t2", generation=2)
    async with mounted(store, tmp_path) as project:
        await project.steps.remove_document(X, "status")
    assert state_of(store).state is PENDING
    assert store.stored() == []
