"""A project for one command: what is begun is finished, nobody is signed off, nothing lingers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tcfs.project import Project
from tcfs.project._project import FAREWELL
from tcfs.stores import OutcomeUnknown
from tcfs.wire.ids import AgentId
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import CLAIM, PENDING, A, B, X, mounted, present, state_of, take

pytestmark = pytest.mark.usefixtures("autojump_clock")


@asynccontextmanager
async def visited(store: MemoryStore, state: Path, agent: AgentId = A) -> AsyncIterator[Project]:
    async with Project.visit(store, agent=agent, host="host", state=state) as project:
        yield project


async def test_agent_that_acts_is_registered_and_stays(tmp_path: Path) -> None:
    store = MemoryStore()
    async with visited(store, tmp_path) as project:
        project.acted(A)
    assert present(store, "agents/a.json")["status"] == "active"
    assert store.closed


async def test_agent_that_a_mount_keeps_alive_is_left_to_it(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "mount") as mount:
        await mount.present()
        before = present(store, "agents/a.json")
        async with visited(store.other(), tmp_path) as project:
            project.acted(A)
        assert present(store, "agents/a.json") == before
    assert present(store, "agents/a.json")["status"] == "offline", "the mount still speaks for it"


async def test_agent_that_was_offline_is_shown_alive(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "mount") as mount:
        await mount.present()
    async with visited(store.other(), tmp_path) as project:
        project.acted(A)
    assert present(store, "agents/a.json")["status"] == "active"


async def test_end_does_not_wait_long_for_what_nobody_waits_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()

    async def hang() -> None:
        await trio.sleep_forever()

    store.before("GET", "agents/a.json", hang)
    began = trio.current_time()
    async with visited(store, tmp_path) as project:
        project.acted(A)
        await trio.sleep(1)
    assert trio.current_time() - began <= 1 + 2 * FAREWELL
    assert "not all notes of it are stored" in caplog.text


async def test_claim_of_unknown_outcome_is_given_back_before_the_end(tmp_path: Path) -> None:
    store = MemoryStore()
    async with visited(store, tmp_path) as project:
        store.fail(CLAIM, Fault.DELAYED)
        store.fail(CLAIM, Fault.DENIED)
        with pytest.raises(OutcomeUnknown):
            await project.steps.claim(X, A)
        store.deliver()
        assert state_of(store).agent == A
    assert state_of(store).state is PENDING


async def test_claim_of_a_command_stays_when_it_ends(tmp_path: Path) -> None:
    store = MemoryStore()
    async with visited(store, tmp_path) as project:
        await take(project.steps, B)
    assert state_of(store).agent == B
