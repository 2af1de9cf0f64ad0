"""The root: what no door of tests/doors shows, buckets that no directory can be, and other users.

The rules are tested in tests/doors.
"""

import json
from errno import EPERM
from pathlib import Path

import pytest

from tcfs.board import LOCAL_ONLY
from tests.memory_store import MemoryStore
from tests.project.parties import place
from tests.tree.walk import APPEND, REPLACE, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_overview_of_a_shared_store(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        assert LOCAL_ONLY not in await tree.cat("status")
        assert LOCAL_ONLY not in await tree.cat(".tcfs/store")
        assert json.loads(await tree.cat("status.json"))["shared"] is True
        assert "nobody has looked" in await tree.cat(".tcfs/capabilities")


async def test_raw_shows_an_object_that_is_a_prefix_too(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place("a", b"both a file")
    store.place("a/b", b"and a directory")
    store.place("odd//x", b"")
    async with grown(tmp_path, store) as tree:
        assert "a" in await tree.ls(".tcfs/raw")
        assert await tree.cat(".tcfs/raw/a") == "both a file"
        assert await tree.ls(".tcfs/raw/odd") == []


async def test_whoever_cannot_be_told_writes_nothing_in_a_name(tmp_path: Path) -> None:
    """`--allow-other`: the caller's environment could not be read."""
    store = MemoryStore()
    place(store, "agents/a.json", id="a", status="active")
    unknown = caller(trusted=False)
    async with grown(tmp_path, store) as tree:
        before = store.stored()
        for path, mode in (
            ("steps/x/claim", REPLACE),
            ("steps/x/status", REPLACE),
            ("steps/x/handoff", REPLACE),
            ("steps/x/plain", REPLACE),
            ("memory/k", REPLACE),
            ("memory/k", APPEND),
            ("messages/a/inbox", REPLACE),
            ("messages/a/note", REPLACE),
            ("agents/a", REPLACE),
        ):
            with refused(EPERM, "write below as/<agent>/ instead"):
                await tree.open(path, mode, unknown)
        assert store.stored() == before
        await (await tree.open("as/dev/memory/k", REPLACE, unknown)).write(0, b"v\n")
        assert json.loads(await tree.cat("memory/k.json"))["set_by"] == "dev"
