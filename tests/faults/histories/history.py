"""What was asked and told in a run, and what a step, a lock and a memory value are by contract.

The models say what docs/semantics.md says, in states; the checker says whether a history is one of
them. What it costs: a value's history stays cheap to check only without what nobody ever saw
(`without_unseen`).
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, final

from tests.faults.histories.checker import Operation

SET: Final = "set"
APPEND: Final = "append"
GET: Final = "get"

CLAIM: Final = "claim"
FINISH: Final = "finish"
GIVE_BACK: Final = "give back"
OWNER: Final = "owner"
EXPIRY: Final = "expiry"
"""Nobody's act: the lease of the tenure whose claim began at `given` ran out (`leases`)."""

WON: Final = "won"
HELD: Final = "held"
DONE: Final = "done"
REFUSED: Final = "refused"

Told = tuple[bool, object]
"""Whether the outcome is known, and what was told."""


@final
class Recorder:
    """Operations by object, as they come from many threads; times by CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self._operations: defaultdict[str, list[Operation]] = defaultdict(list)
        self._lock = threading.Lock()

    def record(
        self, name: str, who: str, act: str, given: object, do: Callable[[], Told]
    ) -> Operation:
        """Do something to the object `name`, and note what it came to."""
        begin = time.monotonic_ns()
        known, told = do()
        done = Operation(who, act, given, told, begin, time.monotonic_ns() if known else None)
        self.add(name, done)
        return done

    def add(self, name: str, done: Operation) -> None:
        """Note what was done to the object `name`."""
        with self._lock:
            self._operations[name].append(done)

    def histories(self) -> dict[str, Sequence[Operation]]:
        """Return what was done, by object."""
        with self._lock:
            return {name: tuple(it) for name, it in self._operations.items()}


UNREAD: Final = "\0"
"""What stands for every text that nobody read, nor what was made of it by appends."""


@final
class Register:
    """A memory value: text, replaced whole or added to; None where there is none.

    Who knows all that was `read` need not tell other texts apart. Else every order in which twenty
    could have been added is kept in mind, until the next reader tells which it was.
    """

    def __init__(self, read: Collection[str] | None = None) -> None:
        self._read = read
        self._matters: dict[str, bool] = {}

    def begin(self) -> str | None:
        return None

    def after(self, state: str | None, operation: Operation) -> Iterator[str | None]:
        match operation.act:
            case "set":
                yield self._known(operation.given)
            case "append" if state == UNREAD:
                yield UNREAD
            case "append":
                yield self._known((state or "") + operation.given)
            case "get":
                if operation.end is None or operation.told == state:
                    yield state

    def _known(self, text: str) -> str:
        if self._read is None:
            return text
        if text not in self._matters:
            self._matters[text] = any(it.startswith(text) for it in self._read)
        return text if self._matters[text] else UNREAD


def register_of(history: Iterable[Operation]) -> Register:
    """Return the model of a value, for a check of this history of it."""
    return Register({it.told for it in history if it.act == GET and it.told is not None})


def without_unseen(history: Iterable[Operation]) -> list[Operation]:
    """Return a value's history without the writes of unknown outcome that nobody ever read.

    No text written may be in another. If an order explains a history with such a write then one
    does without: whatever it left was replaced before anybody looked. One that was read took effect
    before that read ended, which is its end then.
    """
    found = list(history)
    reads = [it for it in found if it.act == GET and it.end is not None]
    kept = []
    for it in found:
        if it.end is not None:
            kept.append(it)
        elif it.act != GET:
            seen = [read.end for read in reads if it.given in (read.told or "")]
            if seen:
                kept.append(replace(it, end=min(seen)))
    return kept


class StepState(NamedTuple):
    """`free`, `held` or `done`; by whom; `doubtful`: that is to be undone, and ends by itself.

    `tenure` is when the claim that was won began.
    """

    kind: str
    who: str | None = None
    doubtful: bool = False
    tenure: int | None = None


FREE: Final = StepState("free")


@final
class Step:
    """A step that is claimed, finished and given back, or a lock, which is never finished.

    A claim of unknown outcome that landed is given back, at some time. Any other tenure ends by
    its holder, or by an `EXPIRY` that names it: it is nobody's from then on, and taken by the next.
    """

    def begin(self) -> StepState:
        return FREE

    def after(self, state: StepState, operation: Operation) -> Iterator[StepState]:
        yield from self._next(state, operation)
        if state.kind == "held" and state.doubtful:
            yield from self._next(FREE, operation)

    def _next(self, state: StepState, it: Operation) -> Iterator[StepState]:
        unknown = it.end is None
        own = state.kind == "held" and state.who == it.who
        match it.act:
            case "claim":
                yield from self._claim(state, it, unknown)
            case "finish":
                yield from self._finish(state, it, unknown)
            case "give back":
                if own and (unknown or it.told == DONE):
                    yield FREE
                elif it.told == REFUSED and (not own or state.doubtful):
                    yield state
            case "expiry":
                if own and state.tenure == it.given:
                    yield FREE
            case "owner":
                if unknown or it.told == state.who:
                    yield state

    def _claim(self, state: StepState, it: Operation, unknown: bool) -> Iterator[StepState]:
        if state == FREE and (unknown or it.told == WON):
            yield StepState("held", it.who, unknown, it.begin)
        if unknown or (it.told == HELD and state != FREE):
            yield state

    def _finish(self, state: StepState, it: Operation, unknown: bool) -> Iterator[StepState]:
        kind, own = state.kind, state.who == it.who
        if (kind == "free" or own) and (unknown or it.told == DONE):
            yield StepState("done", it.who)
        if kind == "free" and unknown:
            yield StepState("held", it.who, doubtful=True)  # on the way, and to be undone
        if it.told == REFUSED and kind != "free" and (not own or state.doubtful):
            yield state
