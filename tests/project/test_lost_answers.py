"""A write whose answer is lost is looked for, never guessed about (protocol.md, lost answers)."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tcfs.project import Project
from tcfs.project.errors import Held
from tcfs.stores import OutcomeUnknown, Unavailable
from tcfs.stores.deadline import within
from tcfs.wire.handoff import HandoffText
from tests.memory_store import Fault, MemoryStore
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
    present,
    state_of,
    take,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")

Act = Callable[[Project], Awaitable[object]]


async def claim(project: Project) -> None:
    await take(project.steps, A, note="note")


async def finish(project: Project) -> None:
    await project.steps.set_state(X, A, COMPLETE)


async def give_back(project: Project) -> None:
    await project.steps.give_back(X, A)


async def reopen(project: Project) -> None:
    await project.steps.set_state(X, A, PENDING)


async def annotate(project: Project) -> None:
    await project.steps.annotate(X, A, "more")


async def hand_off(project: Project) -> None:
    await project.steps.hand_off(X, A, HandoffText("next"))


async def nothing(project: Project) -> None:
    del project


async def finished(project: Project) -> None:
    await claim(project)
    await finish(project)


# what goes before, the act, its writes, and how the step is afterwards
ACTS: dict[str, tuple[Act, Act, list[tuple[str, str]], object]] = {
    "claim": (nothing, claim, [("PUT", CLAIM), ("PUT", STATUS)], IN_PROGRESS),
    "finish": (
        claim,
        finish,
        [("PUT", CLAIM), ("PUT", HANDOFF), ("PUT", STATUS)],
        COMPLETE,
    ),
    "finish what nobody holds": (
        nothing,
        finish,
        [("PUT", CLAIM), ("PUT", CLAIM), ("PUT", HANDOFF), ("PUT", STATUS)],
        COMPLETE,
    ),
    "give back": (claim, give_back, [("PUT", STATUS), ("DELETE", CLAIM)], PENDING),
    "reopen": (finished, reopen, [("PUT", STATUS), ("DELETE", CLAIM)], PENDING),
    "annotate": (claim, annotate, [("PUT", CLAIM), ("PUT", STATUS)], IN_PROGRESS),
    "hand off": (claim, hand_off, [("PUT", HANDOFF)], IN_PROGRESS),
}
CASES = [
    pytest.param(name, number, fault, id=f"{name}-{number}-{fault.name.lower()}")
    for name, (_, _, writes, _) in ACTS.items()
    for number in range(len(writes))
    for fault in (Fault.ANSWER_LOST, Fault.DELAYED, Fault.REFUSED, Fault.CONFLICT, Fault.BROKEN)
]


@pytest.mark.parametrize("name", ACTS)
async def test_writes_of_an_act_come_in_the_order_of_the_protocol(
    tmp_path: Path, name: str
) -> None:
    before, act, writes, after = ACTS[name]
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await before(project)
        start = len(store.requests)
        await act(project)
    assert [it for it in store.requests[start:] if it[0] in ("PUT", "DELETE")] == writes
    assert state_of(store).state is after


@pytest.mark.parametrize(("name", "number", "fault"), CASES)
async def test_act_succeeds_whatever_happens_to_one_of_its_writes(
    tmp_path: Path, name: str, number: int, fault: Fault
) -> None:
    """A claim whose answer was lost is recognised as our own."""
    before, act, writes, after = ACTS[name]
    verb, key = writes[number]
    earlier = writes[:number].count(writes[number])
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await before(project)

        async def arm() -> None:
            store.fail(key, fault, verb=verb)

        if earlier:
            store.after(verb, key, arm)
        else:
            await arm()
        await act(project)
        await trio.sleep(1)
        assert store.pending_faults == 0
        assert state_of(store).state is after
        settled = {it: store.body(it) for it in store.stored()}
        store.deliver()
        assert {it: store.body(it) for it in store.stored()} == settled, "it landed twice"
        await trio.sleep(30)
        assert state_of(store).state is after


async def test_no_two_attempts_have_the_same_bytes(tmp_path: Path) -> None:
    store = MemoryStore()
    bodies = []

    async def remember() -> None:
        bodies.append(store.body(CLAIM))

    async with mounted(store, tmp_path) as project:
        store.fail(CLAIM, Fault.BROKEN)
        store.after("PUT", CLAIM, remember)
        store.fail(CLAIM, Fault.REFUSED)
        won = await project.steps.claim(X, A)
    found = present(store, CLAIM)
    assert found["attempt"] == 3
    assert found["nonce"] == won.claim.nonce


async def test_create_replaced_by_another_before_its_read_back_is_lost(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "a") as one, mounted(store.other(), tmp_path / "b") as two:
        store.fail(CLAIM, Fault.BROKEN)
        store.after("PUT", CLAIM, lambda: take(two.steps, B))
        with pytest.raises(Held, match="held by b"):
            await one.steps.claim(X, A)
        await trio.sleep(30)
        assert state_of(store).agent == B


async def test_claim_unknown_at_the_deadline_is_undone_when_it_shows(tmp_path: Path) -> None:
    """A claim of unknown outcome is EIO, and is given back as soon as it shows."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        store.fail(CLAIM, Fault.DELAYED)
        store.fail(CLAIM, Fault.BROKEN, times=1000)
        with pytest.raises(OutcomeUnknown, match="read it before trying again"), within(5):
            await project.steps.claim(X, A)
        store._scripts.clear()
        await trio.sleep(20)
        assert store.deliver() == 1
        assert state_of(store).agent == A
        await trio.sleep(60)
        assert state_of(store).state is PENDING
        assert store.body(CLAIM) is None
        assert present(store, STATUS)["status"] == "pending", "status first, then the claim"
        await take(project.steps, A)


async def test_unanswered_then_denied_is_unknown_and_undone(tmp_path: Path) -> None:
    """What was sent before the store began to refuse may still arrive."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        store.fail(CLAIM, Fault.DELAYED)
        store.fail(CLAIM, Fault.DENIED)
        with pytest.raises(OutcomeUnknown):
            await project.steps.claim(X, A)
        assert store.deliver() == 1
        await trio.sleep(30)
        assert state_of(store).state is PENDING


async def test_claim_whose_status_cannot_be_read_again_is_unknown_and_undone(
    tmp_path: Path,
) -> None:
    store = MemoryStore()

    async def broken() -> None:
        raise Unavailable("no answer")

    async with mounted(store, tmp_path) as project:

        async def arm() -> None:
            store.before("GET", STATUS, broken)

        store.after("PUT", CLAIM, arm)
        with pytest.raises(OutcomeUnknown, match="given back in a moment"):
            await project.steps.claim(X, A)
        assert state_of(store).agent == A
        await trio.sleep(30)
        assert state_of(store).state is PENDING


async def test_store_that_never_answers_is_not_asked_past_the_deadline(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        store.fail(STATUS, Fault.REFUSED, times=10_000)
        start = trio.current_time()
        with pytest.raises(Unavailable), within(10):
            await project.steps.give_back(X, A)
        assert trio.current_time() - start <= 10
        assert state_of(store).agent == A
