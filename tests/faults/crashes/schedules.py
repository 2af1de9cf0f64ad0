"""All of what tests/project explores in part: acts, faults, crashes, with every act in every gap.

In memory and on a clock of its own, so a run takes as long as it takes to think.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import trio
from trio.testing import MockClock

from tests.memory_store import ALL, NO_DELETE
from tests.project import test_exploration as steps
from tests.project import test_locks_exploration as locks
from tests.project import test_values_exploration as values
from tests.project.exploring import explore
from tests.project.parties import A
from tests.project.step_world import ACTS, STARTS, StepWorld

QUICK: Final = 3  # of all the sets of schedules

Set = tuple[str, Callable[[Path], Any]]


def sets() -> Iterator[Set]:
    """Yield sets of schedules, by what they are of."""
    for name, (make, acts) in values.WORLDS.items():
        kept = [it for it in acts if it not in values.FORGETFUL]
        ways: dict[str, dict[str, Any]] = {
            "faults": {"firsts": acts, "seconds": acts, "fates": values.FATES},
            "late writes": {"firsts": kept, "seconds": kept, "fates": values.LATE},
            "one agent": {"firsts": acts, "seconds": acts, "agent": A},
            "crashes": {"firsts": acts, "seconds": (None, *acts), "crashes": True},
        }
        for way, how in ways.items():
            for start in values.STARTS:
                yield f"{name}, {start}: {way}", partial(explore, make=make, start=start, **how)
    firsts = [it for it in ACTS if it != "renew"]
    for start in (it for it in STARTS if it != "ran out, by b"):
        for capabilities in (ALL, NO_DELETE):
            how = {"firsts": firsts, "seconds": (None, *ACTS[:4]), "capabilities": capabilities}
            yield (
                f"steps, {start}, {capabilities.delete}: crashes",
                partial(explore, make=StepWorld, start=start, crashes=True, **how),
            )
            how = {"firsts": ACTS, "seconds": ACTS, "capabilities": capabilities}
            yield (
                f"steps, {start}, {capabilities.delete}: faults",
                partial(explore, make=StepWorld, start=start, fates=steps.FATES, **how),
            )
    # How a mount that dies leaves a lock is all in the suite.
    for start, capabilities in product(locks.STARTS, (ALL, NO_DELETE)):
        how = {"firsts": locks.ACTS, "seconds": locks.ACTS, "capabilities": capabilities}
        yield (
            f"locks, {start}, {capabilities.delete}: faults",
            partial(explore, make=locks.LockWorld, start=start, fates=locks.FATES, **how),
        )


async def _at_once(work: Callable[[], object]) -> object:
    await trio.lowlevel.checkpoint()
    return work()


def main(seed: int = 1, *, quick: bool = False) -> int:
    """Play all schedules, or some sets by a seed; return how many. Raises what is violated."""
    chosen = list(sets())
    if quick:
        chosen = Random(seed).sample(chosen, QUICK)
    played = 0
    clocks = SimpleNamespace(monotonic=trio.current_time, time=time.time)
    with (
        patch("tcfs.project._journal.time", clocks),
        patch("tcfs.project.outbox.completed", _at_once),
        tempfile.TemporaryDirectory(prefix="tcfs-") as directory,
    ):
        for number, (name, play) in enumerate(chosen):
            where = Path(directory) / str(number)
            where.mkdir()
            try:
                played += trio.run(play, where, clock=MockClock(autojump_threshold=0))
            except Exception as error:
                error.add_note(name)
                raise
    return played


if __name__ == "__main__":
    begin = time.monotonic()
    print(f"{main()} schedules in {time.monotonic() - begin:.0f} s")
