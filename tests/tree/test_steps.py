"""`steps/<id>/`: status, handoff, wait and what else a step has (tree.md)."""

import json
from errno import EEXIST, EINVAL, ENOENT, ENOTEMPTY, EPERM, EXDEV
from pathlib import Path

import pytest
import trio

from tcfs.tree import Link, OpenMode
from tests.memory_store import NO_DELETE, Fault, MemoryStore
from tests.project.parties import CLAIM, STATUS, place, reference_claims, reference_status
from tests.tree.walk import APPEND, REPLACE, caller, grown, refused


def documents(store: MemoryStore) -> list[str]:
    """Return the keys of a bucket but those of who acted in it."""
    return [key for key in store.stored() if not key.startswith("agents/")]


pytestmark = pytest.mark.usefixtures("autojump_clock")


@pytest.mark.parametrize("word", ["complete", "blocked", "needs_review", "failed"])
async def test_words_that_finish(tmp_path: Path, word: str) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "mine\n")
        await tree.write("steps/x/status", f"{word}\n")
        assert await tree.cat("steps/x/status") == f"{word}\n"
        assert json.loads(await tree.cat("steps/x/handoff.json"))["state"] == word
        assert f"finished {word}" in await tree.cat("steps/x/claim")
        with refused(EEXIST, f"is {word}, finished by a"):
            await tree.write("steps/x/claim", "again\n", by="b")


@pytest.mark.parametrize("word", ["Complete", " complete ", "COMPLETE\n", "complete"])
async def test_case_of_a_status_word_does_not_matter(tmp_path: Path, word: str) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/status", word)
        assert await tree.cat("steps/x/status") == "complete\n"


async def test_status_word_may_be_appended(tmp_path: Path) -> None:
    """`>>` writes at the end of what the file shows: the kernel's offset means nothing."""
    async with grown(tmp_path) as tree:
        handle = await tree.open("steps/x/status", APPEND)
        await handle.write(len("pending\n"), b"complete\n")
        assert await tree.cat("steps/x/status") == "complete\n"


async def test_refused_status_words(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        for word in ("done\n", "\xff", "complete failed\n"):
            with refused(EINVAL, "pending in_progress complete blocked needs_review failed"):
                await tree.write("steps/x/status", word)
        with refused(EPERM, "claim first: echo > steps/x/claim"):
            await tree.write("steps/x/status", "in_progress\n")
        await tree.write("steps/x/claim", "mine\n")
        await tree.write("steps/x/status", "in_progress\n")
        with refused(EPERM, "held by a"):
            await tree.open("steps/x/status", REPLACE, caller("b"))
        with refused(EPERM, "held by a"):
            await (await tree.file("steps/x/status")).truncate(0, caller("b"))


async def test_opening_a_status_to_write_changes_nothing_yet(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/status")
        await (await tree.file("steps/x/status")).truncate(0, caller())
        assert documents(tree.store) == []


async def test_pending_reopens_for_who_finished(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/status", "failed\n")
        with refused(EPERM, "finished by a"):
            await tree.write("steps/x/status", "pending\n", by="b")
        await tree.write("steps/x/status", "pending\n")
        assert await tree.cat("steps/x/status") == "pending\n"
        with refused(ENOENT):
            await tree.node("steps/x/claim")


async def test_handoff_text(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "mine\n")
        await tree.write("steps/x/handoff", "To: b\nNext: test\n\nlook here\n")
        assert await tree.cat("steps/x/handoff") == "To: b\nNext: test\n\nlook here\n"
        found = json.loads(await tree.cat("steps/x/handoff.json"))
        assert (found["next_agent"], found["next_action"]) == ("b", "test")
        await tree.append("steps/x/handoff", "")
        handle = await tree.open("steps/x/handoff", APPEND)
        await handle.write(await tree.size("steps/x/handoff"), b"and there\n")
        assert (await tree.cat("steps/x/handoff")).endswith("look here\nand there\n")
        with refused(EPERM, "held by a"):
            await tree.open("steps/x/handoff", REPLACE, caller("b"))
        with refused(EINVAL, "UTF-8"):
            await tree.write("steps/x/handoff", b"\xff\n")
        assert "handoff" in await tree.ls("steps/x")


async def test_handoff_nobody_holds_may_be_written(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/handoff", "read this first\n")
        assert await tree.cat("steps/x/handoff") == "read this first\n"


async def test_wait_blocks_is_unlisted_and_read_only(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/status", "complete\n")
        assert await tree.cat("steps/x/wait") == "complete\n"
        assert "wait" not in await tree.ls("steps/x")
        handle = await tree.open("steps/x/wait", OpenMode())
        assert handle.blocking
        assert await tree.size("steps/x/wait") == 0
        with refused(EPERM, "cat steps/x/wait"):
            await tree.open("steps/x/wait", REPLACE)


async def test_wait_for_a_step_nobody_has_heard_of_is_noted(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/design/status", "complete\n")
        await tree.open("steps/desing/wait", OpenMode())
        await trio.sleep(1)
        assert "nearest: design" in tree.refusals.text(caller().agent)


@pytest.mark.parametrize("name", ["claim.json", "status.json", "handoff.json"])
async def test_exact_objects_are_read_only(tmp_path: Path, name: str) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "mine\n")
        with refused(EPERM, "without .json"):
            await tree.write(f"steps/y/{name}", "{}\n")
        await tree.write("steps/x/status", "complete\n")
        body = tree.store.body(f"steps/x/{name}")
        assert (await tree.cat(f"steps/x/{name}")).encode() == body
        with refused(EPERM, "without .json"):
            await tree.write(f"steps/x/{name}", "{}\n")
        with refused(EPERM):
            await tree.rm(f"steps/x/{name}")
        assert name not in await tree.ls("steps/x")


async def test_plain_files_are_kept_with_the_step(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/notes.txt", b"\xff\x00bytes")
        await tree.append("steps/x/log", "one\n")
        await tree.append("steps/x/log", "two\n")
        assert tree.store.body("steps/x/notes.txt") == b"\xff\x00bytes"
        assert await tree.cat("steps/x/log") == "one\ntwo\n"
        await tree.write("steps/x/data.json", "{}\n")
        assert await tree.ls("steps/x") == ["data.json", "log", "notes.txt", "status"]
        await tree.mv("steps/x/data.json", "steps/x/more.json")
        await tree.rm("steps/x/more.json")
        await tree.write("steps/x/claim", "mine\n")
        for refuse in (
            lambda: tree.write("steps/x/other", "x", by="b"),
            lambda: tree.rm("steps/x/log", by="b"),
            lambda: tree.mv("steps/x/log", "steps/x/log2", by="b"),
        ):
            with refused(EPERM, "held by a"):
                await refuse()
        await tree.rm("steps/x/log")
        assert "log" not in await tree.ls("steps/x")


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.REFUSED])
async def test_addition_to_a_plain_file_is_repeated_while_others_write(
    tmp_path: Path, fault: Fault
) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/log", "one\n")
        tree.store.fail("steps/x/log", fault)
        await tree.append("steps/x/log", "two\n")
        assert await tree.cat("steps/x/log") == "one\ntwo\n"


@pytest.mark.parametrize("name", ["hold", "after", "owner", "wait", "after.json"])
async def test_names_of_our_own_are_no_plain_files(tmp_path: Path, name: str) -> None:
    async with grown(tmp_path) as tree:
        directory = await tree.directory("steps/x")
        with refused(EPERM, f"steps/x/{name}"):
            await directory.create(name, REPLACE, caller())


@pytest.mark.parametrize("name", [".foo", ".git", "a\nb", "a\udcff", " "])
async def test_names_no_file_may_have(tmp_path: Path, name: str) -> None:
    async with grown(tmp_path) as tree:
        with refused(ENOENT):
            await tree.node(f"steps/x/{name}")
        with refused(EINVAL):
            await (await tree.directory("steps/x")).create(name, REPLACE, caller())


async def test_directories_and_links_are_not_kept_in_a_step(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        with refused(EPERM, "artifacts/"):
            await tree.mkdir("steps/x/sub")
        with refused(EPERM):
            await (await tree.directory("steps/x")).symlink("l", "t", caller())


async def test_what_cannot_be_renamed(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "mine\n")
        await tree.write("steps/x/log", "x\n")
        with refused(EPERM, "others wait for it by this id"):
            await tree.mv("steps/x", "steps/y")
        for name in ("claim", "status", "hold"):
            with refused(EPERM):
                await tree.mv(f"steps/x/{name}", "steps/x/other")
        with refused(EXDEV):
            await tree.mv("steps/x/log", "steps/y/log")
        with refused(EXDEV):
            await tree.mv("steps/x/log", "memory/log")


async def test_other_spellings_are_links_to_the_folded_one(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/Design.V1/claim", "mine\n")
        steps = await tree.directory("steps")
        link = await steps.lookup("Design.V1", caller())
        assert isinstance(link, Link)
        assert link.target == "design-v1"
        assert await tree.ls("steps") == ["design-v1"]


@pytest.mark.parametrize("name", [".x", "_x", " ", "a\nb", "x" * 201, "a\udcff"])
async def test_names_that_are_no_step(tmp_path: Path, name: str) -> None:
    async with grown(tmp_path) as tree:
        with refused(ENOENT if name == ".x" else EINVAL):
            await tree.node(f"steps/{name}")
        with refused(EINVAL, "is no step id"):
            await tree.mkdir(f"steps/{name}")


async def test_removing_a_step(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "mine\n")
        await tree.write("steps/x/log", "x\n")
        await tree.write("steps/x/handoff", "x\n")
        with refused(ENOTEMPTY, "still has"):
            await tree.rmdir("steps/x")
        with refused(EPERM):
            await tree.rmdir("steps/x", by="b")
        for name in await tree.ls("steps/x"):  # rm -r
            await tree.rm(f"steps/x/{name}")
        await tree.rmdir("steps/x")
        assert documents(tree.store) == []


@pytest.mark.parametrize("capabilities", [None, NO_DELETE], ids=["delete", "tombstone"])
async def test_what_is_left_of_a_claim_does_not_keep_a_step(
    tmp_path: Path, capabilities: object
) -> None:
    store = MemoryStore(NO_DELETE) if capabilities else MemoryStore()
    place(store, CLAIM, agent="b", id="t1", nonce="n", generation=1)  # it landed late
    place(store, STATUS, status="pending", agent="c", claim="t2", generation=2)
    async with grown(tmp_path, store) as tree:
        with refused(ENOENT):
            await tree.node("steps/x/claim")
        assert await tree.ls("steps/x") == ["status"]
        await tree.rm("steps/x/status")
        assert await tree.cat("steps/x/status") == "pending\n", "the claim did not come back"
        await tree.rmdir("steps/x")
        assert capabilities or documents(store) == []


async def test_reference_s_steps_are_shown(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_claims(store, "r")
    async with grown(tmp_path, store) as tree:
        assert await tree.cat("steps/x/owner") == "r\n"
        assert (await tree.cat("steps/x/claim")).startswith("r\nclaimed 2026-03-22T15:00:00")
        reference_status(store, "complete", "r")
        await trio.sleep(1)
        place(
            store, "steps/x/handoff.json", from_agent="r", from_step="X", note="n", created_at="t"
        )
        assert await tree.cat("steps/x/status") == "complete\n"
        assert await tree.cat("steps/x/handoff") == "n\n"
        with refused(EPERM, "finished by r"):
            await tree.rm("steps/x/claim")


async def test_empty_claim_directory_of_mkdir(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        made = await (await tree.directory("steps/x")).mkdir("claim", caller())
        assert list(await made.entries(caller())) == []
        with refused(EINVAL):
            await made.lookup("note", caller())
