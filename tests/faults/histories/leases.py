"""When a tenure may have ended by itself: its lease ran out while its mount could not renew it.

Only then, and not a moment earlier, another agent may have taken a step or a lock over (`Step`).
The bounds err on the side of a lease that ran out, by seconds; but never is a tenure one that may
end by itself because it would explain what was told.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from tests.faults.histories.checker import Operation
from tests.faults.histories.fleet import LATE
from tests.faults.histories.history import CLAIM, EXPIRY, WON
from tests.faults.histories.writes import Written, last

SECOND: Final = 1_000_000_000  # nanoseconds

# By the store's clock another mount takes over only what has surely run out: late, never early. A
# mount that judges a claim of its own, for another of its agents, stops trusting it early, by two
# uncertainties (`Tenures.left`): the store shows whole seconds, and its answers come late.
DOUBT: Final = 1.0 + LATE


@final
@dataclass(frozen=True, slots=True)
class Away:
    """From when to when a mount could not act, killed, stopped or cut off, or the server was away.

    By CLOCK_MONOTONIC, in nanoseconds. A clock that is set is none of these: leases are judged by
    the store's.
    """

    begin: int
    end: int

    def meets(self, done: Operation) -> bool:
        """Tell whether an operation may have met it."""
        return done.begin <= self.end and (done.end is None or self.begin <= done.end)


@final
@dataclass(frozen=True, slots=True)
class Leases:
    """What mounts promise: a lease of so many seconds, renewed every third, within a deadline."""

    seconds: float
    deadline: float

    @property
    def oldest(self) -> float:
        """How old a lease is at most when its mount is hurt: it was due, and being renewed."""
        return self.seconds / 3 + self.deadline

    @property
    def back(self) -> float:
        """How long a mount that is back takes to renew: an act that waited, a pause, and again."""
        return self.deadline + 1.0 + self.deadline


def expiries(
    history: Iterable[Operation],
    away: Mapping[str, Sequence[Away]],
    written: Sequence[Written],
    leases: Leases,
) -> Iterator[Operation]:
    """Yield, for each tenure that may have ended by itself, that it did so: of unknown outcome.

    `away` is by agent; who is not in it was never hurt. The operation begins when the lease can
    first have run out: so long after the store last took a write of it, by what is known to be
    `written`, and after its mount was hurt, less the age that the lease may have had by then. A
    mount that was back well before has renewed it.
    """
    for claim in history:
        if claim.act != CLAIM or claim.told != WON:
            continue  # what is unknown is given back at some time anyway
        known = last(claim, written)
        begins = [
            begin
            for it in away.get(claim.who, ())
            if (begin := _earliest(known, it, leases)) <= it.end + _ns(leases.back)
        ]
        if begins:
            yield Operation(claim.who, EXPIRY, claim.begin, begin=min(begins))


def _earliest(known: int, away: Away, leases: Leases) -> int:
    begun = max(known, away.begin - _ns(leases.oldest))
    return begun + _ns(leases.seconds - DOUBT)


def _ns(seconds: float) -> int:
    return int(seconds * SECOND)
