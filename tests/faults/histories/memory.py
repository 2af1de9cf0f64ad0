"""Memory: everybody sets, adds to and reads a few values at once, while requests fail.

Each value's history must be linearizable, and no acknowledged append or value be lost: what was
acknowledged and not replaced is in the value in the end, and every acknowledged write is in a
version.
"""

import errno
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, final

from tcfs.wire.memory import MemoryValue
from tests.faults.histories.checker import Operation, Violation, check
from tests.faults.histories.clients import Client, Told
from tests.faults.histories.fleet import Fleet, fleet, say
from tests.faults.histories.history import APPEND, GET, SET, Recorder, register_of, without_unseen
from tests.faults.histories.leases import Away
from tests.faults.histories.nemesis import Nemesis, Party

DEADLINE: Final = 4.0
KEYS: Final = 8  # that are written at once
EACH: Final = 160  # operations of one key, then comes another
LASTING: Final = 0.5  # the share of keys that are only added to


@final
@dataclass
class Values:
    """What came of the writes so far."""

    acknowledged: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    by: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    """Reads that were told that there is no value."""
    violations: dict[str, Violation] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    histories: int = 0

    @property
    def good(self) -> bool:
        return not self.violations and not self.lost and not self.doubled

    def report(self) -> str:
        return (
            f"acknowledged {dict(self.acknowledged)}, unknown {dict(self.unknown)}, not done "
            f"{dict(self.refused)}, by {dict(self.by)}, {self.missing} reads found no value; "
            f"{self.histories} histories, "
            f"{len(self.violations)} not linearizable; {len(self.lost)} lost, "
            f"{len(self.doubled)} doubled"
        )


def memory(seed: int, count: int, *, crashes: bool = True, quick: bool = False) -> Values:
    """Do `count` appends and as many replacements, and return what came of them."""
    values = Values()
    with fleet(seed, "memory", apart=1) as made:
        crew = _crew(made, quick=quick)
        nemesis = Nemesis(made, random.Random(seed)) if crashes else None
        batch = 0
        begin = time.monotonic()
        while min(values.acknowledged[APPEND], values.acknowledged[SET]) < count:
            names = [f"k{batch}-{number}" for number in range(KEYS)]
            recorder = Recorder()
            # Of five operations two or so are of the kind that is not done often enough yet.
            each = min(EACH, -(-5 * count // KEYS))
            wanted = [it for it in (APPEND, SET) if values.acknowledged[it] < count]
            mine = random.Random(seed + batch)
            _write(made, crew.clients, recorder, names, mine, wanted, nemesis, each)
            _judge(made, values, recorder.histories(), crew, crew.away(nemesis))
            batch += 1
            say(f"  {time.monotonic() - begin:.0f} s: {values.report()}")
            made.proxy.asked.clear()
        say(f"  {made.chance}; {nemesis or 'no crashes'}")
    return values


def _crew(made: Fleet, *, quick: bool) -> Party:
    mounts = [made.mount("--deadline", str(DEADLINE)) for _ in range(1 if quick else 2)]
    on = {f"s{n}{k}": it for n, it in enumerate(mounts) for k in range(4)}
    shells = [made.shell(it, agent) for agent, it in on.items()]
    library = made.library(900, DEADLINE)
    crew: list[Client] = [*shells, *made.agents_of(library, ["l0", "l1", "l2", "l3"])]
    if not quick:
        crew += made.commands(["c0", "c1"], DEADLINE)
    return Party(crew, on)


def _write(
    made: Fleet,
    crew: Sequence[Client],
    recorder: Recorder,
    names: Sequence[str],
    chance: random.Random,
    wanted: Sequence[str],
    nemesis: Nemesis | None,
    each: int,
) -> None:
    """Have everybody do some operations on some of the keys."""
    tokens = iter(range(1 << 30))
    lock = threading.Lock()
    total = each * len(names)

    def act(client: Client, seed: int) -> None:
        mine = random.Random(seed)
        for _ in range(total // len(crew)):
            name = mine.choice(names)
            lasting = names.index(name) < LASTING * len(names)
            kinds = [APPEND if lasting and it == SET else it for it in wanted]
            act = mine.choice([*kinds, *kinds, GET])
            with lock:
                text = f"{next(tokens):07}-{client.agent}\n"  # none is in another
            do(recorder, client, name, act, text)

    with ThreadPoolExecutor(len(crew)) as threads:
        running = [threads.submit(act, it, chance.randrange(1 << 32)) for it in crew]
        while nemesis is not None and not all(it.done() for it in running):
            nemesis.strike()
        for it in running:
            it.result()
    if nemesis is not None:
        nemesis.mend()
    # What a reader finds in the end, when nothing fails any more.
    with made.calm():
        for name in names:
            do(recorder, crew[0], name, GET, "")


def do(recorder: Recorder, client: Client, name: str, act: str, text: str) -> None:
    """Do one act, and note what it came to in the words of the model."""
    path = f"memory/{name}"

    def tell() -> tuple[bool, object]:
        if act == GET:
            told = client.do("cat", path)
            return told.done or _is_missing(told), told.text if told.done else None
        told = client.do("put" if act == SET else "append", path, text)
        return not told.unknown, "done" if told.done else told.code

    recorder.record(name, client.agent, act, None if act == GET else text, tell)


def _is_missing(told: Told) -> bool:
    # A command says it in words only, as it says all else.
    return told.code == errno.ENOENT or "has no value" in told.text


def meant(history: Sequence[Operation], away: Mapping[str, Sequence[Away]]) -> Sequence[Operation]:
    """Return what was done, or may have been, and what was truly read; `away` is by shell.

    To a shell nothing is there while its mount is away.
    """

    def is_meant(it: Operation) -> bool:
        if it.act != GET:
            return it.end is None or it.told == "done"
        there = it.told is not None or not any(gap.meets(it) for gap in away.get(it.who, ()))
        return it.end is not None and there

    return [it for it in history if is_meant(it)]


def _judge(
    made: Fleet,
    values: Values,
    histories: Mapping[str, Sequence[Operation]],
    crew: Party,
    away: Mapping[str, Sequence[Away]],
) -> None:
    kinds = {it.agent: it.kind for it in crew.clients}
    on_mounts = {who: it for who, it in away.items() if who in crew.mounts}
    for name, history in histories.items():
        values.histories += 1
        values.by.update(kinds[it.who] for it in history)
        for it in history:
            if it.act != GET:
                known = "unknown" if it.end is None else it.told
                where = values.acknowledged if known == "done" else values.refused
                (values.unknown if it.end is None else where)[it.act] += 1
        _look(made, values, name, history)
    for name, history in histories.items():
        told = meant(history, on_mounts)
        values.missing += sum(it.act == GET and it.told is None for it in told)
        violation = check(register_of(told), without_unseen(told))
        if violation is not None:
            values.violations[name] = violation
            say(f"  {name}: {violation}")
            for each in sorted(told, key=lambda it: it.begin):
                say(f"    {each}")


def _look(made: Fleet, values: Values, name: str, history: Sequence[Operation]) -> None:
    """Compare with the bucket: nothing that was acknowledged is missing, and nothing is twice."""
    body = made.body(f"memory/{name}.json")
    value = MemoryValue.parse(body).content().decode() if body else ""
    versions = ""
    for key in made.keys(f"memory/_history/{name}/"):
        versions += MemoryValue.parse(made.body(key) or b"").content().decode()
    only_added = all(it.act != SET for it in history)
    for it in history:
        if it.act == GET:
            continue
        count = value.count(it.given)
        if count > 1:
            values.doubled.append(f"{name}: {it} is there {count} times")
        if it.told != "done" or it.end is None:
            continue
        if only_added and count != 1:
            values.lost.append(f"{name}: {it} is not there")
        elif it.given not in versions and it.given not in value:
            values.lost.append(f"{name}: {it} is in no version")
    for each in (*values.lost, *values.doubled):
        say(f"  {each}")
