"""Steps, explored: act B of another mount in every gap of act A, with faults and crashes.

One act runs whole between two requests of another, for every gap, every pair of acts, every way a
step may have begun, and every write of A that may go wrong. What must hold is what the model of
the protocol was checked for.
"""

from pathlib import Path

import pytest

from tcfs.stores import Capabilities
from tests.memory_store import ALL, NO_DELETE, Fault
from tests.project.exploring import Fate, explore
from tests.project.parties import A
from tests.project.step_world import ACTS, STARTS, TAKES, StepWorld

pytestmark = pytest.mark.usefixtures("autojump_clock")

FATES = [
    Fate(number, fault, delivery)
    for number in range(3)
    for fault, delivery in (
        (Fault.ANSWER_LOST, "end"),
        (Fault.DELAYED, "after B"),
        (Fault.DELAYED, "end"),
    )
]
TAKEN = ("given back", "half given back", "stale", "ran out, by b")


@pytest.mark.parametrize("start", STARTS)
async def test_one_act_in_every_gap_of_another(tmp_path: Path, start: str) -> None:
    assert await explore(tmp_path, StepWorld, start, firsts=ACTS, seconds=ACTS) > 60


@pytest.mark.parametrize("start", STARTS)
async def test_one_act_in_every_gap_of_another_without_conditional_delete(
    tmp_path: Path, start: str
) -> None:
    played = await explore(
        tmp_path, StepWorld, start, firsts=ACTS, seconds=ACTS, capabilities=NO_DELETE
    )
    assert played > 60


@pytest.mark.parametrize("start", ["nothing", "held by a", "given back", "half given back"])
async def test_two_mounts_of_one_agent_in_every_gap_of_each_other(
    tmp_path: Path, start: str
) -> None:
    assert await explore(tmp_path, StepWorld, start, firsts=ACTS, seconds=ACTS[:3], agent=A) > 40


@pytest.mark.parametrize("first", ACTS)
@pytest.mark.parametrize("start", ["nothing", "held by a", "half given back", "stale"])
async def test_lost_and_late_writes_with_another_act_in_every_gap(
    tmp_path: Path, start: str, first: str
) -> None:
    seconds = ("claim", "finish", "give back")
    played = await explore(tmp_path, StepWorld, start, firsts=[first], seconds=seconds, fates=FATES)
    assert played >= len(seconds) * len(FATES)


@pytest.mark.parametrize("capabilities", [ALL, NO_DELETE], ids=["delete", "tombstone"])
@pytest.mark.parametrize("start", [it for it in STARTS if it != "ran out, by b"])
async def test_crash_at_every_request_with_another_act_before_it_is_back(
    tmp_path: Path, start: str, capabilities: Capabilities
) -> None:
    """What was told is so after the crash; of the rest nothing stays that nobody was told of."""
    played = await explore(
        *(tmp_path, StepWorld, start),
        firsts=[it for it in ACTS if it != "renew"],
        seconds=(None, "claim", "finish"),
        crashes=True,
        capabilities=capabilities,
        most=6,
    )
    assert played > 12


@pytest.mark.parametrize("start", TAKEN)
async def test_what_is_taken_with_another_act_in_every_gap(tmp_path: Path, start: str) -> None:
    """A reader that dies before it has the id gives the step back."""
    seconds = ("claim", "finish", "give back", "take")
    assert await explore(tmp_path, StepWorld, start, firsts=TAKES, seconds=seconds) >= 8


@pytest.mark.parametrize("start", ["given back", "half given back"])
async def test_what_is_taken_with_lost_and_late_writes(tmp_path: Path, start: str) -> None:
    assert await explore(tmp_path, StepWorld, start, firsts=TAKES, fates=FATES) >= 2 * len(FATES)


@pytest.mark.parametrize("start", ["given back", "half given back"])
async def test_what_is_taken_by_a_mount_that_dies(tmp_path: Path, start: str) -> None:
    played = await explore(
        tmp_path, StepWorld, start, firsts=TAKES, seconds=(None, "claim"), crashes=True
    )
    assert played > 20
