"""Who was away when is noted: by that it is judged which leases may have run out."""

import random
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.histories import nemesis
from tests.faults.histories.nemesis import Nemesis, Party


@dataclass(eq=False)
class Thing:
    """A mount, its process, its host, or a server: takes the time of what is done to it."""

    met: list[int] = field(default_factory=list)

    @property
    def process(self) -> "Thing":
        return self

    def note(self, *_: object) -> int:
        self.met.append(time.monotonic_ns())
        return 0

    end = send_signal = cut = mend = kill = start = note


@dataclass
class Struck:
    """What came of one strike."""

    nemesis: Nemesis
    mounts: list[Any]
    server: Thing

    @property
    def away(self) -> dict[str, Any]:
        """When the agents of the two mounts, and one of none, were away."""
        agents: list[Any] = [SimpleNamespace(agent=it) for it in ("a", "b", "library")]
        return Party(agents, {"a": self.mounts[0], "b": self.mounts[1]}).away(self.nemesis)


def strike(monkeypatch: pytest.MonkeyPatch, kind: str) -> Struck:
    monkeypatch.setattr(nemesis, "BETWEEN", (0.0, 0.0))
    mounts, server = [Thing(), Thing()], Thing()
    fleet: Any = SimpleNamespace(
        mounts=mounts,
        stepping=mounts,
        places=mounts,
        server=server,
        again=lambda mount, anew: mount.note(),
    )
    made = Nemesis(fleet, random.Random(1), (kind,), lasts=(0.01, 0.01))
    made.strike()
    assert made.met == {kind: 1}
    return Struck(made, mounts, server)


@pytest.mark.parametrize("kind", ["mount", "stop", "cut"])
def test_a_mount_is_away_from_before_it_is_hurt_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    struck = strike(monkeypatch, kind)
    away = struck.away
    for agent, mount in zip("ab", struck.mounts, strict=True):
        assert bool(away[agent]) == bool(mount.met)
    ((hurt, (gap,)),) = ((who, it) for who, it in away.items() if it)
    first, last = struck.mounts["ab".index(hurt)].met
    assert gap.begin <= first < last <= gap.end


def test_while_the_server_is_away_everybody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    struck = strike(monkeypatch, "server")
    away = struck.away
    assert away["a"] == away["b"] == away["library"]
    (gap,) = away["a"]
    killed, started = struck.server.met
    assert gap.begin <= killed < started <= gap.end


def test_a_clock_that_is_set_keeps_nobody_away(monkeypatch: pytest.MonkeyPatch) -> None:
    struck = strike(monkeypatch, "clock")
    assert sum(len(it.met) for it in struck.mounts) == 1
    assert not any(struck.away.values())


def test_where_nobody_is_hurt_nobody_is_away() -> None:
    assert Party([], {}).away(None) == {}
