"""Leases are ours alone: the reference neither sees one nor has one taken from it."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.fleet import Fleet, assemble
from tests.interop.reference import NEWEST
from tests.servers import Account

LEASE = 5  # seconds
LATE = 3.0  # seconds after which a lease has surely run out for everybody


@pytest.fixture
def leased(tmp_path: Path, seaweed: Account, project: str) -> Iterator[Fleet]:
    """Yield two mounts with leases of five seconds, and the newest reference."""
    with ExitStack() as stack:
        options = ("--lease", str(LEASE))
        yield assemble(stack, tmp_path, seaweed, project, NEWEST, "cli", "other", options=options)


def test_a_step_finished_by_the_command_line_is_never_taken_over(leased: Fleet) -> None:
    """A final state is never taken over, whatever the lease, whoever finished it."""
    ours, other = leased.mounts
    ours.out("echo > steps/x/claim")
    leased.reference.out("complete", "x", "--needs-review")
    ours.end(signal.SIGKILL)
    end = time.monotonic() + LEASE + LATE
    while time.monotonic() < end:
        assert "File exists" in other.sh("echo > steps/x/claim").stderr
    assert other.out("cat steps/x/status steps/x/owner") == "needs_review\ncli\n"


def test_a_claim_by_the_command_line_is_never_taken_away(leased: Fleet) -> None:
    """A claim without a lease (the reference's, or one made with no mount) is never taken away."""
    _, other = leased.mounts
    leased.reference.out("claim", "x")
    end = time.monotonic() + LEASE + LATE
    while time.monotonic() < end:
        assert "File exists" in other.sh("echo > steps/x/claim").stderr
    assert other.out("cat steps/x/owner") == "cli\n"


def test_a_lease_that_ran_out_is_taken_over_and_the_command_line_sees_it(leased: Fleet) -> None:
    """A lease that ran out reads as free; the next claimant takes it over, one generation on."""
    ours, other = leased.mounts
    ours.out("echo > steps/x/claim")
    ours.end(signal.SIGKILL)
    other.out("until echo mine 2> /dev/null > steps/x/claim; do :; done")
    assert leased.reference.out("step-status", "x") == "x: in_progress (agent: other)\n"
    assert "claimed by 'other'" in leased.reference.refusal("complete", "x")
    assert json.loads(leased.get("steps/x/claim.json"))["generation"] == 2


def test_what_is_given_back_can_be_claimed_by_both_tools_at_once(leased: Fleet) -> None:
    ours, other = leased.mounts
    for step in ("one", "two"):
        ours.out(f"echo > steps/{step}/claim; rm steps/{step}/claim")
    other.out("echo > steps/one/claim")
    assert "already claimed by other" in leased.reference.refusal("claim", "one")
    leased.reference.out("claim", "two")
    assert "File exists" in other.sh("echo > steps/two/claim").stderr


def test_hold_is_a_claim_for_the_command_line_and_no_more_once_it_is_let_go(leased: Fleet) -> None:
    _, other = leased.mounts
    said = other.popen("exec 9> steps/x/hold; echo held; exec 9>&-; cat steps/x/status")
    assert said.communicate(timeout=30)[0].startswith("held\n")
    until_free = time.monotonic() + 10
    while "pending" not in leased.reference.out("step-status", "x"):
        assert time.monotonic() < until_free
    leased.reference.out("claim", "x")
