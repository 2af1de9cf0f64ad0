"""Whole transcripts: all 23 kinds go, however they are wrapped and cut, and nothing else does."""

import json
import re
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcfs.mirror.redaction import SLICE, Redactor, slices
from tests.mirror.fake_secrets import Fakes, fakes, left, nested, transcript

MARK = re.compile(rb"\[REDACTED:([a-z0-9-]+)\]")
KEY = b"a key of the mount's own"


def redacted(lines: Iterable[bytes]) -> bytes:
    return b"".join(Redactor().lines(lines))


def is_original_but_for_marks(original: bytes, redaction: bytes) -> bool:
    """Tell whether putting something in place of each mark can give the original again."""
    rest = original
    first, *others = MARK.sub(b"\0", redaction).split(b"\0")
    if not rest.startswith(first):
        return False
    rest = rest[len(first) :]
    for between in others:
        position = rest.find(between, 1) if between else len(rest)
        if position < 1:
            return False
        rest = rest[position + len(between) :]
    return not rest


def coloured(text: str) -> str:
    """Return `text` as `grep --color` and `ls` print: with colours between and inside words."""
    return re.sub(
        r"(?m)^([^=\n]*=?)(.{5})", "\x1b[35m\\1\x1b[m\x1b[01;31m\x1b[K\\2\x1b[m\x1b[K", text
    )


@pytest.mark.parametrize("seed", range(20))
def test_all_kinds_go_from_a_transcript(seed: int) -> None:
    of = fakes(seed)
    lines = transcript(of)
    assert len(left(of, b"".join(lines))) == 23
    for line in lines:
        json.loads(line)
    redaction = redacted(lines)
    assert left(of, redaction) == []
    assert is_original_but_for_marks(b"".join(lines), redaction)


@pytest.mark.parametrize("depth", range(7))
def test_all_kinds_go_from_json_in_json(depth: int) -> None:
    of = fakes(depth)
    line = nested(of.environment + of.key, depth)
    redaction = redacted([line])
    assert left(of, redaction) == []
    assert is_original_but_for_marks(line, redaction)
    value = json.loads(redaction)
    for _ in range(depth):  # it is JSON still, at every depth
        value = json.loads(value["payload"])
    assert value["output"].startswith("OPENAI_API_KEY=[REDACTED:openai]\n")


@pytest.mark.parametrize("depth", range(4))
def test_all_kinds_go_when_they_are_coloured(depth: int) -> None:
    of = fakes(depth)
    text = coloured(of.environment + of.key)
    assert any(of.values[name] not in text for name in of.values)
    line = nested(text, depth)
    redaction = redacted([line])
    bare = re.sub(rb"\\+u001b\[[0-9;]*[mK]", b"", redaction)
    assert left(of, bare) == []
    assert is_original_but_for_marks(line, redaction)
    json.loads(redaction)


def test_all_kinds_go_from_lines_that_do_not_parse() -> None:
    of = fakes(3)
    lines = (of.environment + of.key).encode().splitlines(keepends=True)
    assert left(of, redacted(lines)) == []
    cut = nested(of.environment + of.key, 2)[:-20]
    with pytest.raises(ValueError, match="Unterminated string"):
        json.loads(cut)
    assert left(of, redacted([cut])) == []


@pytest.mark.parametrize("seed", range(5))
def test_every_secret_that_a_tool_cut_short_goes_as_far_as_it_is_there(seed: int) -> None:
    of = fakes(seed)
    for name, value in of.values.items():
        line = nested(f"{name}={value[: len(value) * 9 // 10]}", 1)
        secret = of.secrets[name][0]
        if name == "AWS_ACCESS_KEY_ID":
            continue  # no secret by itself; of another length it is any word in capitals
        assert secret[: len(secret) // 2].encode() not in redacted([line]), name


def flushes(data: bytes, cuts: Iterable[int]) -> list[list[bytes]]:
    """Return the whole lines of each flush, where what is there ends at one of `cuts` each time."""
    done = 0
    groups = []
    for cut in (*sorted(cuts), len(data)):
        end = data.rfind(b"\n", 0, cut) + 1
        if end > done:
            groups.append(data[done:end].splitlines(keepends=True))
            done = end
    return groups


def keys_over_lines(of: Fakes) -> list[bytes]:
    """Return a transcript in which keys are spread over lines, as streams and plain files are."""
    half = len(of.key) // 2
    return [
        *transcript(of)[:2],
        json.dumps({"delta": of.key[:half]}).encode() + b"\n",
        json.dumps({"delta": of.key[half:]}).encode() + b"\n",
        *(line.encode() + b"\n" for line in of.key.splitlines()),
        *transcript(of),
    ]


def test_a_cut_into_two_flushes_anywhere_changes_nothing() -> None:
    data = b"".join(keys_over_lines(fakes(7)))
    whole = redacted(data.splitlines(keepends=True))
    starts = {0, *(position + 1 for position, byte in enumerate(data) if byte == 0x0A)}
    for cut in sorted(starts | set(range(0, len(data), 97))):
        redactor = Redactor(key=KEY)
        joined = b""
        for lines in flushes(data, [cut]):
            # Each flush is another process that has nothing but the digests.
            redactor = Redactor(key=KEY, seen=redactor.digests())
            joined += b"".join(redactor.lines(lines))
        assert joined == whole


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1000), st.lists(st.integers(0, 20000), max_size=12), st.booleans())
def test_any_cut_into_flushes_changes_nothing(seed: int, cuts: list[int], restarts: bool) -> None:
    of = fakes(seed)
    data = b"".join(keys_over_lines(of))
    redactor = Redactor(key=KEY)
    joined = b""
    for lines in flushes(data, cuts):
        if restarts:
            redactor = Redactor(key=KEY, seen=redactor.digests())
        for some in slices(lines, size=1000):
            joined += b"".join(redactor.lines(some))
    assert joined == redacted(data.splitlines(keepends=True))
    assert left(of, joined) == []


@settings(deadline=None, max_examples=150)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False), st.text(), st.integers()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.integers(0, 3),
    st.booleans(),
)
def test_json_stays_json_and_what_holds_no_secret_stays(
    value: object, depth: int, ascii_only: bool
) -> None:
    of = fakes(1)
    for _ in range(depth):
        value = json.dumps(value, ensure_ascii=ascii_only)
    plain = json.dumps({"is": value}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert Redactor().line(plain) == plain
    both = json.dumps({"is": value, "and": of.environment}).encode()
    redaction = Redactor().line(both)
    assert json.loads(redaction)["is"] == value
    assert left(of, redaction) == []


def test_counts_are_of_replacements_by_rule() -> None:
    of = fakes(2)
    redactor = Redactor()
    redaction = b"".join(redactor.lines(transcript(of)))
    found = [it.decode() for it in MARK.findall(redaction)]
    assert dict(redactor.counts) == {name: found.count(name) for name in set(found)}
    assert redactor.counts["github"] == 2


def test_what_is_redacted_is_left_alone_the_second_time() -> None:
    once = redacted(transcript(fakes(4)))
    assert redacted(once.splitlines(keepends=True)) == once


def test_slices_hold_whole_lines_in_order_and_no_more_than_asked() -> None:
    lines = [b"x" * size + b"\n" for size in (10, SLICE * 2, 5, 7, SLICE - 20, 100, 100)]
    groups = list(slices(lines))
    assert [line for group in groups for line in group] == lines
    assert all(sum(map(len, group)) <= SLICE or len(group) == 1 for group in groups)
    assert len(groups) < len(lines)
    assert list(slices([])) == []
