"""Mail: what lies in a mailbox, and how an inbox reads (tree.md, messages)."""

import json
from pathlib import Path

import pytest

from tcfs.project.errors import Invalid, MessageTooLong, Missing
from tcfs.project.mail import MAX_MESSAGE
from tcfs.wire.ids import BROADCAST, AgentId, Mailbox
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import A, B, mounted, place, present

pytestmark = pytest.mark.usefixtures("autojump_clock")

BOX = Mailbox(A)
T = 1_742_655_600  # 2025-03-22T15:00:00+00:00


def reference_sends(
    store: MemoryStore, to: str, sender: str, text: str, second: int, unique: str = "0123abcd"
) -> None:
    """As 0.2.5 does."""
    place(
        store,
        f"messages/{to}/{T + second}{0:09d}_{sender}_{unique}.json",
        **{"from": sender, "to": to, "message": text, "sent_at": f"2025-03-22T15:00:{second:02}Z"},
    )


async def inbox(project: object, box: Mailbox = BOX) -> list[str]:
    letters = await project.mail.inbox(box)  # type: ignore[attr-defined]
    return [it.message.text for it in letters]


async def test_message_is_one_object_under_its_time_and_sender(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        name = await project.mail.send(BOX, B, "hi", step="Design.v1")
    (key,) = store.stored()
    assert key == f"messages/a/{name}.json"
    time, sender, unique = name.split("_")
    assert (len(time), sender, len(unique)) == (19, "b", 8)
    found = present(store, key)
    assert (found["from"], found["to"], found["message"]) == ("b", "a", "hi")
    assert found["step"] == "Design.v1", "as written, as the reference does"
    assert found["id"]


async def test_messages_of_a_sender_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        monkeypatch.setattr(project.clock, "now", lambda: T * 10**9)  # a clock that stands
        for number in range(5):
            await project.mail.send(BOX, B, str(number))
        monkeypatch.setattr(project.clock, "now", lambda: (T - 60) * 10**9)  # or goes back
        await project.mail.send(BOX, B, "5")
        assert await inbox(project) == ["0", "1", "2", "3", "4", "5"]
    assert len(store.stored()) == 6


async def test_inbox_has_direct_mail_and_broadcasts_by_time(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_sends(store, "a", "b", "third", 3)
    reference_sends(store, "_broadcast", "b", "second", 2)
    reference_sends(store, "a", "c", "first", 1)
    async with mounted(store, tmp_path) as project:
        assert await inbox(project) == ["first", "second", "third"]
        assert await inbox(project, BROADCAST) == ["second"]
        kinds = [it.broadcast for it in await project.mail.inbox(BOX)]
    assert kinds == [False, True, False]


async def test_own_broadcasts_are_left_out_of_an_agents_own_inbox(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.mail.send(BROADCAST, A, "mine")
        await project.mail.send(BROADCAST, B, "theirs")
        store.requests.clear()
        assert await inbox(project) == ["theirs"]
        assert len(store.asked("GET")) == 1, "the key tells the sender"
        assert await inbox(project, BROADCAST) == ["mine", "theirs"]


async def test_sender_whose_id_has_underscores_is_known(tmp_path: Path) -> None:
    store = MemoryStore()
    agent = AgentId("a_b_c")
    async with mounted(store, tmp_path, agent) as project:
        await project.mail.send(BROADCAST, agent, "mine")
        assert await inbox(project, Mailbox(agent)) == []


async def test_keys_of_0_2_0_sort_by_when_they_were_sent(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_sends(store, "a", "b", "second", 2)
    for second, text in ((1, "first"), (3, "third")):
        place(
            store,
            f"messages/a/{T + second}_old.json",
            **{"from": "old", "message": text, "sent_at": f"2025-03-22T15:00:{second:02}+00:00"},
        )
    place(store, f"messages/a/{T + 4}_old.json", **{"from": "old", "message": "fourth"})
    async with mounted(store, tmp_path) as project:
        assert await inbox(project) == ["first", "second", "third", "fourth"]


async def test_bookkeeping_nested_and_foreign_objects_are_no_mail(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_sends(store, "a", "b", "hi", 1)
    for name in ("_cursor.json", "sub/1742655600000000000_b_0123abcd.json", "note.txt", "_x"):
        store.place(f"messages/a/{name}", b"{}")
    async with mounted(store, tmp_path) as project:
        assert await inbox(project) == ["hi"]
        with pytest.raises(Missing):
            await project.mail.letter(BOX, "_cursor")


async def test_unreadable_message_does_not_hide_the_others(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_sends(store, "a", "b", "hi", 5)
    store.place(f"messages/a/{T}{0:09d}_b_00000000.json", b"{")
    deep = b"[" * 300 + b"]" * 300
    store.place(f"messages/a/{T + 1}{0:09d}_b_00000000.json", b'{"message": ' + deep + b"}")
    store.place(f"messages/a/{T + 2}{0:09d}_b_00000000.json", json.dumps({"message": 1}).encode())
    async with mounted(store, tmp_path) as project:
        texts = await inbox(project)
    assert texts[2:] == ["1", "hi"]
    assert all(it.startswith("(not a message") for it in texts[:2])


async def test_repeated_attempt_sends_one_message(tmp_path: Path) -> None:
    """The key is fixed before the first attempt; the store repeats what is not conditional."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        store.fail("messages/*", Fault.DELAYED)
        with pytest.raises(Exception, match="no answer"):
            await project.mail.send(BOX, B, "hi")
        store.deliver()
        assert await inbox(project) == ["hi"]


async def test_limits(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.mail.send(BOX, B, "x" * MAX_MESSAGE)
        with pytest.raises(MessageTooLong, match="artifacts/"):
            await project.mail.send(BOX, B, "é" * (MAX_MESSAGE // 2 + 1))
        with pytest.raises(Invalid):
            await project.mail.send(BOX, B, "\ud800")
    assert len(store.stored()) == 1


async def test_message_that_was_not_there_a_moment_ago_is_found(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        name = f"{T + 1}{0:09d}_b_0123abcd"
        with pytest.raises(Missing, match="no message"):
            await project.mail.letter(BOX, name)
        reference_sends(store, "a", "b", "hi", 1)
        assert (await project.mail.letter(BOX, name)).message.text == "hi"


async def test_deleted_message_is_gone(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        name = await project.mail.send(BOX, B, "hi")
        assert (await project.mail.letter(BOX, name)).message.sender == "b"
        await project.mail.delete(BOX, name)
        with pytest.raises(Missing):
            await project.mail.letter(BOX, name)
        assert await inbox(project) == []
        assert not await project.mail.has_mail(BOX)
        await project.mail.delete(BOX, name)


async def test_boxes_are_those_that_have_an_object(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.mail.send(BOX, B, "hi")
        await project.mail.send(BROADCAST, B, "hi")
        assert await project.mail.boxes() == {"a", "_broadcast"}
        assert await project.mail.has_mail(BOX)
