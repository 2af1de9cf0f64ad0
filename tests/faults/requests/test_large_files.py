"""Faults of a service, met by each request of an upload in parts, on a real mount.

All of them are `make faults PARTS=uploads`.
"""

from collections.abc import Callable, Sequence
from typing import Final

import pytest

from tests.faults.requests.uploads import RULES, Row, rows, tried
from tests.servers import Account

SOME: Final = (
    ("begin", "503", None, False),
    ("begin", "500", None, True),
    ("part", "500 after all", None, True),
    ("finish", "503", None, False),
    ("finish", "answer stalled", None, True),
    ("abort", "request stalled", None, False),
    ("begin", "answer lost", 1, False),
    ("part", "answer reset", 1, False),
    ("part", "request lost", 1, True),
    ("finish", "answer lost", 1, False),
    ("finish", "answer lost", 1, True),
    ("finish", "500", 1, False),
    ("finish", "409", 1, False),
    ("abort", "request lost", 1, True),
    ("abort", "500", 1, False),
)


@pytest.fixture(scope="module")
def done(seaweed: Account) -> Sequence[Row]:
    return tried(seaweed, "large-files", rows(SOME))


@pytest.mark.parametrize("rule", RULES)
def test_large_files_keep_the_rules(rule: Callable[[Row], bool], done: Sequence[Row]) -> None:
    """No operation takes longer than the mount's deadline, but a read that waits on purpose."""
    broken = [it for it in done if not rule(it)]
    assert not broken, "\n".join(map(str, broken))


def test_every_row_met_its_fault(done: Sequence[Row]) -> None:
    assert all(it.met for it in done)
