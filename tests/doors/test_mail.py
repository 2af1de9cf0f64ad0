"""Mail through both doors (tree.md, messages)."""

import json
import os
from errno import EINVAL, EISDIR, EMSGSIZE, ENOENT, EPERM, EXDEV

import pytest

from tests.doors.denied import denied
from tests.doors.hands import Door
from tests.doors.shell import Mounts

INBOX = "messages/developer/inbox"
NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

held_open = pytest.mark.mount_only("a command opens, writes and lets go at once")


@pytest.fixture
def reader(door: Door, x: str) -> str:
    """Return an agent that is registered and has no mail."""
    return registered(door, f"{x}-reader")


def registered(door: Door | Mounts, agent: str) -> str:
    door.designer.write(f"as/{agent}/agents/{agent}", "reading\n")
    return agent


def messages(door: Door | Mounts, reader: str) -> list[dict[str, str]]:
    keys = door.bucket.keys(f"messages/{reader}/")
    return [json.loads(door.bucket.body(key) or b"") for key in keys]


def lines(text: str) -> list[str]:
    return [it.partition("] ")[2] for it in text.splitlines()]


def test_message_is_a_line_of_the_inbox(door: Door, reader: str) -> None:
    """`>>` and `>` to `inbox`, and any new name, send one message."""
    door.designer.append(f"messages/{reader}/inbox", "hello\n")
    door.designer.write(f"messages/{reader}/inbox", "and\nmore\n")
    door.developer.write(f"messages/{reader}/note.txt", "a file\n")
    door.developer.append(f"messages/{reader}/inbox", "")
    assert [(it["from"], it["message"]) for it in messages(door, reader)] == [
        ("designer", "hello"),
        ("designer", "and\nmore"),
        ("developer", "a file"),
    ]
    shown = door.developer.read(f"messages/{reader}/inbox").splitlines()
    assert lines("\n".join(it for it in shown if it.startswith("["))) == [
        "(direct) designer: hello",
        "(direct) designer: and",
        "(direct) developer: a file",
    ]
    assert "    more" in shown
    assert "note.txt" not in door.developer.ls(f"messages/{reader}")


def test_one_final_newline_is_taken_off_and_no_more(door: Door, reader: str) -> None:
    door.designer.append(f"messages/{reader}/inbox", "hi\n\n")
    assert [it["message"] for it in messages(door, reader)] == ["hi\n"]


def test_step_line_threads_a_message(door: Door, reader: str) -> None:
    """If all lines before a first blank line are `Step:` lines, they thread the message to a
    step."""
    door.designer.append(f"messages/{reader}/inbox", "Step: Design.v1\n\nready\n")
    door.designer.append(f"messages/{reader}/inbox", "Step: x\n\n")
    found = [(it["step"], it["message"]) for it in messages(door, reader)]
    assert found == [("Design.v1", "ready"), ("x", "")]
    shown = door.developer.read(f"messages/{reader}/inbox")
    assert "(direct) designer [step Design.v1]: ready\n" in shown


def test_broadcast_is_everybody_s_but_one_s_own(door: Door, reader: str, x: str) -> None:
    """An inbox shows direct mail and everybody's broadcasts but one's own, by time."""
    door.designer.append("messages/_broadcast/inbox", f"release {x}\n")
    door.designer.append(f"messages/{reader}/inbox", f"direct {x}\n")
    shown = [it for it in lines(door.developer.read(f"messages/{reader}/inbox")) if x in it]
    assert shown == [f"(broadcast) designer: release {x}", f"(direct) designer: direct {x}"]
    assert f"release {x}" not in door.designer.read("messages/designer/inbox")
    everybody_s = door.developer.read("messages/_broadcast/inbox")
    assert f"(broadcast) designer: release {x}\n" in everybody_s


def test_terminal_obeys_nothing_in_a_message(door: Door, reader: str) -> None:
    """Control characters are shown escaped."""
    door.designer.append(f"messages/{reader}/inbox", "\x1b[2Jone\n")
    assert "designer: \\x1b[2Jone\n" in door.developer.read(f"messages/{reader}/inbox")


@pytest.mark.mount_only("a command remembers no size")
def test_inbox_has_the_size_it_had_when_it_was_last_opened(mounted: Mounts, x: str) -> None:
    reader = registered(mounted, x)
    mounted.designer.append(f"messages/{reader}/inbox", "to dev\n")
    size = len(mounted.developer.read(f"messages/{reader}/inbox"))
    assert mounted.developer.stat(f"messages/{reader}/inbox").size == size


def test_mailbox_is_there_for_who_is_registered_or_has_mail(
    door: Door, reader: str, x: str
) -> None:
    """A mailbox is there when its agent is registered, has mail, or it was made with `mkdir`."""
    with denied(ENOENT, command=f"mkdir messages/{x} makes it"):
        door.designer.append(f"messages/{x}/inbox", "hello\n")
    door.bucket.place(f"messages/{x}/1742655600000000000_b_0123abcd.json", b'{"message": "hi"}')
    door.bucket.place("messages/.odd/x.json", b"{}")
    listed = door.designer.ls("messages")
    assert {"_broadcast", "developer", reader, x} <= set(listed)
    assert listed == sorted(listed)
    assert ".odd" not in listed
    door.designer.append(f"messages/{x}/inbox", "hello\n")


@pytest.mark.mount_only("what a command makes, it would have to keep")
def test_mailbox_that_was_made_is_there_until_it_is_removed(mounted: Mounts, x: str) -> None:
    hand = mounted.designer
    hand.mkdir(f"messages/{x}")
    assert x in hand.ls("messages")
    hand.append(f"messages/{x}/inbox", "hi\n")
    hand.rmdir(f"messages/{x}")
    assert [it["message"] for it in messages(mounted, x)] == ["hi"]
    with denied(EPERM, "is there as long as the agent is"):
        hand.rmdir("messages/developer")


@pytest.mark.parametrize("name", [".x", "_x", "a\udcff", "a\nb", "x" * 201])
def test_what_is_no_agent_has_no_mailbox(door: Door, name: str) -> None:
    with denied(EINVAL, "an agent id "):
        door.designer.mkdir(f"messages/{name}")
    for act in (door.designer.stat, door.designer.ls):
        with denied(ENOENT):
            act(f"messages/{name}")
    with denied(ENOENT):
        door.designer.append(f"messages/{name}/inbox", "hi\n")


def test_mailbox_itself_is_a_directory(door: Door) -> None:
    with denied(EISDIR):
        door.designer.append("messages/developer", "hello\n")


def test_message_is_text_of_a_mebibyte(door: Door, reader: str) -> None:
    """A message has at most 1 MiB."""
    with denied(EMSGSIZE, "share a file in artifacts/"):
        door.designer.append(f"messages/{reader}/inbox", b"x" * ((1 << 20) + 1))
    with denied(EINVAL, "UTF-8"):
        door.designer.append(f"messages/{reader}/inbox", b"\xff\n")
    assert messages(door, reader) == []
    door.designer.append(f"messages/{reader}/inbox", b"x" * (1 << 20))
    assert [len(it["message"]) for it in messages(door, reader)] == [1 << 20]


def test_message_is_a_letter_and_an_exact_object(door: Door, reader: str) -> None:
    door.designer.append(f"messages/{reader}/inbox", "Step: x\n\nhi\n")
    inbox, name = door.developer.ls(f"messages/{reader}")
    assert inbox == "inbox"
    letter = door.developer.read(f"messages/{reader}/{name}")
    head, _, text = letter.partition("\n\n")
    assert [line.split(":")[0] for line in head.splitlines()] == ["From", "Date", "To", "Step"]
    assert text == "hi\n"
    assert door.developer.stat(f"messages/{reader}/{name}").size == len(letter)
    exact = json.loads(door.developer.read(f"messages/{reader}/{name}.json"))
    assert (exact["message"], exact["from"]) == ("hi", "designer")
    with denied(EPERM, "without .json"):
        door.developer.write(f"messages/{reader}/{name}.json", "{}")


def test_message_another_tool_sent_is_found_by_name(door: Door, reader: str) -> None:
    path = f"messages/{reader}/1742655600000000000_b_0123abcd"
    with denied(ENOENT):
        door.designer.read(path)
    door.bucket.place(f"{path}.json", b'{"message": "hi", "from": "b"}')
    assert door.designer.read(path).endswith("\n\nhi\n")
    assert "(direct) b: hi\n" in door.designer.read(f"messages/{reader}/inbox")


def test_reader_removes_a_message_and_nobody_else(door: Door, reader: str) -> None:
    """A message is removed by its reader only; a broadcast by nobody."""
    door.designer.append(f"messages/{reader}/inbox", "secret\n")
    door.designer.append("messages/_broadcast/inbox", "to all\n")
    _, name = door.designer.ls(f"messages/{reader}")
    with denied(EPERM, f"only {reader} removes its mail; you are designer"):
        door.designer.rm(f"messages/{reader}/{name}")
    everybody_s = door.designer.ls("messages/_broadcast")[-1]
    with denied(EPERM, "everybody's"):
        door.designer.rm(f"messages/_broadcast/{everybody_s}")
    door.designer.rm(f"messages/{reader}/inbox")
    assert len(messages(door, reader)) == 1, "it is a view, and removing it does nothing"
    door.designer.rm(f"as/{reader}/messages/{reader}/{name}")
    assert door.developer.ls(f"messages/{reader}") == ["inbox"]


def test_what_a_mailbox_refuses(door: Door, reader: str) -> None:
    box = f"messages/{reader}"
    for name in ("unread", "wait"):
        with denied(EPERM, f"/{name}"):
            door.designer.write(f"{box}/{name}", "hi\n")
    for name in (".x", "a\udcff", "a\nb"):
        with denied(EINVAL, ""):
            door.designer.write(f"{box}/{name}", "hi\n")
    with denied(EPERM, f">> /{box}/inbox"):
        door.designer.mkdir(f"{box}/sub")
    with denied(EPERM):
        door.designer.write(f"messages/{reader}.txt", "hi\n")
    assert messages(door, reader) == []


@held_open
def test_one_open_is_one_message_whatever_was_written(mounted: Mounts, x: str) -> None:
    """What is written between opening and the last close is one value, one message, one note."""
    reader = registered(mounted, x)
    with mounted.designer.opened(f"messages/{reader}/inbox", NEW) as inbox:
        inbox.write(b"one\n").sync()
        assert messages(mounted, reader) == [], "not before its opener lets go"
        inbox.write(b"two\n")
    assert [it["message"] for it in messages(mounted, reader)] == ["one\ntwo"]


@held_open
def test_killed_writer_sends_nothing(mounted: Mounts, x: str) -> None:
    reader = registered(mounted, x)
    mounted.designer.killed(f"messages/{reader}/inbox", "half\n", how=">>")
    assert messages(mounted, reader) == []


@pytest.mark.mount_only("what a command sent, it has no time to touch")
def test_name_that_was_sent_resolves_for_a_while(mounted: Mounts, x: str) -> None:
    hand, path = mounted.designer, f"messages/{registered(mounted, x)}/note.txt"
    hand.write(path, "a note\n")
    assert hand.read(path) == ""
    hand.touch(path)
    with denied(EINVAL, "another name"):
        hand.write(path, "again\n")
    hand.rm(path)
    hand.write(path, "again\n")
    hand.rm(path)
    assert [it["message"] for it in messages(mounted, x)] == ["a note", "again"]


@pytest.mark.mount_only("no command links or renames")
def test_what_is_sent_is_written(mounted: Mounts, x: str) -> None:
    box = f"messages/{registered(mounted, x)}"
    with denied(EPERM):
        mounted.designer.symlink(f"{box}/link", "target")
    mounted.designer.write(f"artifacts/shared/{x}", "hi\n")
    with denied(EXDEV):
        mounted.designer.rename(f"artifacts/shared/{x}", f"{box}/note")
    assert messages(mounted, x) == []
