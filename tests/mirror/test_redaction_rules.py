"""The table: every rule finds its examples and leaves alone what only looks like them."""

import os
from pathlib import Path

import pytest

from tcfs.mirror._rules import RULES, Rule
from tcfs.mirror.redaction import Redactor

by_name = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


@by_name
def test_every_example_is_found_by_its_rule(rule: Rule) -> None:
    for example in rule.examples:
        redactor = Redactor()
        redacted = redactor.line(f"see {example} there".encode())
        assert f"[REDACTED:{rule.name}]".encode() in redacted, example
        assert redacted.startswith(b"see ")
        assert redacted.endswith(b" there")


@by_name
def test_what_only_looks_like_it_is_left(rule: Rule) -> None:
    for other in rule.others:
        redacted = Redactor().line(f"see {other} there".encode())
        assert f"[REDACTED:{rule.name}]".encode() not in redacted, other


@by_name
def test_a_rule_is_tried_where_its_examples_are(rule: Rule) -> None:
    assert rule.examples
    assert rule.others
    for example in rule.examples:
        assert any(start in example.encode() for start in rule.starts)


def test_names_are_one_each_and_fit_the_mark() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() and name == name.lower() for name in names)
    assert 40 <= len(names) <= 60


@pytest.mark.parametrize(
    "text",
    [
        b"commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        b'"integrity": "sha512-Zk2bYmVyZ3JhbmRvbUJhc2U2NFRleHRPZkFMb2NrRmlsZUVudHJ5MTIzNDU2Nzg5=="',
        b'{"uuid":"0b94f22c-334e-477c-aec6-7f9ecc52830e","tokens":4096,"max_tokens":128000}',
        b"token = self._next_token()",
        b"password: str | None = None",
        b'api_key = os.environ["OPENAI_API_KEY"]',
        b"secret=${SECRET}",
        b'{"token": "the", "password": "Password", "api_key": "<your-api-key>"}',
        b"https://user:password@example.org/",
        b"-----BEGIN PRIVATE " + b"KEY----- and -----END PRIVATE " + b"KEY----- are its markers",
        b'if "-----BEGIN RSA PRIVATE KEY-----" in text:\n    return load_the_private_key(text)',
        b"AWS::IAM::AccessKey: 72c2d9dd90025459",
        b"arn:aws:secretsmanager:us-west-2:123456789012:secret:MyTestSecret-1a2b3c",
        b'"nextToken": "BMugzAi4L72IERzQdbpyMQuEFBsjlo5W0Yx3mfG"',
        b"#sk-container-id-10 .sk-toggleable__label-arrow-with-2-lines",
    ],
)
def test_ordinary_text_is_left(text: bytes) -> None:
    assert Redactor().line(text) == text


@pytest.mark.timeout(300)
def test_the_standard_library_is_left_but_for_what_has_the_shape_of_secrets() -> None:
    # Its tests hold real private keys and URLs with passwords: they are not in the sample.
    sample: list[bytes] = []
    size = 0
    for path in sorted(Path(os.__file__).parent.rglob("*.py")):
        if not {"test", "tests", "site-packages", "idlelib"} & set(path.parts) and size < 5 << 20:
            sample += path.read_bytes().splitlines(keepends=True)
            size += path.stat().st_size
    redactor = Redactor()
    changed = [line for line in sample if redactor.line(line) != line]
    assert size >= 5 << 20
    assert changed == []
