"""The worker loop of tree.md, by a fleet of shells, some of which are killed in mid-step."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

import pytest

from tests.mounts import Mount, children, credentials
from tests.servers import Account

WORKERS: Final = 8
PATIENCE: Final = 180.0  # seconds for all of it: five times what it takes on two cores
# A line is written before `complete`: whoever comes after this step begins when it is complete.
# The work does not inherit the file that holds the step, or it would hold it a moment longer.
LOOP: Final = """
while s=$(cat ready/take); do
    exec 9> steps/$s/hold || { echo "$s cannot be held" >> "$LOG"; exit 3; }
    sleep 0.0$((RANDOM % 9 + 1)) 9>&-
    echo "$s" >> "$LOG"
    echo complete > steps/$s/status || { echo "$s was refused" >> "$LOG"; exit 4; }
    exec 9>&-
done
"""

Graph = Mapping[str, Sequence[str]]


def drawn(steps: int, dice: random.Random) -> Graph:
    """Return steps, each with those that come first: of the ones before it, two on average."""
    names = [f"s{number:03}" for number in range(steps)]
    return {
        name: [it for it in names[max(0, at - 40) : at] if dice.random() < 2 / min(40, at)]
        for at, name in enumerate(names)
    }


def planned(mount: Mount, graph: Graph, dice: random.Random) -> None:
    """Write the graph, in any order."""
    lines = [f"echo {' '.join(first)} > steps/{step}/after" for step, first in graph.items()]
    dice.shuffle(lines)
    mount.out("set -e; " + "; ".join(lines))


@final
class Fleet:
    """The workers of some mounts. A killed one is replaced."""

    def __init__(self, mounts: Sequence[Mount], log: Path) -> None:
        self._log = log
        self._started = 0
        self._workers: list[tuple[Mount, subprocess.Popen[bytes]]] = []
        self.killed = 0
        for number in range(WORKERS):
            self._start(mounts[number % len(mounts)])

    def _start(self, mount: Mount) -> None:
        self._started += 1
        with self._said(self._started).open("wb") as said:
            worker = subprocess.Popen(
                ["bash", "-c", LOOP],
                cwd=mount.path,
                env={**os.environ, "LOG": str(self._log)},
                stdin=subprocess.DEVNULL,
                stderr=said,
            )
        self._workers.append((mount, worker))

    def kill_one(self, dice: random.Random) -> bool:
        """Kill a worker that is in the midst of a step, if there is one, and start another."""
        for mount, worker in dice.sample(self._workers, len(self._workers)):
            # Stopped, it cannot get out of its step between our look and the signal.
            worker.send_signal(signal.SIGSTOP)
            works = [it for it in children(worker.pid) if _comm(it) == "sleep"]
            if works:
                worker.kill()
                worker.wait()
                self._workers.remove((mount, worker))
                self._start(mount)
                self.killed += 1
                return True
            worker.send_signal(signal.SIGCONT)
        return False

    def _said(self, number: int) -> Path:
        return self._log.with_name(f"worker-{number}.err")

    @property
    def working(self) -> bool:
        return any(worker.poll() is None for _, worker in self._workers)

    def end(self) -> None:
        for _, worker in self._workers:
            worker.kill()
            worker.wait()

    def outcome(self) -> tuple[set[int], set[str]]:
        """Return how the loops ended, and all that they said on the way."""
        said = {self._said(number + 1).read_text() for number in range(self._started)}
        return {worker.wait() for _, worker in self._workers}, said


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.fixture
def local(home: Path) -> Iterator[Sequence[Mount]]:
    """Yield two mounts of a local directory."""
    with two_mounts(home, str(home / "store"), (), {}) as mounts:
        yield mounts


@pytest.fixture
def distant(home: Path, seaweed: Account, project: str) -> Iterator[Sequence[Mount]]:
    """Yield two mounts of a project on a real S3 server."""
    store, options = f"s3://{seaweed.bucket}/{project}", ("--endpoint", seaweed.endpoint)
    with two_mounts(home, store, options, credentials(seaweed)) as mounts:
        yield mounts


@contextmanager
def two_mounts(
    home: Path, store: str, options: Sequence[str], environment: Mapping[str, str]
) -> Iterator[Sequence[Mount]]:
    with (
        Mount(home, store, "designer", *options, environment=environment) as one,
        Mount(home, store, "developer", *options, environment=environment) as other,
    ):
        yield one, other


@pytest.mark.parametrize(("where", "steps"), [("distant", 300), ("local", 100)])
def test_a_fleet_completes_each_step_once_and_in_order(
    request: pytest.FixtureRequest, home: Path, where: str, steps: int
) -> None:
    """However many workers take, and however many of them die, each step is completed once, after
    those that come first, and every loop ends."""
    mounts: Sequence[Mount] = request.getfixturevalue(where)
    dice = random.Random(seed := random.randrange(1 << 32))
    print("seed", seed)
    graph = drawn(steps, dice)
    began = time.monotonic()
    planned(mounts[0], graph, dice)
    print(f"planned in {time.monotonic() - began:.1f} s")
    log = home / "completed"
    log.touch()
    fleet = Fleet(mounts, log)
    began = time.monotonic()
    try:
        second = 1
        while fleet.working:
            assert time.monotonic() - began < PATIENCE, log.read_text()
            if time.monotonic() - began >= second and fleet.kill_one(dice):
                second += 1
            time.sleep(0.02)
        took = time.monotonic() - began
        codes, said = fleet.outcome()
    finally:
        fleet.end()
    print(f"{steps} steps in {took:.1f} s, {fleet.killed} workers killed")
    completed = log.read_text().split("\n")[:-1]
    assert sorted(completed) == sorted(graph)  # each once, and nothing that was refused
    place = {step: at for at, step in enumerate(completed)}
    assert [(it, first) for it in graph for first in graph[it] if place[first] > place[it]] == []
    assert fleet.killed >= took // 2
    # The loop ends with its condition: its own status is that of the last command it ran.
    assert codes == {0}
    assert said == {"", "cat: ready/take: No data available\n"}  # nothing by those that died
    assert mounts[1].out("ls ready; cat steps/*/status | sort | uniq -c").split() == [
        str(steps),
        "complete",
    ]
    for mount in mounts:
        print(mount.log)
        assert "Traceback" not in mount.log
