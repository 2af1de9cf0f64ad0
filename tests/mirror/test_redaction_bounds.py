"""Lines that are made to be expensive: time and memory stay in proportion to their length."""

import json
import time
import tracemalloc

import pytest

from tcfs.mirror.redaction import Redactor

SIZE = 1 << 20

PATTERNS = [
    b"\\", b'\\"', b"\\u0041", b"\\/", b'"', b"[", b'{"token":', b"sk-", b"sk-abc ", b".eyJ",
    b" eyJ" + b"a" * 4090, b"token", b"token = x;", b"password      ", b"://", b"a://b:c",
    b"-----BEGIN RSA PRIVATE" + b" KEY-----\\n", b'-----BEGIN RSA PRIVATE' + b' KEY-----","',
    b"-----END RSA PRIVATE" + b" KEY-----\\n", b"-----BEGIN ", b"AB ", b"-", b"\x1b[",
    b"\\u001b[31m", b"AKIA" + b"Q2W3E4R5T6Y7U2I3 ", b"Bearer ", b"AAAA", b"=", b"A1b2 ",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda it: repr(it[:24]))
def test_no_pattern_repeated_is_expensive(pattern: bytes) -> None:
    # Linear work is done in about a second; a quadratic one would take hours.
    before = time.process_time()
    Redactor().line(b'{"a":"' + pattern * (SIZE // len(pattern)) + b'"}')
    assert time.process_time() - before < 20


def test_a_line_of_nothing_but_secrets_takes_time_in_proportion() -> None:
    line = b" ".join(b"gh" + b"p_a1B2c3D4e5F6g7%08d" % number for number in range(20000))
    redactor = Redactor()
    before = time.process_time()
    assert b"ghp" not in redactor.line(line)
    assert time.process_time() - before < 30
    assert redactor.counts == {"github": 20000}


def test_json_nested_10_000_deep_is_scanned() -> None:
    secret = b"gh" + b"p_" + b"a1B2c3D4e5" * 3
    line = b'{"a":' * 10000 + b'"' + secret + b'"' + b"}" * 10000
    assert Redactor().line(line) == line.replace(secret, b"[REDACTED:github]")


def test_strings_in_strings_deeper_than_are_decoded_are_scanned_as_they_are() -> None:
    text = "x " + "gh" + "p_" + "a1B2c3D4e5" * 3 + " y"
    for _ in range(16):
        text = json.dumps(text)
    assert b"[REDACTED:github]" in Redactor().line(text.encode())


def test_memory_is_in_proportion() -> None:
    line = json.dumps({"text": "one line\n" * (4 * SIZE // 10) + " token = x"}).encode()
    redactor = Redactor()
    tracemalloc.start()
    try:
        redactor.line(line)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * len(line)
