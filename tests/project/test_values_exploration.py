"""Memory, files, orders of steps and mail, explored: another act in every gap, faults, crashes.

Of what was told nothing is lost and nothing is doubled; what was refused is not there. Some of all
schedules, by a seed; `tests/faults/crashes/schedules.py` plays the others as well.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from trio import lowlevel

from tests.memory_store import Fault
from tests.project.exploring import Fate, Make, explore
from tests.project.linear_worlds import AfterWorld, FileWorld, MemoryWorld
from tests.project.mail_world import ACTS as MAIL
from tests.project.mail_world import MailWorld
from tests.project.parties import A

pytestmark = pytest.mark.usefixtures("autojump_clock")

FATES = [
    None,
    *(
        Fate(write, fault)
        for write in range(2)
        for fault in (Fault.ANSWER_LOST, Fault.BROKEN, Fault.CONFLICT, Fault.REFUSED)
    ),
]
LATE = [
    Fate(write, Fault.DELAYED, delivery) for write in range(2) for delivery in ("after B", "end")
]
WORLDS: dict[str, tuple[Make, tuple[str, ...]]] = {
    "memory": (MemoryWorld, ("set", "append", "create", "delete")),
    "files": (FileWorld, ("replace", "add", "rename", "rename if free", "remove")),
    "after": (AfterWorld, ("set", "add")),
    "mail": (MailWorld, MAIL),
}
# A store remembers no deletion: a create that arrives after one cannot know of it.
FORGETFUL = ("delete", "remove", "rename", "rename if free")
STARTS = ("nothing", "something")
MOST = 12  # of all that the long run plays
each = pytest.mark.parametrize(
    ("name", "start"), [(name, start) for name in WORLDS for start in STARTS]
)


@pytest.fixture(autouse=True)
def _disk_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock clock jumps on while a thread works: work on the disk right here instead."""

    async def at_once(work: Callable[[], object]) -> object:
        await lowlevel.checkpoint()
        return work()

    monkeypatch.setattr("tcfs.project.outbox.completed", at_once)


@each
async def test_one_act_in_every_gap_of_another_with_faults(
    tmp_path: Path, name: str, start: str
) -> None:
    make, acts = WORLDS[name]
    played = await explore(tmp_path, make, start, firsts=acts, seconds=acts, fates=FATES, most=MOST)
    assert played > MOST


@each
async def test_one_act_in_every_gap_of_another_with_late_writes(
    tmp_path: Path, name: str, start: str
) -> None:
    make, acts = WORLDS[name]
    kept = [it for it in acts if it not in FORGETFUL]
    played = await explore(tmp_path, make, start, firsts=kept, seconds=kept, fates=LATE, most=MOST)
    assert played >= MOST


@each
async def test_two_mounts_of_one_agent_in_every_gap_of_each_other(
    tmp_path: Path, name: str, start: str
) -> None:
    make, acts = WORLDS[name]
    assert await explore(tmp_path, make, start, firsts=acts, seconds=acts, agent=A) > len(acts) ** 2


@each
async def test_crash_at_every_request_with_another_act_before_it_is_back(
    tmp_path: Path, name: str, start: str
) -> None:
    make, acts = WORLDS[name]
    played = await explore(
        tmp_path, make, start, firsts=acts, seconds=(None, *acts), crashes=True, most=MOST
    )
    assert played > len(acts)
