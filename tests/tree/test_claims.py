"""`steps/<id>/claim`: every verb that makes a file takes the step (tree.md)."""

import json
from errno import EEXIST, EINVAL, ENOENT, EPERM
from pathlib import Path

import pytest
import trio

from tcfs.stores import Denied
from tcfs.tree import File, Link, OpenMode
from tests.memory_store import MemoryStore
from tests.project.parties import STATUS
from tests.tree.walk import APPEND, REPLACE, TOUCH, caller, grown, refused


def documents(store: MemoryStore) -> list[str]:
    """Return the keys of a bucket but those of who acted in it."""
    return [key for key in store.stored() if not key.startswith("agents/")]


pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_any_valid_id_is_a_directory_with_its_virtual_files(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        assert await tree.cat("steps/new/status") == "pending\n"
        for name in ("claim", "owner", "handoff", "claim.json", "status.json", "hold", "after"):
            with refused(ENOENT):
                await tree.node(f"steps/new/{name}")
        assert await tree.ls("steps") == []
        assert await tree.ls("steps/new") == ["status"]


async def test_claim_is_shown_by_all_its_views(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "what I will do\n")
        text = await tree.cat("steps/x/claim")
        head, _, note = text.partition("\n\n")
        assert head.split("\n")[0] == "a"
        assert head.split("\n")[1].startswith("claimed 20")
        assert note == "what I will do\n"
        assert await tree.cat("steps/x/owner") == "a\n"
        assert await tree.cat("steps/x/status") == "in_progress\n"
        assert json.loads(await tree.cat("steps/x/claim.json"))["agent"] == "a"
        assert json.loads(await tree.cat("steps/x/status.json"))["note"] == "what I will do\n"
        assert await tree.ls("steps") == ["x"]
        assert await tree.ls("steps/x") == ["status", "owner", "claim"], "claim last, for rm -r"
        assert await tree.size("steps/x/claim") == len(text)
        assert await tree.size("steps/x/status") == len("in_progress\n")


@pytest.mark.parametrize("mode", [REPLACE, TOUCH, APPEND])
async def test_losing_claim_is_refused_at_open(tmp_path: Path, mode: OpenMode) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "mine\n")
        code = EPERM if mode.append else EEXIST
        with refused(code, "steps/x", "held by a"):
            await tree.open("steps/x/claim", mode, caller("b"))
        if not mode.append:
            with refused(EEXIST, "cat steps/x/wait"):
                await tree.open("steps/x/claim", mode, caller("a"))


async def test_every_verb_that_makes_a_file_claims(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.touch("steps/touch/claim")
        await tree.mkdir("steps/mkdir/claim")
        ln = await tree.directory("steps/ln")
        assert isinstance(await ln.symlink("claim", "the note", caller()), Link)
        await tree.write("steps/mv/tmp", "moved\n")
        await tree.mv("steps/mv/tmp", "steps/mv/claim")
        await tree.append("steps/append/claim", "added\n")
        await trio.sleep(1)
        for step in ("touch", "mkdir", "ln", "mv", "append"):
            assert await tree.cat(f"steps/{step}/status") == "in_progress\n"
            assert isinstance(await tree.node(f"steps/{step}/claim"), File)
        assert (await tree.cat("steps/ln/claim")).endswith("\n\nthe note\n")
        assert (await tree.cat("steps/mv/claim")).endswith("\n\nmoved\n")
        with refused(EEXIST):
            await tree.mkdir("steps/touch/claim", by="b")
        with refused(EEXIST):
            await ln.symlink("claim", "x", caller("b"))
        with refused(EEXIST):
            await tree.write("steps/touch/tmp", "x\n")
            await tree.mv("steps/touch/tmp", "steps/touch/claim")
        assert "tmp" in await tree.ls("steps/touch"), "what was not moved stays"


async def test_setting_the_times_of_a_claim_is_a_claim_that_lost(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "mine\n")
        file = await tree.file("steps/x/claim")
        with refused(EEXIST, "held by a"):
            await file.set_times(caller("b"))
        with refused(EEXIST):
            await file.truncate(0, caller())


async def test_note_that_names_another_agent_undoes_the_claim(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.project.agents.register(caller("dev").agent)
        with refused(EPERM, "you act as a here, not as dev", "as/dev/steps/x/claim"):
            await tree.write("steps/x/claim", "dev\n")
        assert await tree.cat("steps/x/status") == "pending\n"
        await tree.write("steps/x/claim", "dev will review\n")
        await tree.write("steps/y/claim", "a\n")


async def test_slow_note_that_names_another_agent_undoes_the_claim_too(tmp_path: Path) -> None:
    """`whoami | tee claim`: the status is written before the note comes."""
    async with grown(tmp_path) as tree:
        await tree.project.agents.register(caller("dev").agent)
        handle = await tree.open("steps/x/claim", REPLACE)
        await trio.sleep(5)
        assert await tree.cat("steps/x/status") == "in_progress\n"
        with refused(EPERM, "the claim was undone"):
            await handle.write(0, b"dev\n")
        assert await tree.cat("steps/x/status") == "pending\n"


async def test_won_claim_is_not_reported_lost_when_agents_cannot_be_read(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("steps/x/claim", REPLACE)

        async def fail() -> None:
            raise Denied("no")

        tree.store.before("GET", "agents/dev.json", fail)
        await handle.write(0, b"dev\n")
        await handle.commit()
        assert await tree.cat("steps/x/owner") == "a\n"


async def test_status_is_written_in_a_tenth_of_a_second_without_a_note(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("steps/x/claim", REPLACE)
        assert tree.store.body(STATUS) is None
        await trio.sleep(0.11)
        assert json.loads(tree.store.body(STATUS) or b"")["status"] == "in_progress"
        await handle.write(0, b"late\n")
        await handle.commit()
        assert (await tree.cat("steps/x/claim")).endswith("\n\nlate\n")
        requests = len(tree.store.asked("PUT"))
        await handle.commit()
        assert len(tree.store.asked("PUT")) == requests


async def test_group_writes_one_note(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "one\n", "two", "\n")
        assert (await tree.cat("steps/x/claim")).endswith("\n\none\ntwo\n")


async def test_note_that_is_not_text_or_too_long_is_refused_and_the_claim_stands(
    tmp_path: Path,
) -> None:
    async with grown(tmp_path) as tree:
        with refused(EINVAL, "UTF-8", "artifacts/"):
            await tree.write("steps/x/claim", b"\xff\n")
        with refused(EINVAL, "artifacts/"):
            await tree.write("steps/y/claim", b"x" * ((1 << 20) + 1))
        await trio.sleep(1)
        assert await tree.cat("steps/x/owner") == await tree.cat("steps/y/owner") == "a\n"


async def test_killed_writer_leaves_the_claim_without_its_note(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("steps/x/claim", REPLACE)
        await handle.write(0, b"half")
        handle.discard()
        await trio.sleep(1)
        assert "half" not in await tree.cat("steps/x/claim")
        assert await tree.cat("steps/x/status") == "in_progress\n"


async def test_appending_to_the_claim_is_for_its_holder(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "one\n")
        await tree.append("steps/x/claim", "two\n")
        assert (await tree.cat("steps/x/claim")).endswith("\n\none\ntwo\n")
        with refused(EPERM, "held by a, not by you"):
            await tree.append("steps/x/claim", "three\n", by="b")


async def test_removing_the_claim_gives_the_step_back(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "one\n")
        with refused(EPERM, "held by a, not by you"):
            await tree.rm("steps/x/claim", by="b")
        await tree.rm("steps/x/claim")
        assert await tree.cat("steps/x/status") == "pending\n"
        await tree.write("steps/x/claim", "mine\n", by="b")
        await tree.write("steps/x/status", "complete\n", by="b")
        with refused(EPERM, "is complete, finished by b"):
            await tree.rm("steps/x/claim", by="b")
