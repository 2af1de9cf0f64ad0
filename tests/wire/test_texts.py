"""The texts that people write and read: values, handoffs, mail."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tcfs.wire import Malformed, json
from tcfs.wire.documents import Handoff
from tcfs.wire.handoff import HandoffText, parse_text, show
from tcfs.wire.mail import Message
from tcfs.wire.mail import parse_text as parse_mail
from tcfs.wire.memory import MemoryValue, split_newline
from tcfs.wire.text import shown

texts = st.text(st.characters(codec="utf-8"), max_size=60)
lines = st.lists(
    st.sampled_from(
        ["To: b", "Next: do it", "To:", "Next: ", "", " ", "note", "Step: x", "To: b\r"]
    )
    | texts,
    max_size=6,
).map("\n".join)


@given(texts | lines)
@example("")
@example("\n")
@example("\n\n")
@example("v")
@example("v\n")
@example("\x00\x1b[31m\x7f\x85\u2028\r\n")
def test_bytes_of_a_value_round_trip(text: str) -> None:
    content = text.encode()
    value, newline = split_newline(content)
    stored = MemoryValue.parse(MemoryValue(value=value, set_by="a", newline=newline).encode())
    assert stored.content() == content


def test_final_newline_is_taken_off_for_the_command_line() -> None:
    assert split_newline(b"v\n") == ("v", True)
    assert split_newline(b"v\n\n") == ("v\n", True)
    assert split_newline(b"v") == ("v", False)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(Malformed, match="artifacts/"):
        split_newline(b"\xff\xfe")


@pytest.mark.parametrize(
    ("value", "content"),
    [(1, b"1\n"), (None, b"null\n"), ({"a": [True, "é"]}, '{"a":[true,"é"]}\n'.encode())],
)
def test_value_that_is_no_text_reads_as_compact_json(value: object, content: bytes) -> None:
    assert MemoryValue(value=value, set_by="a").content() == content


# handoff


def record(text: HandoffText) -> Handoff:
    return Handoff(
        from_agent="a", from_step="x", note=text.note, next_agent=text.next_agent,
        next_action=text.next_action,
    )  # fmt: skip


@given(lines | texts)
@example("To: x")
@example("To: b\nNext: c\n\nnote\n")
@example("To: b\n\nTo: c\n\nnote")
@example("\n\nnote")
def test_shown_handoff_is_read_back_as_it_was(text: str) -> None:
    meant = parse_text(text)
    assert parse_text(show(record(meant))) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", HandoffText("")),
        ("note\n", HandoffText("note")),
        ("one\n\ntwo\n", HandoffText("one\n\ntwo")),
        ("To: b\n\nnote\n", HandoffText("note", "b")),
        ("To: b\nNext: test it\n\nnote\n", HandoffText("note", "b", "test it")),
        ("To: b\n", HandoffText("", "b")),
        ("To: b", HandoffText("", "b")),
        ("Next: go\n\n", HandoffText("", None, "go")),
        ("To: b\nbut\n\nnote\n", HandoffText("To: b\nbut\n\nnote")),
        ("To:\n\nnote\n", HandoffText("To:\n\nnote")),
        ("to: b\n\nnote\n", HandoffText("to: b\n\nnote")),
    ],
)
def test_header_is_all_lines_before_the_first_blank_or_none(text: str, meant: HandoffText) -> None:
    assert parse_text(text) == meant


# mail


@given(texts | lines)
def test_mail_is_a_header_and_text_or_all_text(text: str) -> None:
    step, body = parse_mail(text)
    if step is None:
        assert body == text.removesuffix("\n")
    else:
        header, blank, rest = text.partition("\n\n")
        assert blank
        assert all(line.startswith("Step:") for line in header.split("\n"))
        assert body == rest.removesuffix("\n")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hi\n", (None, "hi")),
        ("hi\n\n", (None, "hi\n")),
        ("Step: Design.v1\n\nready\n", ("Design.v1", "ready")),
        ("Step: a\nStep: b\n\nready", ("b", "ready")),
        ("Step: a\n\n", ("a", "")),
        ("Step: a\n", (None, "Step: a")),
        ("Step:\n\nready", (None, "Step:\n\nready")),
        ("Step: a\nready\n\nx", (None, "Step: a\nready\n\nx")),
        ("", (None, "")),
    ],
)
def test_step_header(text: str, meant: tuple[str | None, str]) -> None:
    assert parse_mail(text) == meant


@given(texts, texts, texts)
def test_an_inbox_line_never_carries_a_control_character(sender: str, text: str, step: str) -> None:
    message = Message(sender=sender, to="a", text=text, sent_at="2026", step=step or None)
    shown = message.line(broadcast=False)
    assert shown.endswith("\n")
    assert all(char in "\n\t" or not ("\x00" <= char < " " or "\x7f" <= char < "\xa0")
               for char in shown)  # fmt: skip
    first, *rest = shown.removesuffix("\n").split("\n")
    assert first.startswith("[2026] (direct) ")
    assert len(rest) == text.count("\n")
    assert all(line.startswith("    ") for line in rest), "no line looks like another message"


def test_inbox_line_names_kind_sender_and_step() -> None:
    message = Message(sender="b", to="a", text="one\ntwo\x1b[2J", sent_at="2026", step="x")
    assert message.line(broadcast=True) == "[2026] (broadcast) b [step x]: one\n    two\\x1b[2J\n"
    assert message.letter() == "From: b\nDate: 2026\nTo: a\nStep: x\n\none\ntwo\\x1b[2J\n"


COMMANDS = "\x1b\x7f\x9b\u061c\u200f\u2028\u202e\u2066"


def test_json_that_is_shown_has_the_same_value_and_commands_nothing() -> None:
    value = {f"name{COMMANDS}": [f"one\ttwo\n{COMMANDS}", 1, None, "é"]}
    for text in (json.view(value).decode(), json.view_line(value)):
        assert json.load(text.encode()) == value
        assert not set(COMMANDS) & set(text)
        assert "é" in text
        assert "name\\u001b\\u007f\\u009b\\u061c\\u200f\\u2028\\u202e\\u2066" in text
    assert "\u202e" in json.dump(value).decode(), "a document is as it is"


def test_bytes_that_are_no_text_are_shown_escaped() -> None:
    assert shown(b"a\tb\n\xff\x9b\x1b[2J\xe2\x80\xae") == b"a\tb\n\\xff\\x9b\\x1b[2J\\u202e"
