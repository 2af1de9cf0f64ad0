"""Mail and agents through both doors (tree.md, messages and agents)."""

import json
from errno import EINVAL, EISDIR, EMSGSIZE, ENOENT, EPERM

from tests.doors.conftest import Door
from tests.doors.denied import denied


def test_message_is_a_line_of_the_inbox(door: Door, x: str) -> None:
    door.designer.append("messages/developer/inbox", f"hello {x}\n")
    door.designer.write("messages/developer/inbox", f"and {x}\n")
    lines = [it for it in door.developer.read("messages/developer/inbox").splitlines() if x in it]
    assert [it.partition("] ")[2] for it in lines] == [
        f"(direct) designer: hello {x}",
        f"(direct) designer: and {x}",
    ]


def test_message_under_any_new_name(door: Door, x: str) -> None:
    door.designer.write(f"messages/developer/{x}.txt", f"a file {x}\n")
    assert f"designer: a file {x}\n" in door.developer.read("messages/developer/inbox")


def test_step_line_threads_a_message(door: Door, x: str) -> None:
    door.designer.append("messages/developer/inbox", f"Step: {x}\n\nready\n")
    assert f"[step {x}]" in door.developer.read("messages/developer/inbox")


def test_broadcast_is_everybody_s_but_one_s_own(door: Door, x: str) -> None:
    door.designer.append("messages/_broadcast/inbox", f"release {x}\n")
    assert f"release {x}" in door.developer.read("messages/developer/inbox")
    assert f"release {x}" not in door.designer.read("messages/designer/inbox")


def test_mail_to_nobody_is_refused(door: Door, x: str) -> None:
    with denied(ENOENT):
        door.designer.append(f"messages/{x}/inbox", "hello\n")


def test_mailbox_itself_is_a_directory(door: Door) -> None:
    with denied(EISDIR):
        door.designer.append("messages/developer", "hello\n")


def test_message_is_text_of_a_mebibyte(door: Door) -> None:
    with denied(EMSGSIZE, "share a file in artifacts/"):
        door.designer.append("messages/developer/inbox", b"x" * ((1 << 20) + 1))
    with denied(EINVAL, "UTF-8"):
        door.designer.append("messages/developer/inbox", b"\xff\n")


def test_reader_removes_a_message_and_nobody_else(door: Door, x: str) -> None:
    before = set(door.developer.ls("messages/developer"))
    door.designer.append("messages/developer/inbox", f"secret {x}\n")
    (name,) = set(door.developer.ls("messages/developer")) - before
    path = f"messages/developer/{name}"
    assert door.developer.read(path).endswith(f"\n\nsecret {x}\n")
    assert json.loads(door.developer.read(f"{path}.json"))["from"] == "designer"
    with denied(EPERM, "only developer removes its mail"):
        door.designer.rm(path)
    door.developer.rm(path)
    assert name not in door.developer.ls("messages/developer")


def test_agent_says_of_itself_what_it_does(door: Door, x: str) -> None:
    door.designer.write("agents/designer", f"working on {x}\n")
    lines = door.developer.read("agents/designer").splitlines()
    assert (lines[0], lines[-1]) == ("active", f"working on {x}")
    with denied(EPERM, "only designer writes its summary"):
        door.developer.write("agents/designer", "asleep\n")
    assert {"designer", "developer"} <= set(door.developer.ls("agents"))


def test_agent_that_acts_by_the_path_is_registered(door: Door, x: str) -> None:
    door.designer.write(f"as/{x}/memory/{x}", "v\n")
    door.designer.append(f"messages/{x}/inbox", "welcome\n")
    assert x in door.designer.ls("agents")
