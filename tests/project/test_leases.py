"""Claims that end by themselves: leases, by the store's clock (protocol.md, time)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from tcfs.project import Project
from tcfs.project.errors import Held, Missing, NotHolder
from tcfs.stores import OutcomeUnknown
from tcfs.wire.documents import Claim
from tcfs.wire.handoff import HandoffText
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
    stop,
    take,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")

LEASE = 30  # seconds
DOUBT = 0.5  # seconds that the store's clock leaves open
Act = Callable[[Project], Awaitable[object]]


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.tell_time(doubt=DOUBT)
    return store


async def test_a_claim_that_is_renewed_lives_as_long_as_its_mount(
    store: MemoryStore, tmp_path: Path
) -> None:
    """A claim made through a mount has a lease, and that mount renews it every third of it."""
    async with (
        mounted(store, tmp_path / "a", A, LEASE) as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await two.present()
        won = await take(one.steps, A, note="mine")
        store.requests.clear()
        await trio.sleep(10 * LEASE)
        with pytest.raises(Held):
            await two.steps.claim(X, B)
        assert len(store.asked("PUT")) in (29, 30)
        claim = present(store, CLAIM)
        assert (claim["id"], claim["generation"]) == (won.claim.id, won.claim.generation)
        assert present(store, STATUS)["note"] == "mine"


async def test_a_lease_runs_out_by_the_store_s_clock_and_no_earlier(
    store: MemoryStore, tmp_path: Path
) -> None:
    """A lease that ran out reads as free; the next claimant takes it over, one generation on."""
    async with (
        mounted(store, tmp_path / "a", A, LEASE) as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await two.present()
        stop(one)
        won = await take(one.steps, A)
        began = trio.current_time()
        while True:
            seen = await two.steps.look(X)
            if seen.effective.state is PENDING:
                break
            assert (seen.effective.state, seen.effective.agent) == (IN_PROGRESS, A)
            await trio.sleep(0.1)
        # Half a second of doubt, and a second for stores that tell whole seconds.
        assert LEASE <= trio.current_time() - began <= LEASE + 2 * DOUBT + 1.2
        other = await take(two.steps, B)
        assert other.claim.generation == won.claim.generation + 1
        assert state_of(store).agent == B


async def finish(project: Project) -> None:
    await project.steps.set_state(X, A, COMPLETE)


async def give_back(project: Project) -> None:
    await project.steps.give_back(X, A)


async def annotate(project: Project) -> None:
    await project.steps.annotate(X, A, "still here\n")


async def hand_off(project: Project) -> None:
    await project.steps.hand_off(X, A, HandoffText("mine"))


async def renew(project: Project) -> None:
    await project.steps.chores.renew(next(iter(project.steps._context.tenures)))


@pytest.mark.parametrize("act", [finish, give_back, annotate, hand_off, renew])
async def test_the_former_holder_is_refused_and_changes_nothing(
    store: MemoryStore, tmp_path: Path, act: Act
) -> None:
    """The former holder's writes are refused: its tenure has ended."""
    async with (
        mounted(store, tmp_path / "a", A, LEASE) as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await two.present()
        stop(one)
        await take(one.steps, A)
        await trio.sleep(LEASE + 5)
        await take(two.steps, B)
        before = {key: store.body(key) for key in store.stored()}
        with pytest.raises(NotHolder):
            await act(one)
        assert {key: store.body(key) for key in store.stored()} == before


@pytest.mark.parametrize("act", [finish, give_back, annotate, hand_off, renew])
async def test_what_the_former_holder_had_in_flight_changes_nothing(
    store: MemoryStore, tmp_path: Path, act: Act
) -> None:
    """A mount stopped in the midst of an act, and continued after another took the step over."""
    async with (
        mounted(store, tmp_path / "a", A, LEASE) as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await two.present()
        stop(one)
        await take(one.steps, A)

        async def stopped() -> None:
            await trio.sleep(LEASE + 5)
            await take(two.steps, B, note="theirs")

        store.before("PUT", "steps/x/*", stopped)
        with pytest.raises((NotHolder, OutcomeUnknown)):
            await act(one)
        await trio.sleep(20)
        with pytest.raises(Missing):  # a record that landed late is of a tenure that ended
            await two.steps.handoff(X)
        now = state_of(store)
        assert (now.state, now.agent) == (IN_PROGRESS, B)
        assert present(store, STATUS)["note"] == "theirs"


async def test_a_finished_step_is_never_taken_over(store: MemoryStore, tmp_path: Path) -> None:
    """A final state is never taken over, whatever the lease, whoever finished it."""
    async with (
        mounted(store, tmp_path / "a", A, LEASE) as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await two.present()
        stop(one)
        await take(one.steps, A)
        reference_status(store, "complete", A)  # by its command line: the claim keeps its lease
        await trio.sleep(10 * LEASE)
        with pytest.raises(Held, match="is complete, finished by a"):
            await two.steps.claim(X, B)


async def test_a_claim_without_a_lease_is_never_taken_away(
    store: MemoryStore, tmp_path: Path
) -> None:
    """A claim without a lease (the reference's, or one made with no mount) is never taken away."""
    async with mounted(store, tmp_path, B) as project:
        await project.present()
        reference_claims(store, A)
        await trio.sleep(80_000)
        with pytest.raises(Held):
            await project.steps.claim(X, B)


async def test_nobody_who_knows_no_time_takes_a_step(tmp_path: Path) -> None:
    """A mount with no estimate of the store's clock treats no lease as run out."""
    store = MemoryStore()  # tells no time
    async with mounted(store, tmp_path, B) as project:
        lease = {"seconds": 1, "renewed_at": "2020-01-01T00:00:00+00:00"}
        place(store, CLAIM, agent=A, id="t", nonce="t", generation=1, lease=lease)
        await trio.sleep(1000)
        with pytest.raises(Held):
            await project.steps.claim(X, B)


async def test_a_command_asks_for_the_time_once(store: MemoryStore, tmp_path: Path) -> None:
    """Without heartbeats the store is asked what its clock shows, where that is of interest."""
    async with mounted(store, tmp_path, B) as project:
        lease = {"seconds": 10, "renewed_at": "2020-01-01T00:00:00+00:00"}
        place(store, CLAIM, agent=A, id="t", nonce="t", generation=1, lease=lease)
        await trio.sleep(20)
        await take(project.steps, B)
        assert len(store.asked("HEAD")) == 1


async def test_one_s_own_claim_that_ran_out_is_one_s_own_until_it_is_taken(
    store: MemoryStore, tmp_path: Path
) -> None:
    """To hold is lease apart: who comes back before another takes the step may finish it."""
    async with mounted(store, tmp_path, A, LEASE) as project:
        await project.present()
        stop(project)
        await take(project.steps, A)
        await trio.sleep(5 * LEASE)
        assert (await project.steps.look(X)).effective.state is PENDING
        await project.steps.hand_off(X, A, HandoffText("done"))
        await project.steps.set_state(X, A, COMPLETE)
        assert state_of(store).state is COMPLETE


async def test_a_mount_that_could_not_renew_lets_go_early(
    store: MemoryStore, tmp_path: Path
) -> None:
    """A holder stops trusting its lease two uncertainties before anybody may take it."""
    async with mounted(store, tmp_path, A, LEASE) as project:
        await project.present()
        await take(project.steps, A)
        began = trio.current_time()
        store.fail(CLAIM, Fault.REFUSED, times=10_000)
        await trio.sleep(LEASE - 2 * DOUBT - 0.1)
        assert (await project.steps.look(X)).effective.state is IN_PROGRESS
        await trio.sleep(0.2)
        assert (await project.steps.look(X)).effective.state is PENDING
        assert trio.current_time() - began < LEASE


async def test_a_renewal_that_fails_is_tried_again(store: MemoryStore, tmp_path: Path) -> None:
    async with (
        mounted(store, tmp_path / "a", A, LEASE) as one,
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await two.present()
        await take(one.steps, A)
        store.fail(CLAIM, Fault.DENIED, times=3)
        await trio.sleep(3 * LEASE)
        assert store.pending_faults == 0
        with pytest.raises(Held):
            await two.steps.claim(X, B)


async def test_the_next_mount_of_an_agent_carries_on(store: MemoryStore, tmp_path: Path) -> None:
    """A mount that comes back in time carries on: the claim is renewed again, and not given up."""
    with trio.CancelScope() as life:
        async with mounted(store, tmp_path / "a", A, LEASE) as one:
            won = await take(one.steps, A, note="mine")
            life.cancel()
    async with (
        mounted(store.other(), tmp_path / "a", A, LEASE),
        mounted(store.other(), tmp_path / "b", B) as two,
    ):
        await two.present()
        await trio.sleep(5 * LEASE)
        with pytest.raises(Held):
            await two.steps.claim(X, B)
        claim = present(store, CLAIM)
        assert (claim["id"], claim["generation"]) == (won.claim.id, 1)
        assert claim["nonce"] != won.claim.nonce
        assert present(store, STATUS)["note"] == "mine"


async def test_another_agent_s_mount_does_not_carry_on(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path, A, LEASE) as one:
        await take(one.steps, A)
    async with mounted(store.other(), tmp_path, B, LEASE) as two:
        await two.present()
        await trio.sleep(2 * LEASE)
        await take(two.steps, B)
        assert state_of(store).agent == B


async def test_what_was_taken_meanwhile_is_not_carried_on(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path / "a", A, LEASE) as one:
        await take(one.steps, A)
    async with mounted(store.other(), tmp_path / "b", B, LEASE) as two:
        await two.present()
        await trio.sleep(2 * LEASE)
        await take(two.steps, B)
        before = store.body(STATUS)
        async with mounted(store.other(), tmp_path / "a", A, LEASE) as again:
            await trio.sleep(2 * LEASE)
            assert again.steps.held_here() == {}
            assert state_of(store).agent == B
            assert store.body(STATUS) == before


# hold: a claim that lives as long as a file is open


async def test_hold_claims_and_letting_go_gives_back(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path, A, LEASE) as project:
        won = await project.steps.hold(X, A)
        await project.steps.begin(won, None)
        assert present(store, CLAIM)["hold"] is True
        with pytest.raises(Held):
            await project.steps.hold(X, A)
        await project.steps.let_go(won)
        assert state_of(store).state is PENDING
        assert store.body(CLAIM) is None


async def test_hold_takes_on_the_claim_its_agent_has(store: MemoryStore, tmp_path: Path) -> None:
    async with mounted(store, tmp_path, A, LEASE) as project:
        won = await take(project.steps, A, note="mine")
        bound = await project.steps.hold(X, A)
        assert (bound.claim.id, bound.claim.hold) == (won.claim.id, True)
        assert present(store, STATUS)["note"] == "mine"
        await project.steps.let_go(bound)
        assert state_of(store).state is PENDING


async def test_what_another_mount_took_on_is_left_to_it(store: MemoryStore, tmp_path: Path) -> None:
    async with (
        mounted(store, tmp_path / "one", A, LEASE) as one,
        mounted(store.other(), tmp_path / "two", A, LEASE) as two,
    ):
        await take(one.steps, A)
        bound = await two.steps.hold(X, A)
        store.requests.clear()
        await trio.sleep(10 * LEASE)
        assert store.asked("PUT") == []
        assert one.steps.held_here() == {}
        assert state_of(store).tenure == bound.claim.id
        await one.steps.set_state(X, A, COMPLETE)  # it is the same agent's all the same
        await two.steps.let_go(bound)
        assert state_of(store).state is COMPLETE


async def test_a_renewal_by_another_mount_does_not_keep_its_agent_from_finishing(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with (
        mounted(store, tmp_path / "one", A, LEASE) as one,
        mounted(store.other(), tmp_path / "two", A, LEASE) as two,
    ):
        await take(two.steps, A)
        store.before("PUT", CLAIM, partial(renew, two))
        await one.steps.set_state(X, A, COMPLETE)
        assert state_of(store).state is COMPLETE


async def test_what_cannot_be_given_back_when_it_is_let_go_is_given_back_later(
    store: MemoryStore, tmp_path: Path
) -> None:
    """Nobody renews what nobody holds: were the store away for good, the lease would run out."""
    async with mounted(store, tmp_path, A, LEASE) as project:
        won = await project.steps.hold(X, A)
        await project.steps.begin(won, None)
        store.fail(STATUS, Fault.DENIED, times=3)
        await project.steps.let_go(won)
        assert state_of(store).state is IN_PROGRESS
        assert project.steps.held_here() == {}
        await trio.sleep(60)
        assert state_of(store).state is PENDING
        assert list((tmp_path / "journal").rglob("held/*")) == []


async def test_hold_takes_on_a_claim_of_the_other_tool(store: MemoryStore, tmp_path: Path) -> None:
    reference_claims(store, A)
    async with mounted(store, tmp_path, A, LEASE) as project:
        bound = await project.steps.hold(X, A)
        assert Claim.parse(store.body(CLAIM) or b"").lease is not None
        await project.steps.let_go(bound)
        assert state_of(store).state is PENDING


async def test_a_step_finished_while_it_is_held_open_stays_finished(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path, A, LEASE) as project:
        won = await project.steps.hold(X, A)
        await project.steps.begin(won, None)
        await project.steps.set_state(X, A, COMPLETE)
        await project.steps.let_go(won)
        assert state_of(store).state is COMPLETE


async def test_hold_is_refused_while_another_mount_has_it_open(
    store: MemoryStore, tmp_path: Path
) -> None:
    """Two shells of one agent cannot both hold a step, be it through two mounts."""
    async with (
        mounted(store, tmp_path / "one", A, LEASE) as one,
        mounted(store.other(), tmp_path / "two", A, LEASE) as two,
    ):
        await one.steps.begin(await one.steps.hold(X, A), None)
        with pytest.raises(Held):
            await two.steps.hold(X, A)


async def test_the_next_mount_gives_back_what_was_held_open(
    store: MemoryStore, tmp_path: Path
) -> None:
    """The file went with its mount: so does the claim, as soon as that is known."""
    with trio.CancelScope() as life:
        async with mounted(store, tmp_path, A, LEASE) as one:
            await one.steps.begin(await one.steps.hold(X, A), None)
            life.cancel()
    assert state_of(store).state is IN_PROGRESS
    async with mounted(store.other(), tmp_path, A, LEASE):
        await trio.sleep(1)
        assert state_of(store).state is PENDING


# a lent step: `ready/take`


async def test_what_is_lent_has_a_short_lease_until_it_is_handed_over(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with mounted(store, tmp_path, A) as project:
        won = await project.steps.lend(X, A)
        assert present(store, CLAIM)["lease"]["seconds"] == 90
        await project.steps.begin(won, None)
        await project.steps.hand_over(won)
        claim = present(store, CLAIM)
        assert (claim["lease"]["seconds"], "hold" in claim) == (900, False)
        await project.steps.let_go(replace(won, claim=replace(won.claim, id="another")))
        assert state_of(store).state is IN_PROGRESS
