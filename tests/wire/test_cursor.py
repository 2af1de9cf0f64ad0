"""The cursor: what it is written as, and that nothing is lost by moving it (wire.md)."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcfs.wire.cursor import GRACE, SEEN, Cursor, Stream
from tcfs.wire.ids import BROADCAST, AgentId, Mailbox

ME = AgentId("me")
BOX = Mailbox(ME)
PREFIX = "messages/me/"
T = 1_742_655_600_000_000_000
NEVER = 1 << 62  # a clock that holds no sender back

SECONDS = st.integers(0, 3 * GRACE // 10**9)


def key(seconds: int, unique: str = "0123abcd", sender: str = "b") -> str:
    return f"{PREFIX}{T + seconds * 10**9}_{sender}_{unique}.json"


def after(stream: Stream, *listed: str, now: int = NEVER) -> Stream:
    return stream.after(listed, BOX, now)


def test_document_is_what_was_read() -> None:
    stream = after(Stream(), key(0), key(1))
    cursor = Cursor(direct=stream, extra={"theirs": 1})
    document = json.loads(cursor.encode("2026-03-22T15:00:00+00:00"))
    assert document == {
        "direct": {
            "watermark": f"{PREFIX}{T + 10**9 - GRACE}",
            "seen": [key(0), key(1)],
        },
        "broadcast": {"watermark": None, "seen": []},
        "updated_at": "2026-03-22T15:00:00+00:00",
        "theirs": 1,
    }
    assert Cursor.parse(cursor.encode(""), ME) == cursor


def test_members_it_does_not_know_are_kept() -> None:
    body = b'{"direct": {"watermark": null, "seen": [], "a": 1}, "broadcast": null, "b": [2]}'
    cursor = Cursor.parse(body, ME)
    read = Cursor(direct=after(cursor.direct, key(1)))
    written = json.loads(cursor.merged(read).encode(""))
    assert (written["direct"]["a"], written["b"]) == (1, [2])


@pytest.mark.parametrize(
    "watermark",
    [None, 1, "", "zzz", f"{PREFIX}zzz", f"{PREFIX}\u0661", "messages/other/1742655600000000000"],
)
def test_watermark_that_is_none_hides_nothing(watermark: object) -> None:
    for member in (watermark, {"watermark": watermark, "seen": [key(1), 2]}):
        cursor = Cursor.parse(json.dumps({"direct": member}).encode(), ME)
        assert cursor.direct.watermark is None
        assert cursor.direct.is_new(key(0))


@pytest.mark.parametrize("leaf", [f"{T}", f"{T}_b_0123abcd.json", f"{T // 10**9}_b.json"])
def test_watermark_is_a_key_or_the_beginning_of_one(leaf: str) -> None:
    for member in (f"{PREFIX}{leaf}", {"watermark": f"{PREFIX}{leaf}"}):
        cursor = Cursor.parse(json.dumps({"direct": member}).encode(), ME)
        assert not cursor.direct.is_new(key(-1))
        assert cursor.direct.is_new(key(1))


def test_everybody_s_mailbox_has_its_own() -> None:
    cursor = Cursor.parse(json.dumps({"broadcast": f"messages/{BROADCAST}/{T}"}).encode(), ME)
    assert cursor.broadcast.watermark
    assert not cursor.direct.watermark


def test_keys_of_whole_seconds_move_it_as_well() -> None:
    old = f"{PREFIX}{T // 10**9}_b.json"
    stream = after(Stream(), old)
    assert stream.watermark == f"{PREFIX}{T - GRACE}"
    assert not stream.is_new(old)


def test_what_is_stamped_ahead_of_the_clock_does_not_carry_it_along() -> None:
    stream = after(Stream(), key(86400), now=T)
    assert stream.watermark == f"{PREFIX}{T - GRACE}"
    assert not stream.is_new(key(86400))


def test_as_many_keys_are_kept_as_the_reference_keeps() -> None:
    stream = after(Stream(), *(key(0, f"{it:08x}") for it in range(SEEN + 1)))
    assert len(stream.seen) == SEEN
    assert stream.is_new(key(0, f"{0:08x}")), "the oldest is shown again"


@given(st.lists(SECONDS), st.lists(SECONDS), st.lists(SECONDS))
def test_marks_join_in_any_order(first: list[int], second: list[int], third: list[int]) -> None:
    one, two, three = (after(Stream(), *map(key, it)) for it in (first, second, third))
    assert one.merged(two) == two.merged(one)
    assert one.merged(two).merged(three) == one.merged(two.merged(three))
    both = one.merged(two)
    assert both.merged(one) == both == both.merged(both)
    assert not any(both.is_new(key(it)) for it in (*first, *second))


@given(st.lists(SECONDS, unique=True), st.data())
@settings(max_examples=200)
def test_what_lands_in_any_order_within_the_grace_is_shown_once(
    stamps: list[int], data: st.DataObject
) -> None:
    """Two readers, one after the other or at the same time, and stamps out of order."""
    stream, shown, there = Stream(), list[str](), list[str]()
    newest = 0
    for stamp in stamps:
        newest = max(newest, stamp)
        # As late as a sender may be, and no later.
        late = data.draw(st.integers(0, GRACE // 10**9 - 1))
        there.append(key(max(0, newest - late), f"{stamp:08x}"))
        base = stream
        for _ in range(data.draw(st.integers(0, 2))):
            listed = [it for it in there if base.watermark is None or it > base.watermark]
            shown += [it for it in listed if stream.is_new(it)]
            stream = stream.merged(after(base, *listed))
    shown += [it for it in there if stream.is_new(it)]
    assert sorted(shown) == sorted(there)
