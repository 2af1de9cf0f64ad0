"""What happens to mounts, hosts and the server while others work: one thing after another.

Who was away when is noted: only a lease that could not be renewed may run out (`leases`).
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from tests.faults.histories.clients import Client
from tests.faults.histories.fleet import Fleet
from tests.faults.histories.leases import Away
from tests.mounts import Mount

LASTS: Final = (0.5, 2.0)  # seconds
BETWEEN: Final = (1.0, 4.0)
ANEW: Final = 0.5  # the share of new mounts that have to find out what the store does


@final
class Nemesis:
    """Kills, stops, cuts off, by chance. Nothing is away any more after `mend`."""

    def __init__(
        self,
        made: Fleet,
        chance: random.Random,
        kinds: Sequence[str] = ("mount", "server", "stop", "cut", "clock"),
        lasts: tuple[float, float] = LASTS,
    ) -> None:
        self.met: Counter[str] = Counter()
        self.missed = 0  # mounts that ended at once, since the store did not answer
        self._made = made
        self._chance = chance
        self._kinds = kinds
        self._lasts = lasts
        self._next = time.monotonic() + chance.uniform(*BETWEEN)
        self._away: list[tuple[Mount | None, Away]] = []  # None: the server

    def __str__(self) -> str:
        return f"meanwhile: {dict(self.met)}, {self.missed} mounts were not answered"

    def strike(self) -> None:
        """Do one thing when its time has come; to be called again and again."""
        if time.monotonic() < self._next:
            time.sleep(0.05)
            return
        kind = self._chance.choice(self._kinds)
        acts: dict[str, Callable[[Mount], bool]] = {
            "mount": self._kill,
            "server": self._kill_server,
            "stop": self._stop,
            "cut": self._cut,
            "clock": self._step,
        }
        mount = self._chance.choice(self._made.mounts)
        begin = time.monotonic_ns()
        if acts[kind](mount):
            self.met[kind] += 1
            if kind != "clock":
                whose = None if kind == "server" else mount
                self._away.append((whose, Away(begin, time.monotonic_ns())))
        self._next = time.monotonic() + self._chance.uniform(*BETWEEN)

    def away(self, mount: Mount | None) -> Sequence[Away]:
        """Return when a mount was away so far, or the server; None: of who is on no mount."""
        return [it for whose, it in self._away if whose is None or whose is mount]

    def mend(self) -> None:
        """See that everything is there: what a strike does it undoes itself."""
        for mount in self._made.mounts:
            assert mount.process.poll() is None, mount.log[-4000:]

    def _pause(self) -> None:
        time.sleep(self._chance.uniform(*self._lasts))

    def _kill(self, mount: Mount) -> bool:
        mount.end(signal.SIGKILL)
        self._pause()
        self.missed += self._made.again(mount, anew=self._chance.random() < ANEW)
        return True

    def _kill_server(self, _: Mount) -> bool:
        self._made.server.kill()
        self._pause()
        self._made.server.start()
        return True

    def _stop(self, mount: Mount) -> bool:
        mount.process.send_signal(signal.SIGSTOP)
        try:
            self._pause()
        finally:
            mount.process.send_signal(signal.SIGCONT)
        return True

    def _cut(self, mount: Mount) -> bool:
        number = self._made.mounts.index(mount)
        if number >= len(self._made.places):
            return False
        place = self._made.places[number]
        place.cut()
        try:
            self._pause()
        finally:
            place.mend()
        return True

    def _step(self, mount: Mount) -> bool:
        if mount not in self._made.stepping:
            return False
        with suppress(ProcessLookupError):
            mount.process.send_signal(signal.SIGUSR2)
        return True


@final
@dataclass(frozen=True, slots=True)
class Party:
    """Who acts, and on which mount each shell is."""

    clients: Sequence[Client]
    mounts: Mapping[str, Mount]

    def away(self, nemesis: Nemesis | None) -> dict[str, Sequence[Away]]:
        """Return by agent when its mount, or the server, was away so far."""
        if nemesis is None:
            return {}
        return {it.agent: nemesis.away(self.mounts.get(it.agent)) for it in self.clients}
