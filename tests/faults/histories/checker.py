"""Is there an order of these operations in which each could have had the result it had?

That is linearizability: an operation takes effect at one moment between its begin and its end. One
whose outcome is unknown (no end) takes effect at any moment after its begin, or never. The check is
the just-in-time variant of Wing and Gong's algorithm by Lowe ("Testing for linearizability", 2017):
go through begins and ends in the order of time, with every state that the object may be in, and let
operations take effect only when the end of one makes it necessary.
"""

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, final

S = TypeVar("S", bound=Hashable)

LIMIT: Final = 200_000  # configurations at one moment: past that, a history has too many unknowns


@final
@dataclass(frozen=True, slots=True)
class Operation:
    """What a client asked, what it was told, and between which moments (of one clock)."""

    who: str
    act: str
    given: Any = None
    told: Any = None
    begin: int = 0
    end: int | None = None
    """None: its outcome is not known."""


class Model(Protocol[S]):
    """What an object is, one operation after another."""

    def begin(self) -> S:
        """Return the state it begins in."""

    def after(self, state: S, operation: Operation) -> Iterable[S]:
        """Return every state that `operation` may leave behind, with what its client was told.

        None if in this state it would have been told something else. For an operation without an
        end, what it was told is not to be looked at.
        """


@final
@dataclass(frozen=True, slots=True)
class Violation:
    """The first operation that no order explains, and the states it could have met."""

    operation: Operation
    states: Sequence[Any]

    def __str__(self) -> str:
        states = ", ".join(repr(it) for it in self.states[:5])
        return f"no order explains {self.operation}; the state could have been {states}"


class TooManyStates(Exception):
    """So much was under way at once, or is unknown, that the check would not end."""


def check(model: Model[S], history: Iterable[Operation]) -> Violation | None:
    """Return what is wrong with the history of one object; None if nothing is.

    Raises:
        TooManyStates
    """
    operations = list(history)
    moments = sorted(
        # What ends as another begins was at the same time as that.
        [(it.begin, 0, number) for number, it in enumerate(operations)]
        + [(it.end, 1, number) for number, it in enumerate(operations) if it.end is not None]
    )
    under_way: set[int] = set()
    # A configuration: the state, and what of that which is under way has taken effect in it.
    possible: Collection[tuple[S, frozenset[int]]] = {(model.begin(), frozenset())}
    for _, ends, number in moments:
        if not ends:
            under_way.add(number)
            continue
        explained = _let_take_effect(model, operations, under_way, possible, number)
        if not explained:
            return Violation(operations[number], [state for state, _ in possible])
        under_way.remove(number)
        possible = explained
    return None


def _let_take_effect(
    model: Model[S],
    operations: Sequence[Operation],
    under_way: set[int],
    possible: Collection[tuple[S, frozenset[int]]],
    wanted: int,
) -> set[tuple[S, frozenset[int]]]:
    """Return the configurations in which `wanted`, which ends, has taken effect."""
    found = set()
    seen = set(possible)
    left = list(possible)
    while left:
        state, done = left.pop()
        if wanted in done:
            found.add((state, done - {wanted}))
            continue
        for number in under_way - done:
            for after in model.after(state, operations[number]):
                # An end to come asks nothing of what changes nothing and has none itself.
                if after == state and operations[number].end is None:
                    continue
                configuration = (after, done | {number})
                if configuration not in seen:
                    seen.add(configuration)
                    left.append(configuration)
        if len(seen) > LIMIT:
            raise TooManyStates(f"{len(seen)} at {operations[wanted]}, {len(under_way)} under way")
    return found
