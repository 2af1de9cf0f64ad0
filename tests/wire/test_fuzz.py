"""Any bytes are a value or a declared error: see `tests.wire.fuzzed` for what must hold."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.wire.fuzzed import DOCUMENTS, TARGETS

BY_DOCUMENT = ("cursor", "json", *(kind.__name__.lower() for kind in DOCUMENTS))

# Members that any document may have, and that are then of any shape.
NAMES = [
    *sorted({name for kind in DOCUMENTS for name in kind.__dataclass_fields__}),
    *("from", "message", "status", "after", "attempt", "schema", "schema_version"),
    *("seconds", "renewed_at", "direct", "broadcast", "watermark", "seen", "updated_at"),
    *("cursor_range", "uuid", "seq", "compacted_from"),
]
anything = st.text(max_size=20) | st.sampled_from(
    [
        *("pending", "COMPLETE", "2026-03-22T15:00:00+00:00", "0001-01-01T00:00:00+23:59"),
        *("0123abcd", "messages/tester/1700000000000000000", "\x1b[2J", "\ud800", "../.."),
    ]
)
numbers = st.integers() | st.sampled_from(
    [2**53, 2**53 + 1, 2**63, 2**64 - 1, 2**64, -(2**63), 10**400]
)
scalars = st.none() | st.booleans() | numbers | st.floats() | anything
shapes = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=20,
)
documents = st.dictionaries(st.sampled_from(NAMES), shapes, max_size=12)


def dumped(value: Any) -> bytes:
    # As Python writes it, and so the reference: NaN, and halves of surrogate pairs.
    return json.dumps(value).encode()


twice = st.tuples(documents, documents).map(
    lambda pair: dumped(pair[0])[:-1] + b"," + dumped(pair[1])[1:]
)
mangled = st.tuples(documents.map(dumped), st.integers(0, 400), st.binary(max_size=4)).map(
    lambda it: it[0][: it[1]] + it[2] + it[0][it[1] :]
)
bodies = st.binary(max_size=200) | shapes.map(dumped) | documents.map(dumped) | twice | mangled


def nested(depth: int, opening: bytes = b'{"a":', closing: bytes = b"}") -> bytes:
    return opening * depth + b"1" + closing * depth


@pytest.mark.parametrize("target", BY_DOCUMENT)
@settings(max_examples=60, deadline=None)
@given(data=bodies)
@example(data=b"")
@example(data=b"\xef\xbb\xbf{}")
@example(data=b"\xff\xfe{\x00}\x00")
@example(data=b'{"value": 1e400}')
@example(data=b'{"value": NaN, "agent": Infinity}')
@example(data=b'{"value": "\\ud800", "\\udfff": 1}')
@example(data=b'{"value": ' + b"9" * 5000 + b"}")
@example(data=b'{"value": ' + b"9" * 4000 + b"}")
@example(data=b'{"generation": 18446744073709551615, "lease": {"seconds": 18446744073709551615}}')
@example(data=b'{"generation": 9007199254740992, "lease": {"seconds": -9007199254740992}}')
@example(data=b'{"value": 1, "x": ' + nested(240) + b"}")
@example(data=b'{"value": 1, "x": ' + nested(300) + b"}")
@example(data=b'{"value": 1, "x": ' + nested(100_000, b"[", b"]") + b"}")
@example(data=nested(100_000, b"[", b""))
def test_any_object_is_a_document_or_malformed(target: str, data: bytes) -> None:
    TARGETS[target](data)


names = st.text(max_size=30) | st.sampled_from(
    [
        *("..", ".", "...", "a..b", "a/../b", "..\\..", "%2e%2e", "%2F", "a\x00b", "_broadcast"),
        *("\uff0f", "\u2215", "e\u0301", "\u202e", "x" * 200, "x" * 201, "é" * 100, "é" * 101),
        *("1700000000000000000_a_b_00000000.json", "9" * 1000 + "_a_b.json", "1_a.json"),
        *("part-00001-0123abcd.jsonl", "part-000001-0123abcd.jsonl", "İ", "a.JSON", "x.json"),
        *("steps/x/claim.json", "To: a\nNext: b\n\nnote", "Step: x\n\ntext", "To:", "\n\n"),
    ]
)


@pytest.mark.parametrize("target", sorted(set(TARGETS) - set(BY_DOCUMENT)))
@settings(max_examples=150, deadline=None)
@given(data=names.map(lambda it: it.encode(errors="surrogatepass")) | st.binary(max_size=60))
def test_any_name_or_text_is_one_or_refused(target: str, data: bytes) -> None:
    TARGETS[target](data)
