"""Steps and locks while their holders die: claimed, finished, given back, taken over, taken.

Mounts with a short lease are killed, stopped for longer than that, cut off, and have their clocks
set; requests fail. Each step's history, and each lock's, must be one of `Step`, in which a tenure
ends by itself only after its mount was away, and its lease long over (`leases`); every step that
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
from tests.faults.histories.leases import Away, Leases, expiries
from tests.faults.histories.nemesis import Nemesis, Party
from tests.faults.histories.writes import Writes

LEASE: Final = 6  # seconds; the deadline is a third of it
DEADLINE: Final = LEASE / 3
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
    written: int = 0  # leases begun, or begun anew
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
            f"{self.written} leases written, {self.generations} looks at generations, "
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
    given_up: bool = False
    """Whether what could not be given back in time is given back later all the same."""


STEPS: Final = Things(
    ("put", "steps/{}/claim"), ("put", "steps/{}/status"), ("rm", "steps/{}/claim"),
    "steps/{}/owner", generations=True,
)  # fmt: skip
LOCKS: Final = Things(
    ("mkdir", "locks/{}"), None, ("rmdir", "locks/{}"), "locks/{}/owner", given_up=True
)


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
        made.proxy.rules = (writes := Writes(project), *made.proxy.rules)
        begin = time.monotonic()
        batch = 0
        while found.count < count:
            recorder = Recorder()
            each = min(EACH, -(-count // TOGETHER))
            names = [f"{project}-{batch}-{number}" for number in range(TOGETHER)]
            chance = random.Random(seed + batch)
            _fight(crew.clients, recorder, names, things, chance, nemesis, each * TOGETHER)
            judge(found, recorder.histories(), crew.away(nemesis), writes)
            batch += 1
            say(f"  {time.monotonic() - begin:.0f} s: {found.report()}")
            made.proxy.asked.clear()
        say(f"  {made.chance}; {nemesis or 'nobody was hurt'}")
    return found


def _crew(made: Fleet, clocks: Sequence[int | None], lease: int) -> Party:
    """Return agents on mounts, some with a clock of their own, and agents of the library."""
    mounts = [
        made.mount("--lease", str(lease), "--deadline", str(DEADLINE), clock=clock)
        for clock in clocks
    ]
    on = {f"s{n}{k}": it for n, it in enumerate(mounts) for k in range(3)}
    shells = [made.shell(it, agent) for agent, it in on.items()]
    library = made.agents_of(made.library(lease, DEADLINE), ["l0", "l1", "l2"])
    return Party([*shells, *library], on)


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
                if things.given_up and told.code == errno.ETIMEDOUT:
                    return False, None
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


def judge(
    found: Tenures,
    histories: Mapping[str, Sequence[Operation]],
    away: Mapping[str, Sequence[Away]],
    writes: Writes,
) -> None:
    """Judge the histories of steps or of locks, and note what is wrong; `away` is by agent."""
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
        found.written += len(writes.of(name))
        violation = check(Step(), meant)
        if violation is not None:
            ran_out = expiries(meant, away, writes.of(name), Leases(LEASE, DEADLINE))
            violation = check(Step(), [*meant, *ran_out])
            found.taken_over += violation is None
        if violation is not None:
            found.violations[name] = violation
            say(f"  {name}: {violation}")
            for each in sorted(history, key=lambda it: it.begin):
                say(f"    {each}")
            for who in sorted({it.who for it in history} & away.keys()):
                say(f"    {who} was away {away[who]}")
            for write in writes.of(name):
                say(f"    {write}")


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
                told = crew.clients[-1].do("put", f"steps/{name}/after", first)
                assert told.done, told
        made.proxy.rules = (writes := Writes("take"), *made.proxy.rules)
        recorder = Recorder()
        nemesis = None if quick else Nemesis(made, chance, lasts=(1.0, 2.5 * LEASE))
        ends = time.monotonic() + PATIENCE + count
        with ThreadPoolExecutor(len(crew.clients)) as threads:
            running = [
                threads.submit(
                    _work, it, recorder, ends, random.Random(seed + number) if nemesis else None
                )
                for number, it in enumerate(crew.clients)
            ]
            while nemesis is not None and not any(it.done() for it in running):
                nemesis.strike()
            for each in running:
                each.result()
        judge(found, recorder.histories(), crew.away(nemesis), writes)
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
