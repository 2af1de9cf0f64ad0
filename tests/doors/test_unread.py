"""`unread` and `wait` through both doors (tree.md, messages)."""

from errno import ENOENT, EPERM

import pytest

from tests.doors.denied import denied
from tests.doors.hands import Door


@pytest.fixture
def reader(door: Door, x: str) -> str:
    """Return the path of the mailbox of an agent, as that agent goes there."""
    agent = f"{x}-reader"
    door.designer.write(f"as/{agent}/agents/{agent}", "reading\n")
    door.developer.read(f"as/{agent}/messages/{agent}/unread")  # broadcasts of other tests
    return f"as/{agent}/messages/{agent}"


def texts(shown: str) -> list[str]:
    return [it.partition("designer: ")[2] for it in shown.splitlines()]


def test_unread_is_what_came_since_the_last_read(door: Door, reader: str) -> None:
    """`cat unread` shows what came since the last read, and marks it once it was read to the
    end."""
    inbox = f"{reader.partition('/')[2].partition('/')[2]}/inbox"
    door.designer.append(inbox, "one\n")
    door.designer.append("messages/_broadcast/inbox", "two\n")
    assert texts(door.developer.read(f"{reader}/unread")) == ["one", "two"]
    assert door.developer.read(f"{reader}/unread") == ""
    door.designer.append(inbox, "three\n")
    assert texts(door.designer.read(f"{reader}/wait")) == ["three"]
    assert door.designer.read(f"{reader}/unread") == ""
    assert "unread" not in door.designer.ls(reader)


def test_unread_is_read_by_whose_mailbox_it_is(door: Door, reader: str) -> None:
    """`unread` and `wait` are read by the agent whose mailbox it is, and in no other."""
    box = reader.partition("/")[2].partition("/")[2]
    for name in ("unread", "wait"):
        with denied(EPERM, "reads this, since it is marked as read then; you are developer"):
            door.developer.read(f"{box}/{name}")
        with denied(ENOENT):
            door.developer.read(f"messages/_broadcast/{name}")
        with denied(EPERM, "cannot be removed"):
            door.developer.rm(f"{reader}/{name}")
