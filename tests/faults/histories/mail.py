"""Mail: everybody sends to one mailbox while requests fail, mounts and the server crash.

Every message that was accepted is there in the end, once and whole, in the order of its sender;
what was not accepted is there at most once.
"""

import hashlib
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, final

from tcfs.wire.mail import Message
from tests.faults.histories.clients import Client, Told
from tests.faults.histories.fleet import Fleet, fleet, say
from tests.faults.histories.nemesis import Nemesis

DEADLINE: Final = 4.0
READER: Final = "reader"
SETTLES: Final = 120.0  # seconds: until what waits on a disk is sent


@final
@dataclass
class Letters:
    """What came of the messages."""

    accepted: dict[str, list[str]] = field(default_factory=dict)  # by sender, in order
    doubtful: set[str] = field(default_factory=set)
    refused: dict[str, Told] = field(default_factory=dict)
    by: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    delivered: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        return sum(map(len, self.accepted.values()))

    @property
    def good(self) -> bool:
        return self.delivered == self.count and not self.wrong

    def report(self) -> str:
        return (
            f"{self.count} accepted, {self.delivered} of them delivered, {len(self.doubtful)} of "
            f"unknown outcome, {len(self.refused)} refused, by {dict(self.by)}, "
            f"{self.crashes} crashes; {len(self.wrong)} wrong"
        )


def mail(seed: int, count: int, crashes: int = 20) -> Letters:
    """Send so many messages with so many crashes in between, and return what came of them."""
    letters = Letters()
    chance = random.Random(seed)
    with fleet(seed, "mail") as made:
        mounts = [made.mount("--deadline", str(DEADLINE)) for _ in range(2)]
        crew: list[Client] = [
            made.shell(it, f"s{n}{k}") for n, it in enumerate(mounts) for k in range(5)
        ]
        crew += made.agents_of(made.library(900, DEADLINE), ["l0", "l1", "l2", "l3"])
        crew += made.commands(["c0", "c1"], 30)
        with made.calm():
            mounts[0].out(f"echo here > as/{READER}/agents/{READER}")
        nemesis = Nemesis(made, chance, ("mount", "mount", "server"))
        ends = threading.Event()
        begin = time.monotonic()

        def send(client: Client, seed: int) -> None:
            _send(client, letters, random.Random(seed), ends)

        with ThreadPoolExecutor(len(crew)) as threads:
            running = [threads.submit(send, it, chance.randrange(1 << 32)) for it in crew]
            said = 0
            try:
                while letters.count < count or letters.crashes < crashes:
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
        _judge(made, letters)
        say(f"  {made.chance}; {nemesis}")
    return letters


def _send(client: Client, letters: Letters, chance: random.Random, ends: threading.Event) -> None:
    number = 0
    while not ends.is_set():
        number += 1
        body = f"{client.agent}-{number}-" + "x" * chance.choice((0, 10, 100, 3000))
        text = f"{body}-{hashlib.sha256(body.encode()).hexdigest()[:16]}"
        told = client.do("send", f"messages/{READER}/inbox", f"{text}\n")
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


def _settle(made: Fleet, letters: Letters) -> None:
    """Wait until what was accepted has come, as long as it may take when nothing fails any more."""
    made.proxy.rules = ()
    end = time.monotonic() + SETTLES
    while time.monotonic() < end and any(mount.out("cat .tcfs/outbox") for mount in made.mounts):
        time.sleep(0.5)
    while time.monotonic() < end and len(made.keys(f"messages/{READER}/")) < letters.count:
        time.sleep(0.5)


def _judge(made: Fleet, letters: Letters) -> None:
    found: Counter[str] = Counter()
    order: dict[str, list[str]] = {}
    for key in sorted(made.keys(f"messages/{READER}/")):
        message = Message.parse(made.body(key) or b"")
        body, _, digest = message.text.rstrip("\n").rpartition("-")
        if hashlib.sha256(body.encode()).hexdigest()[:16] != digest:
            letters.wrong.append(f"{key} is torn: {message.text[:100]!r}")
            continue
        text = f"{body}-{digest}"
        found[text] += 1
        order.setdefault(message.sender, []).append(text)
    for sender, accepted in letters.accepted.items():
        for text in accepted:
            if found[text] == 1:
                letters.delivered += 1
            elif not found[text]:
                letters.wrong.append(f"of {sender}, {text[:40]} is missing")
        sure = set(accepted)
        came = [it for it in order.get(sender, []) if it in sure]
        if came != [it for it in accepted if found[it]]:
            letters.wrong.append(f"what {sender} sent is not in its order")
    letters.wrong += [f"{text[:40]} is there {n} times" for text, n in found.items() if n > 1]
    known = letters.doubtful.union(*letters.accepted.values())
    letters.wrong += [
        f"{it[:40]} was refused ({letters.refused.get(it)}), and is there"
        for it in found
        if it not in known
    ]
    for each in letters.wrong[:50]:
        say(f"  {each}")
