"""A mount says who is there; that it cannot say so at once ends no mount."""

from pathlib import Path

import pytest

from tcfs.cli._serve import _present
from tcfs.stores import Unavailable
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import mounted, present

pytestmark = pytest.mark.usefixtures("autojump_clock")
KEY = "agents/a.json"


async def test_mount_goes_on_where_one_look_at_its_agent_is_not_answered(tmp_path: Path) -> None:
    store = MemoryStore()

    async def unanswered() -> None:
        raise Unavailable("no answer")

    async with mounted(store, tmp_path) as project:
        store.before("GET", KEY, unanswered)
        assert await _present(project, 2) is None
        assert present(store, KEY)["status"] == "active"


async def test_mount_goes_on_where_its_registration_is_not_answered(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        store.fail(KEY, Fault.BROKEN)
        assert await _present(project, 2) is None
        assert store.body(KEY) is None
