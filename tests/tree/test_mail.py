"""`messages/`: writing sends, reading shows (tree.md)."""

import json
from errno import EINVAL, EMSGSIZE, ENOENT, EPERM, EXDEV
from pathlib import Path

import pytest
import trio

from tests.memory_store import MemoryStore
from tests.tree.walk import REPLACE, TOUCH, Tree, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def register(tree: Tree, *agents: str) -> None:
    for agent in agents:
        await tree.project.agents.register(caller(agent).agent)


def messages(tree: Tree, box: str = "dev") -> list[dict[str, str]]:
    keys = [key for key in tree.store.stored() if key.startswith(f"messages/{box}/")]
    return [json.loads(tree.store.body(key) or b"") for key in keys]


async def test_mailbox_is_there_for_who_is_registered_has_mail_or_was_made(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place("messages/old/1742655600000000000_b_0123abcd.json", b'{"message": "hi"}')
    store.place("messages/.odd/x.json", b"{}")
    async with grown(tmp_path, store) as tree:
        await register(tree, "dev")
        with refused(ENOENT, "mkdir messages/dve makes it"):
            await tree.append("messages/dve/inbox", "hi\n")
        await tree.mkdir("messages/new")
        assert await tree.ls("messages") == ["_broadcast", "dev", "new", "old"]
        await tree.append("messages/new/inbox", "hi\n")
        await tree.rmdir("messages/new")
        with refused(EPERM):
            await tree.rmdir("messages/dev")
        for name in (".x", "_x", "a\udcff", "a\nb"):
            with refused(ENOENT):
                await tree.node(f"messages/{name}")
            with refused(EINVAL):
                await tree.mkdir(f"messages/{name}")


async def test_one_open_is_one_message_whatever_was_written(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        handle = await tree.open("messages/dev/inbox", REPLACE)
        await handle.write(0, b"one\n")
        await handle.sync()
        assert messages(tree) == [], "not before its opener lets go"
        await handle.write(4, b"two\n")
        await handle.commit()
        await handle.commit()
        await tree.append("messages/dev/inbox", "three\n", by="b")
        await tree.append("messages/dev/inbox")
        assert [(it["from"], it["message"]) for it in messages(tree)] == [
            ("a", "one\ntwo"),
            ("b", "three"),
        ]


async def test_one_final_newline_is_taken_off_and_no_more(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        await tree.append("messages/dev/inbox", "hi\n\n")
        await tree.append("messages/dev/inbox", "Step: x\n\n")
        found = messages(tree)
        assert found[0]["message"] == "hi\n"
        assert (found[1]["step"], found[1]["message"]) == ("x", "")


async def test_step_header_threads(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        await tree.append("messages/dev/inbox", "Step: Design.v1\n\nready\n")
        assert messages(tree)[0]["step"] == "Design.v1"
        assert "(direct) a [step Design.v1]: ready\n" in await tree.cat("messages/dev/inbox")


async def test_inbox_shows_direct_and_broadcast_but_not_ones_own(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "a", "dev")
        await tree.append("messages/_broadcast/inbox", "to all\n")
        await tree.append("messages/dev/inbox", "to dev\n")
        dev = await tree.cat("messages/dev/inbox")
        assert [line.split(") ")[1] for line in dev.splitlines()] == ["a: to all", "a: to dev"]
        assert await tree.cat("messages/a/inbox") == ""
        assert await tree.size("messages/dev/inbox") == len(dev), "as last opened"
        assert "(broadcast) a: to all" in await tree.cat("messages/_broadcast/inbox")


async def test_any_new_name_sends_too_and_resolves_for_a_minute(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        await tree.write("messages/dev/note.txt", "a note\n")
        assert messages(tree)[0]["message"] == "a note"
        assert await tree.cat("messages/dev/note.txt") == ""
        with refused(EINVAL, "another name"):
            await tree.open("messages/dev/note.txt", REPLACE)
        await (await tree.node("messages/dev/note.txt")).set_times(caller())
        assert "note.txt" not in await tree.ls("messages/dev")
        await trio.sleep(61)
        with refused(ENOENT):
            await tree.node("messages/dev/note.txt")
        await tree.write("messages/dev/note.txt", "again\n")
        await tree.rm("messages/dev/note.txt")
        assert len(messages(tree)) == 2, "what was sent is sent"


async def test_names_that_were_sent_are_forgotten(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        for number in range(50):
            await tree.write(f"messages/dev/note{number}", "x\n")
            await trio.sleep(10)
        sent = tree.root._view.local.sent  # type: ignore[attr-defined]
        assert len(sent) <= 7


async def test_message_is_a_letter_and_an_exact_object(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        await tree.append("messages/dev/inbox", "Step: x\n\nhi\n")
        inbox, name = await tree.ls("messages/dev")
        assert inbox == "inbox"
        letter = await tree.cat(f"messages/dev/{name}")
        head, _, text = letter.partition("\n\n")
        assert [line.split(":")[0] for line in head.splitlines()] == ["From", "Date", "To", "Step"]
        assert text == "hi\n"
        assert await tree.size(f"messages/dev/{name}") == len(letter)
        assert json.loads(await tree.cat(f"messages/dev/{name}.json"))["message"] == "hi"
        with refused(EPERM):
            await tree.write(f"messages/dev/{name}.json", "{}")


async def test_mail_is_removed_by_whose_it_is(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        await tree.append("messages/dev/inbox", "hi\n")
        await tree.append("messages/_broadcast/inbox", "hi\n")
        (_, name), (_, all_) = await tree.ls("messages/dev"), await tree.ls("messages/_broadcast")
        with refused(EPERM, "only dev removes its mail; you are b"):
            await tree.rm(f"messages/dev/{name}", by="b")
        with refused(EPERM, "everybody's"):
            await tree.rm(f"messages/_broadcast/{all_}", by="dev")
        await tree.rm("messages/dev/inbox", by="b")
        await tree.rm(f"messages/dev/{name}", by="dev")
        assert await tree.ls("messages/dev") == ["inbox"]


async def test_what_a_mailbox_refuses(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        box = await tree.directory("messages/dev")
        with refused(EINVAL, "UTF-8"):
            await tree.append("messages/dev/inbox", b"\xff\n")
        with refused(EMSGSIZE, "artifacts/"):
            await tree.append("messages/dev/inbox", b"x" * ((1 << 20) + 1))
        for name in ("unread", "wait"):
            with refused(ENOENT):
                await box.lookup(name, caller())
            with refused(EPERM):
                await box.create(name, REPLACE, caller())
        for name in (".x", "a\udcff", "a\nb"):
            with refused(EINVAL):
                await box.create(name, REPLACE, caller())
        with refused(EPERM, ">> /messages/dev/inbox"):
            await box.mkdir("x", caller())
        with refused(EPERM):
            await box.symlink("x", "y", caller())
        with refused(EXDEV):
            await tree.mv("memory/x", "messages/dev/x")
        with refused(EPERM):
            await (await tree.directory("messages")).create("x", TOUCH, caller())
    assert messages(tree) == []


async def test_killed_writer_sends_nothing(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        handle = await tree.open("messages/dev/inbox", REPLACE)
        await handle.write(0, b"half\n")
        handle.discard()
        await handle.commit()
        assert messages(tree) == []


async def test_message_only_another_mount_has_seen_is_found_by_name(tmp_path: Path) -> None:
    store = MemoryStore()
    async with grown(tmp_path / "a", store) as one, grown(tmp_path / "b", store.other()) as two:
        await register(one, "dev")
        name = "1742655600000000000_b_0123abcd"
        with refused(ENOENT):
            await two.node(f"messages/dev/{name}")
        store.place(f"messages/dev/{name}.json", b'{"message": "hi", "from": "b"}')
        assert (await two.cat(f"messages/dev/{name}")).endswith("\n\nhi\n")
