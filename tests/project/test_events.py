"""What changes in a bucket, told to all who follow it (tree.md, `.tcfs/events`)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tcfs.project import Project, events
from tcfs.project._watch import TICK
from tcfs.project.events import Event, Follower, What
from tcfs.stores import OutcomeUnknown, Unavailable
from tcfs.wire.ids import BROADCAST, AgentId, LockId, Mailbox, StepId
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import (
    CLAIM,
    COMPLETE,
    STATUS,
    A,
    B,
    X,
    mounted,
    place,
    present,
    reference_claims,
    reference_status,
    take,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")


@asynccontextmanager
async def following(project: Project) -> AsyncIterator[Follower]:
    follower = await project.events.follow()
    try:
        yield follower
    finally:
        project.events.leave(follower)


async def told(follower: Follower) -> list[Event]:
    """Return what is told in the next tick and a bit."""
    await trio.sleep(TICK + 0.5)
    dropped, taken = follower.take(1_000_000)
    assert not dropped
    return list(taken)


def short(several: list[Event]) -> list[tuple[str, str, str | None, str | None]]:
    return [(it.what.value, it.key, it.state, it.agent) for it in several]


async def test_what_others_change_is_told_within_a_tick(tmp_path: Path) -> None:
    """What this mount changes is told at once, what others change within a tick."""
    store = MemoryStore()
    place(store, "memory/old.json", value="v")
    place(store, "memory/gone.json", value="v")
    async with mounted(store, tmp_path) as project, following(project) as follower:
        store.place("artifacts/shared/f", b"1")
        place(store, "memory/old.json", value="w")
        store.remove("memory/gone.json")
        began = trio.current_time()
        await follower.some()
        assert trio.current_time() - began <= TICK + 0.001
        assert short(await told(follower)) == [
            ("created", "artifacts/shared/f", None, None),
            ("changed", "memory/old.json", None, None),
            ("removed", "memory/gone.json", None, None),
        ]
        assert await told(follower) == []


async def test_what_this_mount_changes_is_told_at_once_and_once(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, following(project) as follower:
        await trio.sleep(0.3)
        began = trio.current_time()
        await project.memory.set("k", A, b"v")
        await follower.some()
        assert trio.current_time() == pytest.approx(began, abs=0.001)
        assert short(await told(follower)) == [("created", "memory/k.json", None, None)]
        await project.memory.set("k", A, b"w")
        assert short(await told(follower)) == [("changed", "memory/k.json", None, None)]


async def test_state_of_a_step_is_told_with_what_changed(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, following(project) as follower:
        reference_claims(store, "r")
        assert short(await told(follower)) == [
            ("created", CLAIM, "in_progress", "r"),
            ("created", STATUS, "in_progress", "r"),
        ]
        reference_status(store, "complete", "r")
        assert short(await told(follower)) == [("changed", STATUS, "complete", "r")]
        store.remove(CLAIM)
        store.remove(STATUS)
        assert short(await told(follower)) == [
            ("removed", CLAIM, "pending", None),
            ("removed", STATUS, "pending", None),
        ]


async def test_own_steps_are_told_without_a_request(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, following(project) as follower:
        won = await project.steps.claim(X, A)
        await trio.testing.wait_all_tasks_blocked()
        store.requests.clear()
        await project.steps.begin(won, None)
        await trio.testing.wait_all_tasks_blocked()
        assert store.requests == [("PUT", STATUS)]
        states = [(it.key, it.state, it.agent) for it in await told(follower)]
        assert states == [(CLAIM, "in_progress", "a"), (STATUS, "in_progress", "a")]


async def test_many_steps_at_once_are_told_without_their_state(tmp_path: Path) -> None:
    store = MemoryStore()
    count = events.STEPS_AT_ONCE + 1
    async with mounted(store, tmp_path) as project, following(project) as follower:
        for number in range(count):
            reference_status(store, "complete", "r", StepId(f"s{number}"))
        found = await told(follower)
        assert len(found) == count
        assert {it.state for it in found} == {None}
        assert store.asked("GET") == []


async def test_heartbeats_and_renewed_leases_are_no_events(tmp_path: Path) -> None:
    """A heartbeat, a renewed lease, a value's version and a read mark are no events."""
    store = MemoryStore()
    async with (
        mounted(store, tmp_path / "a") as project,
        mounted(store.other(), tmp_path / "b", B, lease=90) as other,
    ):
        await project.present()
        await other.present()
        async with following(project) as follower:
            await take(other.steps, B)
            assert [it.key for it in await told(follower)] == [CLAIM, STATUS]
            beats = len(store.asked("PUT"))
            nonce = present(store, CLAIM)["nonce"]
            await trio.sleep(200)
            assert len(store.asked("PUT")) > beats
            assert present(store, CLAIM)["nonce"] != nonce, "the lease was renewed"
            assert present(store, "agents/b.json")["step"] == "x"
            # Once, for that says which step it works on by now.
            assert short(await told(follower)) == [("changed", "agents/b.json", "active", None)]
            other.clock.observe(await store.clock())
            await other.mail.send(Mailbox("a"), B, "hi")
            await other.memory.set("k", B, b"v")
            news = await project.unread.read(A)
            await project.unread.mark(A, news)
            assert "messages/a/_cursor.json" in store.stored()
            kinds = [(it.key.partition("/")[0], it.agent) for it in await told(follower)]
            assert kinds == [("memory", None), ("messages", "b")]


async def test_lock_is_told_with_who_has_it_and_its_renewals_are_not(tmp_path: Path) -> None:
    store = MemoryStore()
    build = LockId("build")
    async with (
        mounted(store, tmp_path / "a") as project,
        mounted(store.other(), tmp_path / "b", B, lease=90) as other,
        following(project) as follower,
    ):
        await other.locks.take(build, B)
        assert short(await told(follower)) == [("created", "locks/build.json", None, "b")]
        nonce = present(store, "locks/build.json")["nonce"]
        await trio.sleep(100)
        assert present(store, "locks/build.json")["nonce"] != nonce
        assert short(await told(follower)) == []
        await other.locks.give_back(build, B)
        assert short(await told(follower)) == [("removed", "locks/build.json", None, None)]


async def test_whoever_signs_off_is_told_of(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "a") as project, following(project) as follower:
        async with mounted(store.other(), tmp_path / "b", B) as other:
            await other.present()
            assert short(await told(follower)) == [("created", "agents/b.json", "active", None)]
        assert short(await told(follower)) == [("changed", "agents/b.json", "offline", None)]


async def test_a_state_that_was_there_before_is_known(tmp_path: Path) -> None:
    """The first heartbeat after opening is not told, the first change of state is."""
    store = MemoryStore()
    for name in ("r", "s"):
        place(store, f"agents/{name}.json", id=name, status="active", heartbeat="2026-01-01")
    async with mounted(store, tmp_path) as project, following(project) as follower:
        place(store, "agents/r.json", id="r", status="active", heartbeat="2026-01-02")
        place(store, "agents/s.json", id="s", status="offline", heartbeat="2026-01-02")
        assert short(await told(follower)) == [("changed", "agents/s.json", "offline", None)]


async def test_the_stores_trial_and_other_bookkeeping_are_no_events(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, following(project) as follower:
        store.place(".tcfs/probe/1/race", b"")
        place(store, "memory/_history/k/1_a_0.json", value="v")
        place(store, f"messages/{BROADCAST}/1795369601327019039_r_00000000.json", text="hi")
        (event,) = await told(follower)
        assert (event.agent, event.key[:20]) == ("r", "messages/_broadcast/")


async def test_every_follower_is_told_all_from_its_beginning_on(tmp_path: Path) -> None:
    """Every reader is told all from its own opening on."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, following(project) as first:
        await project.memory.set("one", A, b"v")
        async with following(project) as second:
            await project.memory.set("two", A, b"v")
            store.place("top", b"")
            assert [it.key for it in await told(second)][-2:] == ["memory/two.json", "top"]
            _, taken = first.take(10)
            assert [it.key for it in taken] == ["memory/one.json", "memory/two.json", "top"]
        await project.memory.set("three", A, b"v")
        assert [it.key for it in await told(first)] == ["memory/three.json"]
        assert len(second) == 0


async def test_what_is_written_while_the_first_listing_is_made_is_not_told_twice(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    store.place("memory/k.json", b"{}")
    async with mounted(store, tmp_path) as project:

        async def write() -> None:
            await project.memory.set("k", A, b"v")
            await project.memory.set("new", A, b"v")

        store.after("LIST", "", write)
        async with following(project) as follower:
            assert await told(follower) == []
            await project.memory.set("k", A, b"w")
            assert short(await told(follower)) == [("changed", "memory/k.json", None, None)]


async def test_an_answer_that_was_overtaken_changes_nothing(tmp_path: Path) -> None:
    """A listing that takes longer than a tick is followed by another before it is answered."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        got: list[Follower] = []

        async def slow() -> None:
            await trio.sleep(2.5 * TICK)

        store.after("LIST", "", slow)
        nursery.start_soon(_follow, project, got)
        await trio.sleep(0.5)
        store.place("top", b"")
        await trio.sleep(5)
        (follower,) = got
        store.place("next", b"")
        assert [it.key for it in await told(follower)] == ["next"]
        project.events.leave(follower)


async def _follow(project: Project, got: list[Follower]) -> None:
    got.append(await project.events.follow())


async def test_nobody_following_costs_nothing_and_following_one_listing_a_tick(
    tmp_path: Path,
) -> None:
    """It costs one listing of the project a tick while anybody reads, and nothing else."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        async with following(project), following(project), following(project):
            await trio.sleep(0.5)
            assert store.requests == [("LIST", "")]
            store.requests.clear()
            await trio.sleep(10)
            assert store.requests == [("LIST", "")] * 10
        await trio.sleep(TICK)
        store.requests.clear()
        await trio.sleep(1000)
        assert store.requests == []
        async with following(project) as again:
            await project.memory.set("k", A, b"v")
            assert len(await told(again)) == 1


async def test_follower_that_is_behind_keeps_the_latest_and_knows_how_many_it_missed() -> None:
    follower = Follower()
    several = [Event("now", What.CREATED, f"k{number}") for number in range(events.KEPT + 5)]
    for it in several:
        follower.tell([it])
    assert len(follower) == events.KEPT
    dropped, taken = follower.take(2)
    assert (dropped, taken) == (5, several[5:7])
    dropped, taken = follower.take(events.KEPT)
    assert (dropped, taken) == (0, several[7:])
    with trio.move_on_after(1) as scope:
        await follower.some()
    assert scope.cancelled_caught


async def test_store_that_is_away_when_it_is_opened_is_told_at_once(tmp_path: Path) -> None:
    store = MemoryStore()
    place(store, "agents/r.json", id="r", status="active")

    async def away() -> None:
        raise Unavailable("not now")

    async with mounted(store, tmp_path) as project:
        store.before("LIST", "", away)
        with pytest.raises(Unavailable):
            await project.events.follow()
        store.before("GET", "agents/*", away)
        with pytest.raises(Unavailable):
            await project.events.follow()
        async with following(project) as follower:
            store.place("top", b"")
            assert [it.key for it in await told(follower)] == ["top"]


async def test_store_that_goes_away_is_waited_out(tmp_path: Path) -> None:
    store = MemoryStore()

    async def away() -> None:
        raise Unavailable("not now")

    async with mounted(store, tmp_path) as project, following(project) as follower:
        for _ in range(2):
            store.before("LIST", "", away)
        store.before("GET", STATUS, away)
        reference_status(store, "complete", "r")
        await trio.sleep(2 * TICK)
        assert short(await told(follower)) == [("created", STATUS, None, None)]
        reference_status(store, "blocked", "r")
        assert short(await told(follower)) == [("changed", STATUS, "blocked", "r")]


async def test_write_of_unknown_outcome_is_told_when_it_shows(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, following(project) as follower:
        store.fail("runs/log", Fault.ANSWER_LOST)
        adder = project.files.add("runs/log", created=False)
        await adder.write(b"v")
        with pytest.raises(OutcomeUnknown):
            await adder.save()
        assert short(await told(follower)) == [("created", "runs/log", None, None)]
        adder.close()


async def test_what_is_no_document_ends_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, following(project) as follower:
        for key in (CLAIM, STATUS, "agents/r.json", "steps//claim.json", "steps/claim.json"):
            store.place(key, b"\xff{")
        found = {it.key: (it.state, it.agent) for it in await told(follower)}
        assert found[CLAIM] == ("in_progress", "unknown")
        assert found["agents/r.json"] == found["steps//claim.json"] == (None, None)
        store.place("agents/r.json", json.dumps({"id": "r", "status": "active"}).encode())
        assert short(await told(follower)) == [("changed", "agents/r.json", "active", None)]
        await project.steps.set_state(StepId("y"), AgentId("a"), COMPLETE)
        assert (await told(follower))[-1].state == "complete"
