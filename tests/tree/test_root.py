"""The root, `as/<agent>/`, `agents/` and `.tcfs/` (tree.md)."""

import json
from errno import EINVAL, ENOENT, EPERM, EROFS
from pathlib import Path

import pytest
import trio

from tcfs.board import LOCAL_ONLY
from tcfs.stores import Capabilities
from tests.memory_store import MemoryStore
from tests.project.parties import place
from tests.tree.walk import APPEND, REPLACE, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")

LOCAL = Capabilities(create=True, replace=True, delete=True, conditional_get=True, shared=False)


async def test_what_the_root_lists(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        listed = await tree.ls()
        assert listed[0] == "status"
        assert set(listed) >= {"README", "agents", "memory", "messages", "steps", ".tcfs"}
        assert not {"status.json", "as"} & set(listed)
        with refused(ENOENT, "README"):
            await tree.node("nothing")


async def test_what_is_the_trees_own_at_the_root_cannot_be_changed(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        for refuse in (
            tree.root.create("as", REPLACE, caller()),
            tree.root.mkdir("locks", caller()),
            tree.root.unlink("README", caller()),
            tree.root.rmdir("steps", caller()),
            tree.root.symlink("x", "y", caller()),
            tree.root.rename("steps", tree.root, "x", caller(), exclusive=False),
        ):
            with refused(EROFS):
                await refuse
        with refused(EROFS):
            await tree.open("status", REPLACE)


async def test_readme_has_this_mounts_paths_and_agent(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        text = await tree.cat("README")
        assert await tree.size("README") > 0
        assert "You are: a" in text
        assert "> /mnt/steps/design/claim" in text
        assert len(text.splitlines()) < 50, "one screen"
        below = await tree.cat("as/dev/README")
        assert "You are: dev" in below


async def test_readmes_commands_work(tmp_path: Path) -> None:
    """The writes it shows, through the nodes."""
    async with grown(tmp_path) as tree:
        await tree.project.agents.register(caller("NAME").agent)
        await tree.write("steps/design/claim", "what I will do\n")
        await tree.write("steps/design/handoff", "what the next one must know\n")
        await tree.write("steps/design/status", "complete\n")
        assert await tree.cat("steps/design/wait") == "complete\n"
        await tree.write("memory/design.contract", "v2, JSON over HTTP\n")
        await tree.append("memory/log", "a line\n")
        await tree.append("messages/NAME/inbox", "Step: design\n\nready\n")
        assert "ready" in await tree.cat("messages/NAME/inbox")
        assert "complete" in await tree.cat("status")


async def test_overview_says_when_it_is_not_shared(tmp_path: Path) -> None:
    async with grown(tmp_path / "1", MemoryStore(LOCAL)) as tree:
        assert (await tree.cat("status")).splitlines()[0] == LOCAL_ONLY
        assert LOCAL_ONLY in await tree.cat(".tcfs/store")
    async with grown(tmp_path / "2") as tree:
        await tree.write("steps/x/claim", "mine\n")
        await trio.sleep(1)
        text = await tree.cat("status")
        assert LOCAL_ONLY not in text
        found = json.loads(await tree.cat("status.json"))
        assert found["steps"] == [{"id": "x", "status": "in_progress", "agent": "a"}]
        assert found["shared"] is True


async def test_acting_as_another_by_the_path(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("as/dev/steps/x/claim", "mine\n", by="a")
        assert await tree.cat("steps/x/owner") == "dev\n"
        assert (await tree.cat("as/dev/.tcfs/agent")).splitlines()[0] == "dev"
        with refused(ENOENT):
            await tree.node("as/dev/as")
        for name in ("_x", ".x", "a\nb", "a\udcff"):
            with refused(ENOENT):
                await tree.node(f"as/{name}")
        assert await tree.ls("as") == []
        await trio.sleep(1)
        assert await tree.ls("agents") == ["dev"]


async def test_control_files(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        assert await tree.cat(".tcfs/agent") == "a\nby the test\n"
        assert await tree.cat(".tcfs/version") == "1.2.3\n"
        assert await tree.cat(".tcfs/store") == "memory://bucket/project\n"
        assert await tree.cat(".tcfs/config") == "store = memory\n"
        assert "nobody has looked" in await tree.cat(".tcfs/capabilities")
        tree.refusals.record(caller().agent, "/a\udcff", EPERM, "no")
        tree.refusals.record(caller("b").agent, "/theirs", EPERM, "no")
        errors = await tree.cat(".tcfs/errors")
        assert errors.count("\n") == 1
        assert "/theirs" in await tree.cat("as/b/.tcfs/errors")
        with refused(ENOENT):
            await tree.node(".tcfs/nothing")
        with refused(EROFS):
            await tree.open(".tcfs/errors", REPLACE)


async def test_raw_is_the_bucket_as_it_is(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place("a", b"both a file")
    store.place("a/b", b"and a directory")
    store.place("odd//x", b"")
    store.place(".tcfs/probe/id/race-1", b"the store is being tried out")
    async with grown(tmp_path, store) as tree:
        await tree.write("memory/k.l", "v\n")
        assert await tree.ls(".tcfs") == [it for it in await tree.ls(".tcfs") if it != "raw"]
        assert {"a", "memory"} <= set(await tree.ls(".tcfs/raw"))
        assert ".tcfs" not in await tree.ls(".tcfs/raw")
        with refused(ENOENT):
            await tree.node(".tcfs/raw/.tcfs")
        assert await tree.cat(".tcfs/raw/a") == "both a file"
        exact = store.body("memory/k/l.json")
        assert (await tree.cat(".tcfs/raw/memory/k/l.json")).encode() == exact
        assert await tree.ls(".tcfs/raw/odd") == []
        with refused(EROFS):
            await tree.open(".tcfs/raw/a", REPLACE)
        with refused(ENOENT):
            await tree.node(".tcfs/raw/nothing")
        with refused(ENOENT):
            await tree.node(".tcfs/raw/a\udcff")


async def test_agents_are_files(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("agents/a", "writing tests\n")
        assert await tree.cat("agents/a") == "active\nhost host\nwriting tests\n"
        assert await tree.size("agents/a") == len("active\nhost host\nwriting tests\n")
        assert await tree.ls("agents") == ["a"]
        assert json.loads(await tree.cat("agents/a.json"))["summary"] == "writing tests"
        handle = await tree.open("agents/a", APPEND)
        await handle.write(await tree.size("agents/a"), b"more tests\n")
        assert json.loads(await tree.cat("agents/a.json"))["summary"] == "more tests"
        with refused(EPERM, "only a writes its summary; you are b"):
            await tree.open("agents/a", REPLACE, caller("b"))
        with refused(EPERM):
            await tree.open("agents/new", REPLACE, caller("b"))
        with refused(EPERM):
            await tree.rm("agents/a")
        with refused(EINVAL):
            await tree.write("agents/a", b"\xff\n")
        with refused(EINVAL):
            await tree.write("agents/a", b"x" * 5000)
        with refused(EPERM, "without .json"):
            await tree.open("agents/a.json", REPLACE)
        for name in ("nobody", "nobody.json", "_x", ".x", "a\udcff"):
            with refused(ENOENT):
                await tree.node(f"agents/{name}")


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
