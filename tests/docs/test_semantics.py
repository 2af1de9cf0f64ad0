"""docs/semantics.md: each rule once, and each quoted by a test."""

import re

from tests.mounts import SOURCE

RULES = re.findall(r"\*\*(.+?)\*\*", (SOURCE / "docs" / "semantics.md").read_text())[1:]


def test_each_rule_is_there_once() -> None:
    assert len(RULES) > 30
    assert len(set(RULES)) == len(RULES)


def test_each_rule_is_quoted_by_a_test() -> None:
    tests = "\n".join(it.read_text() for it in (SOURCE / "tests").rglob("test_*.py"))
    # A docstring is broken where a line is full.
    quoted = re.sub(r"\s+", " ", tests)
    assert [rule for rule in RULES if rule not in quoted] == []
