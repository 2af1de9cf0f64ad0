"""`steps/<id>/`: every row of tree.md's table that does not block."""

import json
from errno import EEXIST, EINVAL, ENOENT, ENOTEMPTY, EPERM, EXDEV
from pathlib import Path

import pytest
import trio

from tcfs.stores import Denied
from tcfs.tree import File, Link, OpenMode
from tests.memory_store import NO_DELETE, Fault, MemoryStore
from tests.project.parties import CLAIM, STATUS, place, reference_claims, reference_status
from tests.tree.walk import APPEND, REPLACE, TOUCH, caller, grown, refused

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
        with refused(EPERM, "only the holder adds to the note"):
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
        assert tree.store.stored() == []


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
        with refused(EINVAL):
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
        assert tree.store.stored() == []


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
        assert capabilities or store.stored() == []


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
