"""Values that are secret by their name, in texts, in files of variables and in JSON."""

import json

import pytest

from tcfs.mirror.redaction import Redactor

RANDOM = "q7Wz" + "K2mX" + "9pLd" + "4Rt"


@pytest.mark.parametrize(
    "text",
    [
        f"password: {RANDOM}",
        f"  db_password = '{RANDOM}'",
        f'SECRET="{RANDOM}"',
        f"curl '/x?token={RANDOM}&y=1'",
        f"X-Api-Key: {RANDOM}",
        f"//registry.example.org/:_authToken={RANDOM}",
        f"tool --api-key {RANDOM} run",
        f"AWS Secret Access Key [None]: {RANDOM}",
        f"<password>{RANDOM}</password>",
        f'{{"clientSecret": "{RANDOM}"}}',
        f"export DB_PASS={RANDOM}",
    ],
)
def test_what_is_random_goes_wherever_its_name_assigns_it(text: str) -> None:
    for line in (text, json.dumps({"stdout": f"one\n{text}\ntwo"})):
        redacted = Redactor().line(line.encode()).decode()
        before, mark, after = redacted.partition("[REDACTED:")
        rule, bracket, after = after.partition("]")
        assert mark
        assert bracket
        assert before + RANDOM + after == line
        assert rule in {"password", "secret", "token", "api-key"}


@pytest.mark.parametrize("depth", range(5))
def test_a_persons_password_goes_under_a_key_of_json_at_any_depth(depth: int) -> None:
    value: object = {"user": "me", "password": "hunter2", "port": 5432}
    for _ in range(depth):
        value = {"content": json.dumps(value)}
    line = json.dumps(value)
    expected = line.replace("hunter2", "[REDACTED:password]")
    assert Redactor().line(line.encode()).decode() == expected


def test_a_value_under_such_a_key_goes_whole_with_its_escapes() -> None:
    line = json.dumps({"password": 'a"b\\c/é9', "next": 1}).encode()
    assert Redactor().line(line) == b'{"password": "[REDACTED:password]", "next": 1}'


def test_a_persons_password_goes_from_a_file_of_variables_only() -> None:
    line = json.dumps({"stdout": "A=1\nDB_PASSWORD=hunter2\nB=2\n"}).encode()
    assert Redactor().line(line) == line.replace(b"hunter2", b"[REDACTED:password]")
    line = b"the password = hunter2"
    assert Redactor().line(line) == line


def test_numbers_under_such_names_stay_so_that_json_stays_json() -> None:
    line = b'{"token": 12345678, "secret": null, "password": {"type": "string"}}'
    assert Redactor().line(line) == line
