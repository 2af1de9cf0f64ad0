"""Mail arrives, whether it was sent and is read by `tracecraft` or in the tree."""

import json
import re

from tests.interop.fleet import Fleet


def lines(inbox: str) -> list[str]:
    """Return the lines of an inbox without their times."""
    return [re.sub(r"^\[\S+\] ", "", line) for line in inbox.splitlines()]


def direct(inbox: str) -> list[str]:
    """Return what is for one agent in its inbox; broadcasts are of all tests."""
    kind = "(direct) "
    return [line.removeprefix(kind) for line in lines(inbox) if line.startswith(kind)]


def test_mail_of_the_command_line_is_a_line_of_the_inbox_and_a_file(fleet: Fleet) -> None:
    tree, reference = fleet.tree, fleet.reference
    reference.out("send", "reader", "the API is up")
    assert direct(tree.out("cat messages/reader/inbox")) == ["cli: the API is up"]
    name = tree.out("ls messages/reader | grep -v inbox").strip()
    assert re.fullmatch(r"\d{19}_cli_[0-9a-f]{8}|\d{10}_cli", name)
    letter = tree.out(f"cat messages/reader/{name}")
    assert re.fullmatch(r"From: cli\nDate: \S+\nTo: reader\n\nthe API is up\n", letter)


def test_mail_of_the_tree_is_in_the_inbox_of_the_command_line(fleet: Fleet) -> None:
    fleet.tree.out("mkdir messages/box")
    fleet.tree.out("echo 'the contract' >> messages/box/inbox")
    fleet.tree.out("{ echo two; echo lines; } > messages/box/inbox")
    fleet.tree.out("printf '  no newline' > messages/box/note.txt")
    said = fleet.reference.out("inbox", agent="box")
    assert direct(said) == ["tree: the contract", "tree: two", "tree:   no newline"]
    assert "(direct) tree: two\nlines\n" in re.sub(r"\[\S+\] ", "", said)


def test_inbox_of_the_command_line_and_of_the_tree_are_the_same_text(
    fleet: Fleet, newest: bool
) -> None:
    tree, reference = fleet.tree, fleet.reference
    reference.out("send", "same", "first")
    tree.out("echo second >> messages/same/inbox; echo all >> messages/_broadcast/inbox")
    reference.out("send", "same", "third", agent="same_too")
    ours = tree.out("cat messages/same/inbox").splitlines()
    theirs = reference.out("inbox", agent="same").splitlines()
    # The older one sorts by keys, and prints broadcasts at the end.
    assert (ours if newest else sorted(ours)) == (theirs if newest else sorted(theirs))
    expected = ["cli: first", "tree: second", "same_too: third"]
    assert direct("\n".join(ours)) == expected


def test_broadcast_of_either_reaches_everybody_but_its_sender(fleet: Fleet) -> None:
    tree, reference = fleet.tree, fleet.reference
    tree.out("mkdir messages/crowd")
    reference.out("send", "_broadcast", "from the command line")
    tree.out("echo 'from the tree' >> messages/_broadcast/inbox")
    there, here = "(broadcast) cli: from the command line", "(broadcast) tree: from the tree"
    readers = {"crowd": {there, here}, "tree": {there}, "cli": {here}}
    for agent, expected in readers.items():
        for inbox in (
            tree.out(f"cat messages/{agent}/inbox"),
            reference.out("inbox", agent=agent),
        ):
            assert {line for line in lines(inbox) if "from the" in line} == expected


def test_message_about_a_step_is_so_for_the_other(fleet: Fleet, newest: bool) -> None:
    tree, reference = fleet.tree, fleet.reference
    tree.out("mkdir messages/thread; printf 'Step: S1.A\\n\\nready\\n' >> messages/thread/inbox")
    said = direct(reference.out("inbox", agent="thread"))
    assert said == ["tree [step S1.A]: ready" if newest else "tree: ready"]
    if newest:
        reference.out("send", "thread", "thanks", "--step", "S1.A")
        seen = tree.out("cat messages/thread/inbox")
        assert direct(seen)[-1] == "cli [step S1.A]: thanks"
        letter = tree.out("cat messages/thread/*_cli_*")
        assert re.fullmatch(r"From: cli\nDate: \S+\nTo: thread\nStep: S1.A\n\nthanks\n", letter)


def test_new_mail_of_the_tree_is_shown_once_by_inbox_new(fleet: Fleet, newest: bool) -> None:
    tree, reference = fleet.tree, fleet.reference
    if not newest:
        assert "no such option" in reference.refusal("inbox", "--new").lower()
        return
    reference.out("inbox", "--new", agent="fresh")
    tree.out("mkdir messages/fresh; echo one >> messages/fresh/inbox")
    tree.out("echo two >> messages/_broadcast/inbox")
    said = lines(reference.out("inbox", "--new", agent="fresh"))
    assert said == ["(direct) tree: one", "(broadcast) tree: two"]
    assert reference.out("inbox", "--new", agent="fresh") == "No new messages.\n"
    assert "_cursor" not in tree.out("ls messages/fresh")
    tree.out("echo three >> messages/fresh/inbox")
    assert lines(reference.out("inbox", "--new", agent="fresh")) == ["(direct) tree: three"]
    assert direct(tree.out("cat messages/fresh/inbox")) == ["tree: one", "tree: three"]


def test_mail_deleted_by_either_is_gone_for_the_other(fleet: Fleet) -> None:
    tree, reference = fleet.tree, fleet.reference
    tree.out("mkdir messages/clean; echo one >> messages/clean/inbox")
    assert "tree: one" in reference.out("inbox", "--delete", agent="clean")
    assert direct(tree.out("cat messages/clean/inbox")) == []
    reference.out("send", "clean", "two")
    tree.out("rm as/clean/messages/clean/*")
    assert direct(reference.out("inbox", agent="clean")) == []


def test_mail_to_an_agent_only_the_command_line_made_can_be_sent(fleet: Fleet) -> None:
    refused = fleet.tree.sh("echo hi >> messages/typo/inbox")
    assert "No such file" in refused.stderr
    fleet.tree.out("echo hi >> messages/cli/inbox")
    assert "tree: hi" in direct(fleet.reference.out("inbox"))


def test_keys_of_the_oldest_command_line_are_mail_in_the_order_they_were_sent(
    fleet: Fleet,
) -> None:
    tree, reference = fleet.tree, fleet.reference
    reference.out("send", "old", "second", agent="with_under_scores")
    tree.out("echo third >> messages/old/inbox")
    document = {"from": "a_b", "to": "old", "message": "first"}
    first = document | {"sent_at": "2026-01-01T00:00:00+00:00"}
    fleet.put("messages/old/1767225600_a_b.json", json.dumps(first).encode())
    expected = ["a_b: first", "with_under_scores: second", "tree: third"]
    assert direct(tree.out("cat messages/old/inbox")) == expected
    assert "From: a_b\n" in tree.out("cat messages/old/1767225600_a_b")
    assert "a_b: first" in reference.out("inbox", agent="old")


def test_exact_objects_of_mail_are_the_references(fleet: Fleet) -> None:
    fleet.tree.out("mkdir messages/exact; echo hello >> messages/exact/inbox")
    document = json.loads(fleet.tree.out("cat .tcfs/raw/messages/exact/*.json"))
    known = {"from": "tree", "to": "exact", "message": "hello"}
    assert document.items() >= known.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", document["sent_at"])
