"""Races for steps: so many contenders of five kinds at once, while requests fail.

Of each race: one winner at most, who was told so; whoever was told to have won has the step; and
whoever was told that the outcome is unknown (EIO) does not keep it. When all are over each step is
looked at again: what arrived late has changed nothing.
"""

import errno
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, final

from tcfs.project.steps._state import effective
from tcfs.wire import Malformed, keys
from tcfs.wire.documents import Claim, State, Status
from tcfs.wire.ids import StepId
from tests.faults.histories.clients import Client, Told
from tests.faults.histories.fleet import Fleet, fleet, say
from tests.interop.reference import VERSIONS

DEADLINE: Final = 4.0  # seconds, so that some outcomes are not known in time
# Races at a time, each with up to so many contenders. Many, since who loses one waits for a second
# or more: SeaweedFS looks but so often whether the lock of a key is free.
LANES: Final = (50, 24, 16, 16, *[8] * 6, *[4] * 8)
# Seconds a contender may take to react: a path is walked before its claim is sent, so without
# chance whoever sends requests of their own would nearly always be first.
REACTION: Final = {"direct": 0.06, "reference library": 0.03, "library": 0.03}
STARTS: Final = {"command": 0.4, "reference command": 0.1}  # as measured, forked and under load
"""Seconds until a command asks for anything: in half of its races the others wait as long."""
# Undoing goes on for ten minutes; nearly all of it is done in a few seconds.
UNDONE: Final = 120.0
UNDECIDED: Final = f"it is not undone within {UNDONE:g} s, and whoever has it was not told"
FOREIGN: Final = ("reference library", "reference command")


Outcomes = Sequence[tuple[Client, Told]]


@final
@dataclass
class Races:
    """What came of the races so far."""

    run: int = 0
    one_winner: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    wins: Counter[str] = field(default_factory=Counter)
    contenders: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    timed_out: int = 0
    wrong: list[str] = field(default_factory=list)
    undecided: list[tuple[str, Outcomes]] = field(default_factory=list)
    """Those without a winner: what is late may yet come, and is then to be undone."""
    left: dict[str, str | None] = field(default_factory=dict)
    """Who has each step whose race is decided; None: it was given back."""
    late: Counter[str] = field(default_factory=Counter)
    """Of whom a request arrived after the winner had given back, and has the step."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def good(self) -> bool:
        return not self.wrong

    def report(self) -> str:
        return (
            f"{self.run} races, {sum(k * n for k, n in self.sizes.items())} contenders: "
            f"{self.one_winner} with exactly one winner, {dict(self.explained)} explained, "
            f"{len(self.undecided)} to be seen, "
            f"{len(self.wrong)} wrong; wins {dict(self.wins)}; EIO {dict(self.unknown)}, "
            f"timed out {self.timed_out}, late {dict(self.late)}"
        )


def claims(seed: int, count: int, lanes: Sequence[int] = LANES, *, mounts: int = 3) -> Races:
    """Run so many races, and return what came of them."""
    races = Races()
    with fleet(seed, "races", apart=1 if mounts == 3 else 0) as made:
        crews = list(_crews(made, lanes, mounts))
        numbers = iter(range(count))
        turn = threading.Lock()
        begin = time.monotonic()

        broken = threading.Event()  # a race could not be run: that ends the others

        def lane(contenders: Sequence[Client], chance: random.Random) -> None:
            try:
                run(contenders, chance)
            except BaseException:
                broken.set()
                raise

        def run(contenders: Sequence[Client], chance: random.Random) -> None:
            with ThreadPoolExecutor(len(contenders)) as threads:
                while not broken.is_set():
                    with turn:
                        number = next(numbers, None)
                    if number is None:
                        return
                    size = 2 + int((len(contenders) - 1) * chance.random() ** 2)
                    chosen = chance.sample(list(contenders), size)
                    _race(made, races, f"race-{number}", chosen, threads, chance)
                    if number % 100 == 99:
                        say(f"  {time.monotonic() - begin:.0f} s: {races.report()}")
                        made.proxy.asked.clear()

        with ThreadPoolExecutor(len(lanes)) as threads:
            running = [
                threads.submit(lane, crew, random.Random(seed + number))
                for number, crew in enumerate(crews)
            ]
            for each in running:
                each.result()
        for step, told in races.undecided:
            _count(made, races, step, told, patience=UNDONE)
        races.undecided.clear()
        _look_again(made, races, {it.agent: it.kind for crew in crews for it in crew})
        say(f"  {made.chance}")
    return races


def _crews(made: Fleet, lanes: Sequence[int], count: int) -> Sequence[Sequence[Client]]:
    """Return the contenders of each lane: of all kinds, most of them shells on mounts."""
    mounts = [
        made.mount("--deadline", str(it)) for it in (DEADLINE, DEADLINE / 2, DEADLINE)[:count]
    ]
    total = sum(lanes)
    names = [f"a{number}" for number in range(total)]

    def some(every: int, *rests: int) -> list[str]:
        return [it for number, it in enumerate(names) if number % every in rests]

    # Of ten: five shells, two of the library and one of the command line, one and one. Of thirty
    # one has the reference's command line, in turn 0.2.0's; the short form's are fewer.
    library = made.library(900, DEADLINE)
    shells = enumerate(some(2, 0))
    kinds: list[Sequence[Client]] = [
        [made.shell(mounts[number % count], it) for number, it in shells],
        made.agents_of(library, some(10, 1, 5)),
        made.commands(some(10, 9), DEADLINE),
        made.reference_library(some(30, 7, 17)),
        made.direct(some(10, 3), DEADLINE),
    ]
    for version, agents in zip(VERSIONS, (some(60, 27), some(60, 57)), strict=True):
        if agents:
            kinds.append(made.reference_commands(version, agents))
    by_name = {client.agent: client for kind in kinds for client in kind}
    crews, at = [], 0
    for size in lanes:
        crews.append([by_name[it] for it in names[at : at + size]])
        at += size
    return crews


def _race(
    made: Fleet,
    races: Races,
    step: str,
    contenders: Sequence[Client],
    threads: ThreadPoolExecutor,
    chance: random.Random,
) -> None:
    ready = threading.Barrier(len(contenders))
    reactions = {it.agent: chance.uniform(0, REACTION.get(it.kind, 0.001)) for it in contenders}
    slowest = max(STARTS.get(it.kind, 0.0) for it in contenders)
    if chance.random() < 0.5:
        for it in contenders:
            reactions[it.agent] += chance.uniform(0.7, 1.3) * (slowest - STARTS.get(it.kind, 0.0))

    def claim(client: Client) -> Told:
        ready.wait()
        time.sleep(reactions[client.agent])
        return client.do("put", f"steps/{step}/claim")

    told = list(zip(contenders, threads.map(claim, contenders), strict=True))
    winners = [client for client, it in told if it.done]
    unknown = [client for client, it in told if it.unknown]
    with races.lock:
        races.run += 1
        races.sizes[len(contenders)] += 1
        races.contenders.update(it.kind for it in contenders)
        races.unknown.update(it.kind for it in unknown)
        races.timed_out += sum(it.code == errno.ETIMEDOUT for _, it in told)
    _count(made, races, step, told, patience=0)
    if len(winners) != 1:
        return
    (winner,) = winners
    if winner.kind in ("direct", *FOREIGN):
        races.left[step] = winner.agent
    elif winner.do("rm", f"steps/{step}/claim").done:  # else its mount renews it from now on
        races.left[step] = None


def _count(made: Fleet, races: Races, step: str, told: Outcomes, patience: float) -> None:
    """Say of a race what came of it."""
    problem, explanation = _judge(made, step, told, patience)
    with races.lock:
        if not patience and (problem == UNDECIDED or (explanation and not problem)):
            races.undecided.append((step, told))
        elif problem:
            races.wrong.append(f"{step}: {problem}; {_shown(told)}")
            say(races.wrong[-1])
        elif explanation:
            races.explained[explanation] += 1
        else:
            races.one_winner += 1
            races.wins[next(client.kind for client, it in told if it.done)] += 1


def _look_again(made: Fleet, races: Races, kinds: Mapping[str, str]) -> None:
    """See that each step is as its race left it; what came late may take a while to be undone."""
    end = time.monotonic() + UNDONE
    for step, holder in races.left.items():
        while (now := _holder(made, step)) != holder:
            if holder is None and now is not None and kinds[now] in ("direct", *FOREIGN):
                races.late[kinds[now]] += 1  # nobody undoes it
                break
            if time.monotonic() > end:
                races.wrong.append(f"{step} was left to {holder}, and {now} has it")
                say(races.wrong[-1])
                break
            time.sleep(0.2)


def _judge(
    made: Fleet, step: str, told: Outcomes, patience: float
) -> tuple[str | None, str | None]:
    """Return what is wrong with a race, or else what explains that it had no winner."""
    winners = [client for client, it in told if it.done]
    by_agent = {client.agent: (client, it) for client, it in told}
    if len(winners) > 1:
        return "more than one was told that it won", None
    end = time.monotonic() + patience
    while (holder := _holder(made, step)) is not None:
        client, it = by_agent[holder]
        if winners:
            if client in winners:
                return None, None
            return f"{winners[0].agent} was told that it won, {holder} has it", None
        if client.kind in FOREIGN:
            # Its client sends again what was not answered, and takes its own claim for another's.
            return None, "the reference was not told that it won"
        if not it.unknown:
            return f"{holder} has it, and was told that it does not", None
        if client.kind == "direct":
            return None, "a bare request was not told that it won, which nobody undoes"
        if time.monotonic() >= end:
            return UNDECIDED, None
        time.sleep(0.2)
    if winners:
        return f"{winners[0].agent} was told that it won, and nobody has it", None
    if any(it.unknown for _, it in told):
        return None, "EIO, and given back"
    if any(it.code == errno.ETIMEDOUT for _, it in told):
        return None, "the store did not answer in time; nobody has it"
    return "nobody has it, though no outcome was unknown", None


def _holder(made: Fleet, step: str) -> str | None:
    def document(key: str) -> Any:
        return made.body(key)

    def claim(body: bytes | None) -> Claim | None:
        return Claim.parse(body) if body else None

    def status(body: bytes | None) -> Status | None:
        try:
            return Status.parse(body) if body else None
        except Malformed:
            return None

    where = StepId(step)
    now = effective(
        claim(document(keys.claim(where))), status(document(keys.status(where))), ran_out=False
    )
    return now.agent if now.state is not State.PENDING else None


def _shown(told: Outcomes) -> str:
    return json.dumps([(it.agent, it.kind, what.code, what.text[-200:]) for it, what in told])
