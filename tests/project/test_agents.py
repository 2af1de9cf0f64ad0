"""Agents: who is there, and for how long that is believed (tree.md, agents)."""

from pathlib import Path

import pytest
import trio

from tcfs.project._project import HEARTBEAT
from tcfs.project.errors import Missing
from tcfs.stores.deadline import within
from tcfs.wire.ids import AgentId
from tcfs.wire.times import iso
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import A, B, X, mounted, place, present, take

pytestmark = pytest.mark.usefixtures("autojump_clock")

KEY = "agents/a.json"
NOW = 1_800_000_000 * 10**9
AT = "2026-03-22T15:00:00+00:00"


def initialised(store: MemoryStore, **more: object) -> None:
    """As the reference's `init` does."""
    place(
        store, KEY, **{"id": "a", "status": "active", "step": None, "started_at": AT,
        "heartbeat": AT, "summary": "Initialized", **more},
    )  # fmt: skip


async def test_present_registers_and_the_end_signs_off(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.present()
        found = present(store, KEY)
        assert (found["id"], found["status"], found["summary"]) == ("a", "active", "Initialized")
        assert (found["host"], found["mount"]) == ("host-a", project.mount)
    assert present(store, KEY)["status"] == "offline"
    assert store.closed


async def test_agent_whose_registration_is_not_answered_is_registered_by_a_heartbeat(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    store.fail(KEY, Fault.BROKEN)
    async with mounted(store, tmp_path) as project:
        await project.present()
        assert store.body(KEY) is None
        await trio.sleep(HEARTBEAT + 1)
        assert present(store, KEY)["status"] == "active"
    assert present(store, KEY)["status"] == "offline"


async def test_mount_that_did_not_register_signs_nobody_off(tmp_path: Path) -> None:
    store = MemoryStore()
    initialised(store)
    async with mounted(store, tmp_path):
        pass
    assert present(store, KEY)["status"] == "active"


async def test_registering_keeps_what_others_wrote(tmp_path: Path) -> None:
    store = MemoryStore()
    initialised(store, summary="theirs", worktree="/w", colour="red", step="x")
    async with mounted(store, tmp_path) as project:
        await project.agents.register(A)
        found = present(store, KEY)
    for name, value in {
        "summary": "theirs",
        "worktree": "/w",
        "colour": "red",
        "step": "x",
    }.items():
        assert found[name] == value
    assert found["started_at"] == AT
    assert found["heartbeat"] != AT


async def test_heartbeat_goes_on_past_the_deadline_of_who_began_it(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        with within(30):
            await project.present()
        before = len(store.asked("PUT"))
        await trio.sleep(601)
        assert len(store.asked("PUT")) - before == 10


async def test_heartbeat_names_the_step_that_is_held(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.present()
        await take(project.steps, A)
        await trio.sleep(61)
        assert present(store, KEY)["step"] == X
        await project.steps.give_back(X, A)
        await trio.sleep(61)
        assert present(store, KEY)["step"] is None


async def test_heartbeat_names_the_session_that_the_agent_is_in(tmp_path: Path) -> None:
    """An agent's file also names the session it wrote to last, where that is mirrored."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.present()
        project.agents.writes(A, "claude-code/one")
        await trio.sleep(59)
        assert len(store.asked("PUT")) == 1
        await trio.sleep(2)
        assert present(store, KEY)["session"] == "claude-code/one"
        assert len(store.asked("PUT")) == 2  # the registration and one heartbeat, as ever
        project.agents.writes(A, "codex/two")
        await project.agents.describe(A, "on the API")
        assert present(store, KEY)["session"] == "codex/two"
    # Nobody is in it any more, and it still leads to what was done.
    assert present(store, KEY)["status"] == "offline"
    assert present(store, KEY)["session"] == "codex/two"


async def test_session_survives_who_knows_nothing_of_it(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await one.present()
        one.agents.writes(A, "claude-code/one")
        await trio.sleep(61)
        await two.agents.describe(A, "by a mount that mirrors nothing")
        assert present(store, KEY)["session"] == "claude-code/one"
        initialised(store, summary="by the reference")
        await trio.sleep(61)
        assert present(store, KEY)["session"] == "claude-code/one"
        assert present(store, KEY)["summary"] == "by the reference"


async def test_heartbeat_keeps_what_others_wrote_since(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await one.present()
        await two.agents.describe(A, "what I do now")
        await trio.sleep(61)
        assert present(store, KEY)["summary"] == "what I do now"


async def test_heartbeat_survives_a_store_that_is_away(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.present()
        beat = present(store, KEY)["heartbeat"]
        store.fail(KEY, Fault.REFUSED, times=3)
        await trio.sleep(250)
        assert present(store, KEY)["heartbeat"] != beat


async def test_agent_another_mount_speaks_for_by_now_is_not_signed_off(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store.other(), tmp_path / "2") as two:
        async with mounted(store, tmp_path / "1") as one:
            await one.present()
            await two.present()
        assert present(store, KEY)["status"] == "active"
    assert present(store, KEY)["status"] == "offline"


@pytest.mark.parametrize(
    ("status", "age", "expected"),
    [
        ("active", 0, "active"),
        ("active", 300, "active"),
        ("active", 301, "stale"),
        ("offline", 0, "offline"),
        ("offline", 900, "offline"),
        ("busy", 0, "active"),
        ("busy", 900, "stale"),
    ],
)
async def test_agent_is_stale_after_five_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, age: int, expected: str
) -> None:
    """An agent is `stale` after 5 minutes without a heartbeat."""
    store = MemoryStore()
    initialised(store, status=status, heartbeat=iso(NOW - age * 10**9))
    async with mounted(store, tmp_path) as project:
        monkeypatch.setattr(project.clock, "now", lambda: NOW)
        assert (await project.agents.read(A)).state == expected
        assert [it.state for it in await project.agents.presences()] == [expected]


async def test_heartbeat_nobody_can_read_is_the_objects_time(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(KEY, b"{")
    initialised(store, heartbeat="yesterday")
    async with mounted(store, tmp_path) as project:
        presence = await project.agents.read(A)
        ((_, entry),) = await project.agents.list()
    assert presence.heartbeat == entry.modified


async def test_unreadable_documents_and_names_do_not_hide_the_others(tmp_path: Path) -> None:
    store = MemoryStore()
    initialised(store)
    store.place("agents/b.json", b"{")
    for name in ("_x.json", ".y.json", "note.txt", "sub/c.json"):
        store.place(f"agents/{name}", b"{}")
    async with mounted(store, tmp_path) as project:
        assert [name for name, _ in await project.agents.list()] == ["a", "b"]
        assert [it.id for it in await project.agents.presences()] == ["a", "b"]


async def test_agent_that_acts_is_registered_once(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        project.acted(B)
        await trio.sleep(1)
        project.acted(B)
        await trio.sleep(1)
        assert store.asked("PUT") == ["agents/b.json"]
        assert await project.agents.is_registered("b")
        assert not await project.agents.is_registered("c")
        assert not await project.agents.is_registered("_broadcast")
        assert not await project.agents.is_registered("two\nlines")
        with pytest.raises(Missing, match="ls agents"):
            await project.agents.read(AgentId("c"))
    assert present(store, "agents/b.json")["status"] == "offline"


async def test_store_that_is_away_does_not_hold_up_the_end(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.present()

        async def hang() -> None:
            await trio.sleep_forever()

        store.before("PUT", KEY, hang)
        start = trio.current_time()
    assert trio.current_time() - start <= 5
    assert store.closed
