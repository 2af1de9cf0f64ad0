"""One read position, whether mail is read by `tracecraft inbox --new` or by `unread`."""

import json
import re
from collections.abc import Callable

from tests.interop.fleet import Fleet
from tests.mounts import family, is_reading, until

NOTHING = "No new messages.\n"


def theirs(fleet: Fleet) -> list[str]:
    """Return what `inbox --new` shows the agent `tree`, without the times."""
    out = fleet.reference.out("inbox", "--new", agent="tree")
    return [] if out == NOTHING else _without_times(out)


def ours(fleet: Fleet) -> list[str]:
    """Return what `unread` shows the agent `tree`, without the times."""
    return _without_times(fleet.tree.out("cat messages/tree/unread"))


def _without_times(shown: str) -> list[str]:
    return [re.sub(r"^\[\S+\] ", "", line) for line in shown.splitlines()]


def test_what_either_has_read_is_read_for_the_other(make_fleet: Callable[..., Fleet]) -> None:
    """`unread` and the reference's `inbox --new` move one cursor."""
    fleet = make_fleet("tree", "other")
    _, other = fleet.mounts
    reference = fleet.reference
    for number, (reader, again) in enumerate(((ours, theirs), (theirs, ours)) * 2):
        reference.out("send", "tree", f"direct {number}")
        reference.out("send", "_broadcast", f"all {number}")
        other.out(f"echo 'of a mount {number}' >> messages/tree/inbox")
        fleet.tree.out("echo 'my own' >> messages/_broadcast/inbox")
        # By two clocks, which need not agree to the second.
        assert sorted(reader(fleet)) == [
            f"(broadcast) cli: all {number}",
            f"(direct) cli: direct {number}",
            f"(direct) other: of a mount {number}",
        ]
        assert again(fleet) == []
        assert reader(fleet) == []


def test_cursor_is_one_document_for_both(make_fleet: Callable[..., Fleet]) -> None:
    fleet = make_fleet("tree")
    key = "messages/tree/_cursor.json"
    fleet.reference.out("send", "tree", "one")
    theirs(fleet)
    written_by_them = json.loads(fleet.get(key))
    fleet.reference.out("send", "tree", "two")
    fleet.reference.out("send", "_broadcast", "all")
    ours(fleet)
    written_by_us = json.loads(fleet.get(key))
    assert written_by_us.keys() == written_by_them.keys()
    assert set(written_by_us["direct"]["seen"]) > set(written_by_them["direct"]["seen"])
    fleet.reference.out("send", "tree", "three")
    assert theirs(fleet) == ["(direct) cli: three"]
    again = json.loads(fleet.get(key))
    for stream in ("direct", "broadcast"):
        assert again[stream]["seen"] == sorted(again[stream]["seen"])
        assert set(again[stream]["seen"]) >= set(written_by_us[stream]["seen"])
        assert again[stream]["watermark"] >= written_by_us[stream]["watermark"]


def test_reading_one_message_of_many_marks_nothing_for_the_other(
    make_fleet: Callable[..., Fleet],
) -> None:
    fleet = make_fleet("tree")
    for number in range(3):
        fleet.reference.out("send", "tree", f"{number}")
    fleet.tree.out("head -c 5 messages/tree/unread; cat messages/tree/inbox messages/tree/*_cli_*")
    assert theirs(fleet) == [f"(direct) cli: {it}" for it in range(3)]


def test_mail_of_the_command_line_ends_a_wait(make_fleet: Callable[..., Fleet]) -> None:
    fleet = make_fleet("tree")
    with fleet.tree.popen("cat messages/tree/wait") as waiting:
        until(lambda: any(is_reading(it, "wait") for it in family(waiting.pid)), "cat to block")
        fleet.reference.out("send", "tree", "wake up")
        assert waiting.communicate(timeout=20)[0].endswith("(direct) cli: wake up\n")
    assert theirs(fleet) == []
