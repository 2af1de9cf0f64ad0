"""The long run, by hand (`make faults`): many who act on one project, while everything fails.

`python -m tests.faults --seed 7 claims mail` runs those two parts again. Every part prints how far
it is, can be interrupted, and fails where one history is not what docs/semantics.md says.
"""

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from tests.faults.histories_claims import claims
from tests.faults.histories_fleet import say
from tests.faults.histories_mail import mail
from tests.faults.histories_memory import memory
from tests.faults.histories_steps import locks, steps, take


class Outcome(Protocol):
    """What came of a part: its figures, and whether all of them are as they must be."""

    def report(self) -> str: ...

    @property
    def good(self) -> bool: ...


PARTS: Final[Mapping[str, tuple[Callable[[int, int], Outcome], int, int]]] = {
    "claims": (claims, 10_000, 200),
    "steps": (steps, 6_000, 600),
    "locks": (locks, 6_000, 600),
    "take": (take, 300, 30),
    "memory": (memory, 10_000, 500),
    "mail": (mail, 10_000, 1_000),
}
"""Each with how many races, operations, steps, writes or messages; and how many with `--quick`."""


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
    # In the background a shell has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    failed = []
    for name in given.parts or PARTS:
        run, much, little = PARTS[name]
        count = given.count or (little if given.quick else much)
        say(f"{name}: again by python -m tests.faults --seed {given.seed} --count {count} {name}")
        begin = time.monotonic()
        outcome = run(given.seed, count)
        say(f"{name}, {time.monotonic() - begin:.0f} s: {outcome.report()}")
        if not outcome.good:
            failed.append(name)
    if failed:
        say(f"not as it must be: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
