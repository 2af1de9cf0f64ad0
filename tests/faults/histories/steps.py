"""Steps and locks while their holders die: claimed, finished, given back, taken over, taken.

Mounts with a short lease are killed, stopped for longer than that, cut off, and have their clocks
set; requests fail. Each step's history, and each lock's, must be one of `Step`; every step that
`ready/take` gave out must be finished by one worker; a step's generation only rises.
"""

import errno
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, final

from tests.faults.histories.checker import Operation, Violation, check
from tests.faults.histories.clients import Client, Told
from tests.faults.histories.fleet import Fleet, fleet, say
from tests.faults.histories.generations import GENERATION, TENURE, falls, look, note_tenure
from tests.faults.histories.history import (
    CLAIM,
    DONE,
    FINISH,
    GIVE_BACK,
    HELD,
    OWNER,
    REFUSED,
    WON,
    Recorder,
    Step,
)
from tests.faults.histories.nemesis import Nemesis

LEASE: Final = 6  # seconds; the deadline is a third of it
LONG: Final = 900  # seconds: where nobody is hurt, none runs out
TOGETHER: Final = 6  # steps or locks that are fought for at once
EACH: Final = 100  # operations on each, then come others
THINKS: Final = 2.0  # seconds at most before an act, so that leases can run out in between
PATIENCE: Final = 180.0  # seconds for the workers to finish what can be


@final
@dataclass
class Tenures:
    """What came of the operations so far."""

    told: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    by: Counter[str] = field(default_factory=Counter)
    histories: int = 0
    taken_over: int = 0
    generations: int = 0
    violations: dict[str, Violation] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(self.by.values())

    @property
    def good(self) -> bool:
        return not self.violations and not self.wrong

    def report(self) -> str:
        return (
            f"{self.count} operations, {dict(self.told)}, unknown {dict(self.unknown)}, by "
            f"{dict(self.by)}; {self.histories} histories, {self.taken_over} with takings-over, "
            f"{self.generations} looks at generations, "
            f"{len(self.violations)} not linearizable, {len(self.wrong)} wrong"
        )


@final
@dataclass(frozen=True, slots=True)
class Things:
    """What is fought for, and by which acts."""

    claim: tuple[str, str]
    finish: tuple[str, str] | None
    give_back: tuple[str, str]
    owner: str
    generations: bool = False
    """Whether they only rise: a lock's begins anew when it was given back."""


STEPS: Final = Things(
    ("put", "steps/{}/claim"), ("put", "steps/{}/status"), ("rm", "steps/{}/claim"),
    "steps/{}/owner", generations=True,
)  # fmt: skip
LOCKS: Final = Things(("mkdir", "locks/{}"), None, ("rmdir", "locks/{}"), "locks/{}/owner")


def steps(seed: int, count: int, *, quick: bool = False) -> Tenures:
    """Do so many operations on steps, and return what came of them."""
    return _tenures(seed, count, "steps", STEPS, quick=quick)


def locks(seed: int, count: int, *, quick: bool = False) -> Tenures:
    """Do so many operations on locks, and return what came of them."""
    return _tenures(seed, count, "locks", LOCKS, quick=quick)


def _tenures(seed: int, count: int, project: str, things: Things, *, quick: bool) -> Tenures:
    found = Tenures()
    with fleet(seed, project, apart=0 if quick else 2) as made:
        crew = _crew(made, (seed,) if quick else (seed, None, None), LONG if quick else LEASE)
        nemesis = None if quick else Nemesis(made, random.Random(seed), lasts=(1.0, 2.5 * LEASE))
        begin = time.monotonic()
        batch = 0
        while found.count < count:
            recorder = Recorder()
            each = min(EACH, -(-count // TOGETHER))
            names = [f"{project}-{batch}-{number}" for number in range(TOGETHER)]
            chance = random.Random(seed + batch)
            _fight(crew, recorder, names, things, chance, nemesis, each * TOGETHER)
            _judge(found, recorder.histories(), expiring=nemesis is not None)
            batch += 1
            say(f"  {time.monotonic() - begin:.0f} s: {found.report()}")
            made.proxy.asked.clear()
        say(f"  {made.chance}; {nemesis or 'nobody was hurt'}")
    return found


def _crew(made: Fleet, clocks: Sequence[int | None], lease: int) -> Sequence[Client]:
    """Return agents on mounts, some with a clock of their own, and agents of the library."""
    mounts = [
        made.mount("--lease", str(lease), "--deadline", str(LEASE / 3), clock=clock)
        for clock in clocks
    ]
    crew: list[Client] = [
        made.shell(it, f"s{n}{k}") for n, it in enumerate(mounts) for k in range(3)
    ]
    return [*crew, *made.agents_of(made.library(lease, LEASE / 3), ["l0", "l1", "l2"])]


def _fight(
    crew: Sequence[Client],
    recorder: Recorder,
    names: Sequence[str],
    things: Things,
    chance: random.Random,
    nemesis: Nemesis | None,
    count: int,
) -> None:
    looks = [OWNER, GENERATION] if things.generations else [OWNER] * 2

    def act(client: Client, seed: int) -> None:
        mine = random.Random(seed)
        won: set[str] = set()
        for _ in range(count // len(crew)):
            if nemesis is not None:
                time.sleep(mine.uniform(0, THINKS))
            name = mine.choice(names)
            kinds = [CLAIM] * 4 + [GIVE_BACK] * 3 + looks
            # Seldom, for that is the end of it.
            kinds += [FINISH] if things.finish and mine.random() < 0.15 else []
            kind = mine.choice(kinds)
            if kind == GENERATION:
                look(recorder, client, name)
                continue
            if kind == GIVE_BACK and won and mine.random() < 0.7:
                name = mine.choice(sorted(won))
            done = do(recorder, client, name, kind, things)
            if kind in (GIVE_BACK, FINISH):
                won.discard(name)
            elif done.told == WON:
                won.add(name)
                if things.generations:
                    note_tenure(recorder, client, name, done)

    with ThreadPoolExecutor(len(crew)) as threads:
        running = [threads.submit(act, it, chance.randrange(1 << 32)) for it in crew]
        while nemesis is not None and not all(it.done() for it in running):
            nemesis.strike()
        for it in running:
            it.result()
    if nemesis is not None:
        nemesis.mend()


def do(recorder: Recorder, client: Client, name: str, act: str, things: Things) -> Operation:
    """Do one act, and note what it came to in the words of the model."""

    def tell() -> tuple[bool, object]:
        match act:
            case "claim":
                told = _ask(client, things.claim, name)
                return _known(told, {0: WON, errno.EEXIST: HELD})
            case "finish":
                assert things.finish is not None
                told = _ask(client, things.finish, name, "complete\n")
                return _known(told, {0: DONE, errno.EPERM: REFUSED})
            case "give back":
                told = _ask(client, things.give_back, name)
                return _known(told, {0: DONE, errno.EPERM: REFUSED})
            case _:
                told = client.do("cat", things.owner.format(name))
                return told.done, told.text.strip()

    return recorder.record(name, client.agent, act, client.kind, tell)


def _ask(client: Client, how: tuple[str, str], name: str, data: str = "") -> Told:
    act, path = how
    return client.do(act, path.format(name), data)


def _known(told: Told, words: Mapping[int, str]) -> tuple[bool, object]:
    if told.unknown:
        return False, None
    # Anything else (ENOENT where the mount is away, ETIMEDOUT) has changed nothing.
    return True, words.get(told.code)


def _judge(found: Tenures, histories: Mapping[str, Sequence[Operation]], *, expiring: bool) -> None:
    for name, history in histories.items():
        found.histories += 1
        generations = [it for it in history if it.act in (GENERATION, TENURE)]
        found.generations += len(generations)
        for fall in falls(generations):
            found.wrong.append(f"{name}: {fall}")
            say(f"  {found.wrong[-1]}")
        found.by.update(str(it.given) for it in history if it.act != TENURE)
        history = [it for it in history if it.act not in (GENERATION, TENURE)]
        for it in history:
            if it.end is None:
                if it.act != OWNER:
                    found.unknown[it.act] += 1
            elif it.act != OWNER:
                found.told[f"{it.act}: {it.told or 'not done'}"] += 1
        meant = [
            it for it in history if it.told is not None or (it.end is None and it.act != OWNER)
        ]
        violation = check(Step(), meant)
        if violation is not None and expiring:
            # A lease ran out; whose it was must still not be believed.
            found.taken_over += 1
            violation = check(Step(expires={it.who for it in history}), meant)
        if violation is not None:
            found.violations[name] = violation
            say(f"  {name}: {violation}")
            for each in sorted(history, key=lambda it: it.begin):
                say(f"    {each}")


# ready/take


def take(seed: int, count: int, *, quick: bool = False) -> Tenures:
    """Let workers take and finish so many steps, and return what came of them."""
    found = Tenures()
    chance = random.Random(seed)
    with fleet(seed, "take", apart=0 if quick else 2) as made:
        crew = _crew(made, (seed,) if quick else (seed, None, None), LONG if quick else LEASE)
        names = [f"step-{number}" for number in range(count)]
        with made.calm():
            for number, name in enumerate(names):
                # Every third one comes after an earlier one.
                first = f"{chance.choice(names[:number])}\n" if number % 3 == 2 else "\n"
                told = crew[-1].do("put", f"steps/{name}/after", first)
                assert told.done, told
        recorder = Recorder()
        nemesis = None if quick else Nemesis(made, chance, lasts=(1.0, 2.5 * LEASE))
        ends = time.monotonic() + PATIENCE + count
        with ThreadPoolExecutor(len(crew)) as threads:
            works = [
                random.Random(seed + number) if nemesis else None for number in range(len(crew))
            ]
            running = [
                threads.submit(_work, it, recorder, ends, work)
                for it, work in zip(crew, works, strict=True)
            ]
            while nemesis is not None and not any(it.done() for it in running):
                nemesis.strike()
            for each in running:
                each.result()
        _judge(found, recorder.histories(), expiring=nemesis is not None)
        _look(found, recorder.histories(), names, made)
        say(f"  {found.report()}")
        say(f"  {made.chance}; {nemesis or 'nobody was hurt'}")
    return found


def _work(client: Client, recorder: Recorder, ends: float, working: random.Random | None) -> None:
    """Take steps, work on each for up to a lease, and finish them, until nothing is left.

    Without `working` they are finished at once.
    """
    while True:
        begin = time.monotonic_ns()
        told = client.do("cat", "ready/take")
        if told.code == errno.ENODATA:
            return
        assert time.monotonic() < ends, f"{client.agent} still finds something to do: {told}"
        if not told.done:
            time.sleep(0.1)  # the mount may be away
            continue
        name = told.text.strip()
        end = time.monotonic_ns()
        recorder.add(name, Operation(client.agent, CLAIM, client.kind, WON, begin, end))
        if working is not None:
            time.sleep(working.uniform(0, LEASE))
        while True:
            finished = do(recorder, client, name, FINISH, STEPS)
            if finished.told in (DONE, REFUSED):
                break
            time.sleep(0.1)


def _look(
    found: Tenures,
    histories: Mapping[str, Sequence[Operation]],
    names: Sequence[str],
    made: Fleet,
) -> None:
    for name in names:
        status = json.loads(made.body(f"steps/{name}/status.json") or b"{}")
        if status.get("status") != "complete":
            found.wrong.append(f"{name} is {status}")
        done = [it for it in histories.get(name, ()) if it.act == FINISH and it.told == DONE]
        if len({it.who for it in done}) > 1:
            found.wrong.append(f"{name} was finished twice: {done}")
    for each in found.wrong:
        say(f"  {each}")
