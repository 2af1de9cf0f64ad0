"""The long run, by hand (`make faults`): many who act on one project, while everything fails.

`python -m tests.faults --seed 7 claims mail` runs those two parts again. Every part prints how far
it is, can be interrupted, and fails where one history is not what docs/semantics.md says.
"""

import argparse
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Protocol, final

from tests.faults.crashes import kills as crashes
from tests.faults.crashes import schedules as crash_explorations
from tests.faults.histories.claims import claims
from tests.faults.histories.fleet import say
from tests.faults.histories.mail import mail
from tests.faults.histories.memory import memory
from tests.faults.histories.steps import locks, steps, take
from tests.faults.limits import cases as limits
from tests.faults.limits.soak import soak
from tests.faults.mirrors import fire as mirror_fire
from tests.faults.requests.kinds import NAMED
from tests.faults.requests.uploads import RULES, rows, tried
from tests.model import test_stores, test_tree
from tests.servers import SeaweedFS


class Outcome(Protocol):
    """What came of a part: its figures, and whether all of them are as they must be."""

    def report(self) -> str: ...

    @property
    def good(self) -> bool: ...


@final
@dataclass(frozen=True, slots=True)
class Done:
    """What came of a part that raises what it finds."""

    text: str
    good: bool = True

    def report(self) -> str:
        return self.text


def killed(seed: int, percent: int) -> Done:
    """Kill a mount at every request of every operation, or at some."""
    return Done(f"{crashes.main(seed, quick=percent < 100)} cases")


def schedules(seed: int, percent: int) -> Done:
    """Play every schedule of two acts and what may go wrong, or some."""
    return Done(f"{crash_explorations.main(seed, quick=percent < 100)} schedules")


def uploads(seed: int, percent: int) -> Done:
    """Let each request of uploads in parts meet every fault, or some."""
    cases = list(product(("begin", "part", "finish", "abort"), NAMED, (1, None), (False, True)))
    some = random.Random(seed).sample(cases, len(cases) * percent // 100)
    with SeaweedFS() as server:
        done = tried(server.account, "uploads", rows(some))
    broken = [f"not {rule.__name__}: {it}" for rule in RULES for it in done if not rule(it)]
    for line in broken:
        say(f"  {line}")
    met = sum(it.met for it in done)
    return Done(f"{len(done)} uploads, {met} requests met a fault", not broken)


def large(_: int, percent: int) -> Done:
    """Make 100,000 of everything, or fewer."""
    limits.everything(say, part=percent / 100)
    return Done("within bounds")


def models(_: int, examples: int) -> Done:
    """Try the tree and the stores against plain dicts."""
    test_tree.at_length(examples)
    test_stores.at_length(examples)
    return Done(f"{examples} examples of each")


def mirror(seed: int, seconds: int) -> Done:
    """Change transcripts at random while mounts that mirror them are killed."""
    return Done(mirror_fire.burn(seed, seconds))


def soaked(seed: int, seconds: int) -> Outcome:
    """Use a mount whose timers go thirty times as fast."""
    return soak(seconds, seed=seed)


PARTS: Final[Mapping[str, tuple[Callable[[int, int], Outcome], int, int]]] = {
    "claims": (claims, 10_000, 200),
    "steps": (steps, 6_000, 600),
    "locks": (locks, 6_000, 600),
    "take": (take, 300, 30),
    "memory": (memory, 10_000, 500),
    "mail": (mail, 10_000, 1_000),
    "crashes": (killed, 100, 5),
    "schedules": (schedules, 100, 5),
    "uploads": (uploads, 100, 5),
    "mirror": (mirror, 600, 30),
    "models": (models, 500, 25),
    "limits": (large, 100, 5),
    "soak": (soaked, 120, 30),
}
"""Each with how many races, operations, steps, writes, messages, percent, seconds or examples; and
how many with `--quick`."""


def main(arguments: Sequence[str]) -> int:
    """Run the parts named, or all; return 1 where one found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--count", type=int, help="of each part, instead of its own number")
    parser.add_argument("--quick", action="store_true", help="a twentieth of it")
    given = parser.parse_args(arguments)
    if unknown := [it for it in given.parts if it not in PARTS]:
        parser.error(f"no part is called {unknown[0]}")
    # In the background a shell has the first ignored; the second would leave mounts behind.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    failed = []
    for name in given.parts or PARTS:
        run, much, little = PARTS[name]
        count = given.count or (little if given.quick else much)
        say(f"{name}: again by python -m tests.faults --seed {given.seed} --count {count} {name}")
        begin = time.monotonic()
        outcome = _outcome(run, given.seed, count)
        say(f"{name}, {time.monotonic() - begin:.0f} s: {outcome.report()}")
        if not outcome.good:
            failed.append(name)
    if failed:
        say(f"not as it must be: {', '.join(failed)}")
    return 1 if failed else 0


def _outcome(run: Callable[[int, int], Outcome], seed: int, count: int) -> Outcome:
    try:
        return run(seed, count)
    except Exception as error:  # what it found; the other parts go on
        traceback.print_exc()
        return Done(f"{type(error).__name__}, see above", good=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
