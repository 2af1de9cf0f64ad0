"""Some of the crashes that the long run has all of: a mount is killed at its requests."""

import pytest

from tests.faults.crashes import kills as crashes
from tests.faults.crashes.operations import OPERATIONS
from tests.servers import Account

SEED = 1
CASES = {
    "claim": [(2, True), (3, False)],
    "take": [(5, True)],
    "lock by mkdir": [(1, True)],
    "append to a key": [(1, True), (2, False)],
    "read what is unread": [(3, False)],
    "rename a file": [(1, True)],
}


@pytest.fixture(scope="module")
def stage(seaweed: Account, tmp_path_factory: pytest.TempPathFactory) -> crashes.Stage:  # type: ignore[misc]  # it yields
    with crashes.Stage(seaweed, tmp_path_factory.mktemp("c")) as made:
        yield made


@pytest.mark.parametrize("name", CASES)
def test_a_mount_may_be_killed_at_its_requests(stage: crashes.Stage, name: str) -> None:
    """What a shell was told of is there after `kill -9`; the rest is there as a whole or not."""
    [operation] = [it for it in OPERATIONS if it.name == name]
    assert crashes.sample(stage, operation, CASES[name]) == len(CASES[name]), "it was killed"


def test_a_quick_run_has_cases_of_many_operations() -> None:
    """By its seed: another seed has others, and every name is one of an operation's."""
    cases = crashes.chosen(SEED)
    assert sum(map(len, cases.values())) == crashes.QUICK
    assert cases.keys() <= {it.name for it in OPERATIONS}
    assert crashes.chosen(SEED) == cases != crashes.chosen(SEED + 1)


def test_names_of_operations_are_unlike() -> None:
    names = [it.name for it in OPERATIONS]
    assert len(set(names)) == len(names)
