"""Ids, keys and times: one form each, and back."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tcfs.wire import InvalidName, keys
from tcfs.wire.ids import (
    BROADCAST,
    MAX_ID,
    AgentId,
    Mailbox,
    agent_id,
    fresh,
    lock_id,
    mailbox,
    step_id,
)
from tcfs.wire.text import escaped, on_one_line
from tcfs.wire.times import iso, nanoseconds

names = st.text(max_size=30) | st.text(st.characters(codec="ascii"), max_size=10)

# What a terminal obeys, ends of lines, and what turns the letters around it.
CONTROLS = [
    *(
        "\t",
        "\n",
        "\r",
        "\x1b",
        "\x7f",
        "\x85",
        "\x9b",
        "\u2028",
        "\u2029",
        "\u061c",
        "\u200e",
        "\u200f",
    ),
    *("\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"),
]
REFUSED = [
    "", " ", "\t", "a/b", "/", ".a", ".", "..", "_a", "_", "a\nb", "a\x00", "a\x7fb", "a\x85b",
    "x" * (MAX_ID + 1), "é" * (MAX_ID // 2 + 1), "a\udcff", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_are_no_ids(name: str) -> None:
    """An id has 1 to 200 bytes of UTF-8, no `/`, no control characters, and does not begin with
    `.` or `_`."""
    with pytest.raises(InvalidName):
        agent_id(name)
    with pytest.raises(InvalidName):
        step_id(name)


@pytest.mark.parametrize("char", CONTROLS, ids=ascii)
def test_what_is_shown_escaped_is_in_no_name(char: str) -> None:
    """One set for both: what may be in a name is shown as it is."""
    name = f"a{char}b"
    assert char in "\t\n" or char not in escaped(name)
    for check in (agent_id, step_id, lock_id, mailbox, keys.memory_name):
        with pytest.raises(InvalidName):
            check(name)
    assert not keys.is_session_name(name)


# The joiners of emoji and of Persian turn nothing.
@pytest.mark.parametrize(
    "name", ["\u200d", "\u200c", "\u05d0", "\U0001f469\u200d\U0001f680"], ids=ascii
)
def test_letters_of_every_script_are_names_and_are_shown(name: str) -> None:
    assert agent_id(f"a{name}b") == on_one_line(f"a{name}b") == f"a{name}b"


@pytest.mark.parametrize("name", ["a", "a b", "A.b-c_d", "é", "日本", "x" * MAX_ID, "a:b*?", "-x"])
def test_names_that_are_ids(name: str) -> None:
    assert agent_id(name) == name


@given(names)
def test_folding_is_done_once(name: str) -> None:
    try:
        step = step_id(name)
    except InvalidName:
        return
    assert step_id(step) == step
    assert "." not in step
    assert keys.step_of(keys.claim(step)) == step


@pytest.mark.parametrize(("name", "folded"), [("Design.v1", "design-v1"), ("A", "a"), ("é", "é")])
def test_step_ids_fold_as_the_reference_s_do(name: str, folded: str) -> None:
    assert step_id(name) == folded


def test_the_broadcast_mailbox_is_the_only_name_with_an_underscore() -> None:
    assert mailbox("_broadcast") == BROADCAST
    assert mailbox("a") == "a"
    with pytest.raises(InvalidName):
        mailbox("_other")
    with pytest.raises(InvalidName):
        agent_id("_broadcast")


@pytest.mark.parametrize(
    ("key", "step"),
    [
        ("steps/x/claim.json", "x"),
        ("steps/x/note.txt", "x"),
        ("steps/x", None),
        ("steps/x/", None),
        ("steps/a/b/claim.json", None),
        ("steps/X/claim.json", None),
        ("steps/_x/claim.json", None),
        ("steps//claim.json", None),
        ("locks/x/claim.json", None),
    ],
)
def test_which_objects_make_a_step(key: str, step: str | None) -> None:
    assert keys.step_of(key) == step


# memory


@given(names)
def test_memory_name_comes_back_from_its_key(name: str) -> None:
    try:
        checked = keys.memory_name(name)
    except InvalidName:
        return
    assert keys.memory_of(keys.memory(checked)) == checked
    assert keys.memory(checked).count(".") == 1
    assert keys.memory_of(keys.history(checked) + "1_a_b.json") is None


@pytest.mark.parametrize(
    "name",
    ["", ".", "a.", ".a", "a..b", "a. .b", "_history", "_history.a", "a/b", "a\nb", "\ud800",
     "x" * 900],
)  # fmt: skip
def test_names_that_are_no_memory_keys(name: str) -> None:
    with pytest.raises(InvalidName):
        keys.memory_name(name)


@pytest.mark.parametrize("name", ["a", "a.b", "a._history", "_cursor", "a b", "a.json", "é.日本"])
def test_names_that_are_memory_keys(name: str) -> None:
    assert keys.memory_of(keys.memory(keys.memory_name(name))) == name


@pytest.mark.parametrize(
    "key", ["memory/_history/a/1_a_b.json", "memory/a.txt", "memory/a.b.json", "steps/a.json"]
)
def test_objects_that_are_no_values(key: str) -> None:
    assert keys.memory_of(key) is None


# append keys


@given(
    st.integers(10**18, 9 * 10**18),
    st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=20),
    st.integers(0, 2**32 - 1).map("{:08x}".format),
)
def test_append_leaf_comes_back(time: int, agent: str, unique: str) -> None:
    leaf = keys.AppendLeaf(time, agent, unique)
    assert keys.append_leaf(f"{leaf}.json") == leaf


def test_order_of_append_keys_is_the_order_of_time() -> None:
    times = [10**18 + 1, 10**18 + 2, 1_742_655_600 * 10**9, 9 * 10**18]
    leaves = [str(keys.AppendLeaf(time, "a", "0" * 8)) for time in times]
    assert leaves == sorted(leaves)


def test_leaf_of_0_2_0_has_seconds_and_no_unique_part() -> None:
    leaf = keys.append_leaf("1742655600_my_agent.json")
    assert leaf == keys.AppendLeaf(1_742_655_600 * 10**9, "my_agent", "")


@pytest.mark.parametrize(
    "name",
    ["_cursor.json", "x.json", "1742655600000000000.json", "12a_b_c.json", "1742655600_a", "",
     "\u0661742655600_a.json", "1742655600000000000_a.json"],
)  # fmt: skip
def test_names_that_are_no_append_keys(name: str) -> None:
    assert keys.append_leaf(name) is None


@pytest.mark.parametrize(
    ("name", "data"), [("a", True), ("a.json", True), ("_x", False), ("a/b", False), ("", False)]
)
def test_which_leaves_are_data(name: str, data: bool) -> None:
    assert keys.is_leaf(name) is data


def test_keys_are_what_the_layout_says() -> None:
    step = step_id("x")
    assert keys.claim(step) == "steps/x/claim.json"
    assert keys.status(step) == "steps/x/status.json"
    assert keys.handoff(step) == "steps/x/handoff.json"
    assert keys.agent(AgentId("a")) == "agents/a.json"
    assert keys.mail(Mailbox("a")) == "messages/a/"
    assert keys.memory("a.b") == "memory/a/b.json"
    assert keys.history("a.b") == "memory/_history/a/b/"


def test_fresh_ids_differ() -> None:
    assert len({fresh() for _ in range(1000)}) == 1000


# times


@given(st.integers(0, 4_000_000_000 * 10**6))
def test_time_comes_back_to_the_microsecond(microseconds: int) -> None:
    assert nanoseconds(iso(microseconds * 1000)) == microseconds * 1000


@given(st.text(max_size=30))
def test_no_text_for_a_time_is_a_surprise(text: str) -> None:
    assume(not text.isdigit())
    found = nanoseconds(text)
    assert found is None or isinstance(found, int)


@pytest.mark.parametrize("text", ["2025-03-22T15:00:00Z", "2025-03-22T15:00:00",
                                  "2025-03-22T16:00:00+01:00"])  # fmt: skip
def test_time_without_an_offset_is_utc(text: str) -> None:
    assert nanoseconds(text) == 1_742_655_600 * 10**9
