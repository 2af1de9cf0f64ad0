"""A session's meta keeps what it does not know; the keys of parts are read one way only."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcfs.wire import Malformed, keys
from tcfs.wire.sessions import Part, SessionMeta

AT = "2026-03-22T15:00:00.123456+00:00"
PART = {
    "seq": 0,
    "uuid": "5545f2b1",
    "cursor_range": [0, 615],
    "source_bytes": 615,
    "uploaded_bytes": 528,
    "redactions": {"anthropic_key": 3},
    "uploaded_at": AT,
}
MERGED = {
    "seq": 0,
    "uuid": "e187b609",
    "compacted_from": 4,
    "uploaded_bytes": 993,
    "uploaded_at": AT,
}
META = {
    "schema_version": 1,
    "harness": "claude-code",
    "session_id": "0f9c3a52",
    "source_path": "/home/dev/.claude/projects/-srv-app/0f9c3a52.jsonl",
    "cwd": "/srv/app",
    "agent_id": "cli",
    "started_at": AT,
    "last_uploaded_at": AT,
    "ended_at": None,
    "total_source_bytes": 615,
    "total_uploaded_bytes": 528,
    "redaction_counts": {"anthropic_key": 3},
    "parts": [PART],
}

texts = st.text(st.characters(codec="utf-8"), max_size=10)
words = st.none() | texts
counts = st.integers(0, 2**53)
some = st.none() | counts
kinds = st.dictionaries(texts, counts, max_size=2)
strange = st.dictionaries(texts.map("x-".__add__), st.none() | counts | texts, max_size=3)
parts = st.builds(
    Part, seq=counts, uuid=st.from_regex("[0-9a-f]{8}", fullmatch=True),
    cursor_range=st.none() | st.lists(counts, min_size=2, max_size=2), source_bytes=some,
    uploaded_bytes=some, redactions=st.none() | kinds, uploaded_at=words, compacted_from=some,
    generation=some, extra=strange,
)  # fmt: skip


def meta(**members: Any) -> SessionMeta:
    return SessionMeta.parse(json.dumps(META | members).encode())


@given(
    st.builds(
        SessionMeta, harness=words, session_id=words, source_path=words, cwd=words, agent_id=words,
        started_at=words, last_uploaded_at=words, ended_at=words, total_source_bytes=counts,
        total_uploaded_bytes=counts, redaction_counts=kinds,
        parts=st.lists(parts, max_size=3).map(tuple), cursor=st.none() | kinds, generation=some,
        epoch=some, nonce=words, owner=st.none() | kinds, parent_session_id=words,
        client=words, extra=strange,
    ),
    st.integers(1, 5),
)  # fmt: skip
def test_meta_round_trips(document: SessionMeta, attempt: int) -> None:
    assert SessionMeta.parse(document.encode(attempt)) == document


def test_meta_of_the_reference_is_written_back_as_it_was() -> None:
    for document in (META, META | {"parts": [MERGED, PART], "last_compacted_at": AT}):
        assert json.loads(SessionMeta.parse(json.dumps(document).encode()).encode()) == document


def test_no_two_attempts_are_the_same_bytes() -> None:
    assert len({meta().encode(attempt) for attempt in (1, 2, 3)}) == 3


@pytest.mark.parametrize(
    "members",
    [
        {"parts": None},
        {"parts": "none"},
        {"parts": [PART, 7]},
        {"parts": [PART | {"seq": -1}]},
        {"parts": [PART | {"seq": True}]},
        {"parts": [PART | {"uuid": "../../ab"}]},
        {"parts": [{"seq": 0}]},
    ],
)
def test_parts_that_cannot_be_read_are_kept_as_they_were(members: dict[str, Any]) -> None:
    found = meta(**members)
    assert found.parts is None
    assert found.newest() is None
    assert json.loads(found.encode())["parts"] == members["parts"]


def test_members_of_other_types_are_read_as_missing() -> None:
    found = meta(cwd=7, total_uploaded_bytes="many", redaction_counts=[], generation=-1, nonce=[])
    assert (found.cwd, found.total_uploaded_bytes, found.generation) == (None, 0, None)
    assert (found.redaction_counts, found.nonce) == ({}, None)
    assert SessionMeta.parse(b"{}").parts is None
    for body in (b"[]", b"", b'"x"', b"{"):
        with pytest.raises(Malformed):
            SessionMeta.parse(body)


def test_newest_parts_are_by_sequence_number_and_of_one_generation() -> None:
    first, second, old = PART, PART | {"seq": 1}, PART | {"seq": 2, "generation": 0}
    newest = meta(parts=[second, first, old], generation=1).newest()
    assert [it.seq for it in newest or ()] == [0, 1]
    every = meta(parts=[second, old, first]).newest()
    assert [it.seq for it in every or ()] == [0, 1, 2]


@given(st.integers(0, 10**9), st.from_regex("[0-9a-f]{8}", fullmatch=True))
def test_name_of_a_part_round_trips(seq: int, uuid: str) -> None:
    leaf = keys.PartLeaf(seq, uuid)
    assert keys.part_leaf(str(leaf)) == leaf


@pytest.mark.parametrize(
    "name",
    [
        *("meta.json", "part-junk.jsonl", "part-0001-0123abcd.jsonl", "part-00001-0123abc.jsonl"),
        *("part-000001-0123abcd.jsonl", "part-00001-0123ABCD.jsonl", "part-00001-0123abcd.json"),
        *("sub/part-00001-0123abcd.jsonl", "part-\u0661\u0661\u0661\u0661\u0661-0123abcd.jsonl"),
        *("part-00001-0123abcd.jsonl\n", "part--0001-0123abcd.jsonl"),
    ],
)
def test_other_names_are_no_parts(name: str) -> None:
    assert keys.part_leaf(name) is None


def test_what_a_session_may_be_called() -> None:
    for name in ("0f9c", "main__2026", ".hidden", "_x", "a b", "é"):
        assert keys.is_session_name(name)
    for name in ("", ".", "..", "a/b", "a\nb", "a\x7f", "a\udcff", " "):
        assert not keys.is_session_name(name)
    assert keys.session_meta("codex", "x") == "sessions/codex/x/meta.json"
    assert keys.session("codex", "x") == "sessions/codex/x/"
    assert keys.harness("codex") == "sessions/codex/"
