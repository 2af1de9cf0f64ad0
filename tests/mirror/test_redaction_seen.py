"""A secret that was seen once is known wherever it shows later, and after a restart."""

import base64
import json
from hashlib import sha256
from urllib.parse import quote

import pytest

from tcfs.mirror.redaction import Redactor
from tests.mirror.fake_secrets import fakes, left, transcript

SECRET = "q7Wz" + "K2mX" + "9pLd" + "4Rt+/"
NAMED = f"PASSWORD={SECRET}".encode()


@pytest.mark.parametrize(
    "later",
    [
        f"it was {SECRET}.",
        f"prefix{SECRET}suffix",
        quote(f"https://x/?q={SECRET}", safe=""),
        json.dumps(json.dumps({"a": f"\n{SECRET}\n"})),
        json.dumps({"a": SECRET}).replace("/", "\\/"),
        json.dumps({"a": f"\x1b[1m{SECRET[:5]}\x1b[0m{SECRET[5:]}"}),
        json.dumps({SECRET: 1}),
    ],
)
def test_a_secret_is_replaced_wherever_it_shows_later(later: str) -> None:
    assert Redactor().line(later.encode()) == later.encode()
    redactor = Redactor()
    redactor.line(NAMED)
    again = redactor.line(later.encode())
    assert b"[REDACTED:password]" in again
    assert SECRET[5:12].encode() not in again
    restarted = Redactor(key=b"k", seen=_digests_of(NAMED, b"k"))
    assert restarted.line(later.encode()) == again


def _digests_of(line: bytes, key: bytes) -> tuple[str, ...]:
    redactor = Redactor(key=key)
    redactor.line(line)
    return redactor.digests()


def test_it_is_replaced_in_its_own_line_before_its_name_too() -> None:
    assert SECRET.encode() not in Redactor().line(f"{SECRET} and {NAMED.decode()}".encode())


def test_digests_hold_no_secret_and_mean_nothing_with_another_key() -> None:
    of = fakes(5)
    redactor = Redactor(key=b"one")
    redactor.lines(transcript(of))
    digests = redactor.digests()
    assert len(digests) >= 20
    assert left(of, "\n".join(digests).encode()) == []
    line = of.secrets["AWS_SECRET_ACCESS_KEY"][0].encode()
    assert Redactor(key=b"one", seen=digests).line(line) == b"[REDACTED:aws-secret]"
    assert Redactor(key=b"two", seen=digests).line(line) == line


def test_digests_survive_any_number_of_restarts() -> None:
    digests = _digests_of(NAMED, b"k")
    for _ in range(3):
        digests = Redactor(key=b"k", seen=digests).digests()
    assert Redactor(key=b"k", seen=digests).line(SECRET.encode()) == b"[REDACTED:password]"


def test_what_is_no_digest_is_refused() -> None:
    for wrong in ("", "x", "password:12:plain:4444:00", "open:soon", f"a:b:plain:01:{SECRET}"):
        with pytest.raises(ValueError, match=r".+"):
            Redactor(seen=[wrong])


@pytest.mark.parametrize("count", [300, 1500])  # few enough to be looked for one by one, or not
def test_very_many_secrets_are_all_known_again(count: int) -> None:
    many = ["gh" + "p_" + sha256(b"%d" % it).hexdigest()[:36] for it in range(count)]
    redactor = Redactor(key=b"k")
    redactor.lines(it.encode() for it in many)
    glued = "x".join(many).encode()
    assert b"ghp" not in redactor.line(glued)
    assert b"ghp" not in Redactor(key=b"k", seen=redactor.digests()).line(glued)
    assert b"ghp" in Redactor().line(glued)


def test_what_a_person_may_have_chosen_is_not_replaced_elsewhere() -> None:
    redactor = Redactor()
    assert redactor.line(b"DB_PASSWORD=hunter2") == b"DB_PASSWORD=[REDACTED:password]"
    assert redactor.line(b"the hunter2 of the story") == b"the hunter2 of the story"


@pytest.mark.parametrize("literal", ["plain words", 'with"quote\\and/slash', "schlüssel"])
def test_literals_are_always_replaced(literal: str) -> None:
    redactor = Redactor(literals=[literal])
    for line in (
        f"say {literal} again",
        json.dumps({"a": literal}),
        json.dumps({"a": json.dumps([literal])}),
        json.dumps({"a": literal}, ensure_ascii=False),
        f"https://x/?{quote(literal, safe='')}",
    ):
        redaction = redactor.line(line.encode())
        assert b"[REDACTED:credential]" in redaction, line
        assert literal.encode() not in redaction


def test_literals_are_found_in_base64_at_any_place() -> None:
    literal = "q7Wz" + "K2mX" + "9pLd"
    for before in ("", "a", "ab", "user:"):
        coded = base64.b64encode(f"{before}{literal}xyz".encode())
        redaction = Redactor(literals=[literal]).line(b"basic? " + coded)
        assert b"[REDACTED:credential]" in redaction


def test_a_literal_too_short_to_be_one_changes_nothing() -> None:
    assert Redactor(literals=["", "a", "abc"]).line(b"abcabc") == b"abcabc"
