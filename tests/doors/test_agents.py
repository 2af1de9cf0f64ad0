"""Agents through both doors: what they say of themselves, and who acts (tree.md, agents)."""

import json
import socket
from errno import EINVAL, ENOENT, EPERM

import pytest

from tests.doors.denied import denied
from tests.doors.hands import Door

HOST = socket.gethostname()


def test_agent_says_of_itself_what_it_does(door: Door, x: str) -> None:
    """Writing to one's own file sets the summary."""
    door.designer.write("agents/designer", f"working on {x}\n")
    # A heartbeat may have come, and said which step is held.
    text = door.developer.read("agents/designer")
    said = [line for line in text.splitlines() if not line.startswith("step ")]
    assert said == ["active", f"host {HOST}", f"working on {x}"]
    assert door.developer.stat("agents/designer").size == len(text)
    assert json.loads(door.developer.read("agents/designer.json"))["summary"] == f"working on {x}"
    assert {"designer", "developer"} <= set(door.developer.ls("agents"))
    door.designer.append("agents/designer", f"now on {x}\n")
    assert json.loads(door.developer.read("agents/designer.json"))["summary"] == f"now on {x}"


def test_nobody_speaks_for_another(door: Door, x: str) -> None:
    with denied(EPERM, "only designer writes its summary; you are developer"):
        door.developer.write("agents/designer", "asleep\n")
    with denied(EPERM, f"only {x} writes its summary"):
        door.developer.write(f"agents/{x}", "asleep\n")
    with denied(EPERM, "cannot be removed"):
        door.designer.rm("agents/designer")
    with denied(EPERM, "without .json"):
        door.designer.write("agents/designer.json", "{}\n")


def test_summary_is_a_little_text(door: Door) -> None:
    with denied(EINVAL, "UTF-8"):
        door.designer.write("agents/designer", b"\xff\n")
    with denied(EINVAL, "at most 4096 bytes"):
        door.designer.write("agents/designer", b"x" * 5000)


@pytest.mark.parametrize("name", ["nobody", "nobody.json", "_x", ".x", "a\udcff"])
def test_agent_nobody_has_heard_of_is_not_there(door: Door, name: str) -> None:
    with denied(ENOENT):
        door.designer.read(f"agents/{name}")


def test_path_says_who_acts(door: Door, x: str) -> None:
    """`as/<agent>/` decides who acts, else `TRACECRAFT_AGENT` in the environment of the opening
    process, else the mount."""
    door.designer.write(f"as/developer/steps/{x}/claim", "mine\n")
    assert door.designer.read(f"steps/{x}/owner") == "developer\n"
    with denied(EPERM, "held by developer"):
        door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.designer.read("as/developer/.tcfs/agent").startswith("developer\n")
    assert door.designer.read(".tcfs/agent").startswith("designer\n")


def test_agent_that_acts_by_the_path_is_registered(door: Door, x: str) -> None:
    door.designer.read(f"as/{x}/steps/{x}/status")
    assert x not in door.designer.ls("agents")
    door.designer.write(f"as/{x}/memory/{x}", "v\n")
    door.designer.append(f"messages/{x}/inbox", "welcome\n")
    assert x in door.designer.ls("agents")
    assert door.designer.read(f"agents/{x}").startswith("active\n")


def test_tree_of_another_has_no_others_in_it(door: Door, x: str) -> None:
    with denied(ENOENT):
        door.designer.ls(f"as/{x}/as")
    assert door.designer.ls("as") == []


@pytest.mark.parametrize("name", ["_x", ".x", "a\nb", "a\udcff", "x" * 201])
def test_what_is_no_agent_has_no_tree(door: Door, name: str) -> None:
    with denied(ENOENT):
        door.designer.ls(f"as/{name}")
