"""Mail: everybody sends to one mailbox while requests fail, mounts and the server crash.

Every message that was accepted is there in the end, once and whole, in the order of its sender;
what was not accepted is there at most once. Some go to one who reads `unread` on a mount meanwhile,
and has been shown each of them once in the end (a read that was cut short by a crash may have
marked what it printed as read); and some to one who reads with the reference's
`inbox --new`, and has been shown all of them.
"""

import hashlib
import random
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, final

from tcfs.wire import keys
from tcfs.wire.ids import AgentId
from tcfs.wire.mail import Message
from tests.faults.histories.clients import Client, Told
from tests.faults.histories.fleet import Fleet, fleet, say
from tests.faults.histories.nemesis import Nemesis
from tests.interop.reference import NEWEST

DEADLINE: Final = 4.0
READER: Final = "reader"
OURS: Final = "our-reader"
FOREIGN: Final = "foreign-reader"
PART: Final = 0.05  # of the messages: a cursor holds 1000
FOREIGN_PART: Final = 0.01  # which it fetches one by one
BOXES: Final = (READER, OURS, FOREIGN)
_SHOWN: Final = re.compile(r"^\[.*\] \(direct\) \S+: (\S+)$", re.MULTILINE)
SETTLES: Final = 120.0  # seconds: until what waits on a disk is sent


@final
@dataclass
class Letters:
    """What came of the messages; `wanted` of them, with `through` crashes in between."""

    wanted: int
    through: int
    accepted: dict[str, list[str]] = field(default_factory=dict)  # by sender, in order
    doubtful: set[str] = field(default_factory=set)
    refused: dict[str, Told] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)  # to the reference's reader
    read: Counter[str] = field(default_factory=Counter)  # on a mount, by how many reads
    printed: set[str] = field(default_factory=set)  # there, by reads that failed at their end
    by: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    delivered: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        return sum(map(len, self.accepted.values()))

    @property
    def all_came(self) -> bool:
        return self.count >= self.wanted and self.crashes >= self.through

    @property
    def ahead(self) -> bool:
        """Tell whether more was sent than belongs before the next crash."""
        return self.count * (self.through + 1) > self.wanted * (self.crashes + 1)

    @property
    def good(self) -> bool:
        return self.delivered == self.count and not self.wrong

    def report(self) -> str:
        return (
            f"{self.count} accepted, {self.delivered} of them delivered, {len(self.doubtful)} of "
            f"unknown outcome, {len(self.refused)} refused, by {dict(self.by)}, "
            f"{len(self.read)} read, {len(self.shown)} shown to the reference, "
            f"{self.crashes} crashes; "
            f"{len(self.wrong)} wrong"
        )


def mail(seed: int, count: int, crashes: int = 20, *, foreign: bool = True) -> Letters:
    """Send so many messages with so many crashes in between, and return what came of them.

    With `foreign` the reference sends and reads as well: not 0.2.0, which names a message by its
    sender and the second, and so loses some of its own.
    """
    letters = Letters(count, crashes)
    chance = random.Random(seed)
    with fleet(seed, "mail") as made:
        mounts = [made.mount("--deadline", str(DEADLINE)) for _ in range(2)]
        crew: list[Client] = [
            made.shell(it, f"s{n}{k}") for n, it in enumerate(mounts) for k in range(5)
        ]
        crew += made.agents_of(made.library(900, DEADLINE), ["l0", "l1", "l2", "l3"])
        crew += made.commands(["c0", "c1"], 30)
        ours: Client = made.shell(mounts[0], OURS)
        reader: Client | None = None
        if foreign:
            *others, reader = made.reference_commands(NEWEST, ["r0", "r1", FOREIGN])
            crew += others
        with made.calm():
            for box in BOXES:
                mounts[0].out(f"echo here > as/{box}/agents/{box}")
        nemesis = Nemesis(made, chance, ("mount", "mount", "server"))
        ends = threading.Event()
        begin = time.monotonic()

        def send(client: Client, seed: int) -> None:
            _send(client, letters, random.Random(seed), ends, FOREIGN_PART if reader else 0)

        with ThreadPoolExecutor(len(crew) + 2) as threads:
            running = [threads.submit(send, it, chance.randrange(1 << 32)) for it in crew]
            running.append(threads.submit(_read_ours, ours, letters, ends))
            if reader is not None:
                running.append(threads.submit(_read, reader, letters, ends))
            said = 0
            try:
                while not letters.all_came:
                    if any(it.done() for it in running):
                        break  # it failed, and says so below
                    if letters.crashes < crashes:
                        nemesis.strike()
                        letters.crashes = sum(nemesis.met.values())
                    else:
                        time.sleep(0.1)
                    if letters.count >= said + 500:
                        said = letters.count
                        say(f"  {time.monotonic() - begin:.0f} s: {letters.report()}")
                        made.proxy.asked.clear()
            finally:
                ends.set()
            for each in running:
                each.result()
        nemesis.mend()
        _settle(made, letters)
        _look(ours, letters)
        if reader is not None:
            _read_all(reader, letters)
        _judge(made, letters)
        say(f"  {made.chance}; {nemesis}")
    return letters


def _send(
    client: Client,
    letters: Letters,
    chance: random.Random,
    ends: threading.Event,
    part: float,
) -> None:
    number = 0
    while not ends.is_set():
        if letters.ahead:  # slower, and not at rest when it comes
            ends.wait(chance.uniform(0, 0.5))
        number += 1
        body = f"{client.agent}-{number}-" + "x" * chance.choice((0, 10, 100, 3000))
        text = f"{body}-{hashlib.sha256(body.encode()).hexdigest()[:16]}"
        box = chance.choices((FOREIGN, OURS, READER), (part, PART, 1))[0]
        told = client.do("send", f"messages/{box}/inbox", f"{text}\n")
        with letters.lock:
            letters.by[client.kind] += 1
            if told.done:
                letters.accepted.setdefault(client.agent, []).append(text)
            elif told.unknown:
                letters.doubtful.add(text)
            else:
                letters.refused[text] = told
        if not told.done:
            ends.wait(0.2)  # the mount may be away


def _read_ours(reader: Client, letters: Letters, ends: threading.Event) -> None:
    while not ends.wait(0.2):
        _look(reader, letters)


def _look(reader: Client, letters: Letters) -> None:
    """Read what is new."""
    told = reader.do("cat", f"messages/{OURS}/unread")
    found = _SHOWN.findall(told.text)
    if told.done:
        letters.read.update(found)
    else:
        letters.printed.update(found)


def _read(reader: Client, letters: Letters, ends: threading.Event) -> None:
    """Have the reference show what is new, again and again."""
    while not ends.wait(0.5):
        told = reader.do("cat", f"messages/{FOREIGN}/unread")
        letters.shown.update(_SHOWN.findall(told.text))  # if it failed it shows them once more


def _read_all(reader: Client, letters: Letters) -> None:
    """Have it show the rest, when nothing fails any more."""
    told = reader.do("cat", f"messages/{FOREIGN}/unread")
    assert told.done, told
    letters.shown.update(_SHOWN.findall(told.text))


def _settle(made: Fleet, letters: Letters) -> None:
    """Wait until what was accepted has come, as long as it may take when nothing fails any more."""
    made.proxy.rules = ()
    end = time.monotonic() + SETTLES
    while time.monotonic() < end and any(mount.out("cat .tcfs/outbox") for mount in made.mounts):
        time.sleep(0.5)
    while (came := sum(len(_keys(made, it)) for it in BOXES)) < letters.count:
        if time.monotonic() > end:
            letters.wrong.append(f"{letters.count - came} were not sent in {SETTLES} s")
            break
        time.sleep(0.5)


def _keys(made: Fleet, box: str) -> list[str]:
    return sorted(it for it in made.keys(f"messages/{box}/") if it != keys.cursor(AgentId(box)))


def _judge(made: Fleet, letters: Letters) -> None:
    found: Counter[str] = Counter()
    order: dict[tuple[str, str], list[str]] = {}  # by sender and mailbox
    for box, key in ((it, key) for it in BOXES for key in _keys(made, it)):
        message = Message.parse(made.body(key) or b"")
        body, _, digest = message.text.rstrip("\n").rpartition("-")
        if hashlib.sha256(body.encode()).hexdigest()[:16] != digest:
            letters.wrong.append(f"{key} is torn: {message.text[:100]!r}")
            continue
        text = f"{body}-{digest}"
        found[text] += 1
        order.setdefault((message.sender, box), []).append(text)
        if box == FOREIGN and text not in letters.shown:
            letters.wrong.append(f"{key} was not shown to the reference's reader")
        if (
            box == OURS
            and letters.read[text] != 1
            and (letters.read[text] or text not in letters.printed)
        ):
            letters.wrong.append(f"{key} was shown by {letters.read[text]} reads")
    for sender, accepted in letters.accepted.items():
        for text in accepted:
            if found[text] == 1:
                letters.delivered += 1
            elif not found[text]:
                letters.wrong.append(f"of {sender}, {text[:40]} is missing")
        sure = set(accepted)
        for box in BOXES:
            came = [it for it in order.get((sender, box), []) if it in sure]
            there = set(came)
            if came != [it for it in accepted if it in there]:
                letters.wrong.append(f"what {sender} sent to {box} is not in its order")
    letters.wrong += [f"{text[:40]} is there {n} times" for text, n in found.items() if n > 1]
    known = letters.doubtful.union(*letters.accepted.values())
    letters.wrong += [
        f"{it[:40]} was refused ({letters.refused.get(it)}), and is there"
        for it in found
        if it not in known
    ]
    for each in letters.wrong[:50]:
        say(f"  {each}")
