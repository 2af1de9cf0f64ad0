"""How soon those who wait are woken, and what waiting asks of the store.

A wake-up is measured from where the change begins to where the reader has its answer: the write of
`complete` to the `status` of a step that is held, through the reader's mount or another, and the
return of a read of its `wait`. Requests are counted by the mounts themselves, in `.tcfs/metrics`.
"""

import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.exposition import parse
from tests.mounts import Mount, until

SAMPLES: Final = 120
WINDOW: Final = 60.0  # seconds
CROWD: Final = 500  # who wait in one mount, below the 512 that may
TICK: Final = 1.0  # seconds: a change comes at any moment between two looks

Make = Callable[[str], Mount]


@dataclass(frozen=True, slots=True)
class Waking:
    """How long it took until a reader had its answer, in milliseconds."""

    name: str
    samples: int
    p50_ms: float
    p99_ms: float
    target_ms: float  # of the 99th percentile

    def line(self) -> str:
        """Return a line of the table."""
        verdict = "" if self.p99_ms <= self.target_ms else "  ABOVE"
        return (
            f"{self.name:<34}{self.p50_ms:>9.1f}{self.p99_ms:>9.1f}{self.samples:>7}  "
            f"{self.target_ms:>6.0f}{verdict}"
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What a mount asked of its store in a minute; `by_verb` without what nobody waited for."""

    name: str
    waiters: int
    requests: int
    by_verb: dict[str, int]
    target: int | None

    def line(self) -> str:
        """Return a line of the table."""
        verdict = "  ABOVE" if self.target is not None and self.requests > self.target else ""
        verbs = " ".join(f"{verb} {count}" for verb, count in sorted(self.by_verb.items()))
        target = "" if self.target is None else str(self.target)
        return f"{self.name:<34}{self.waiters:>9}{self.requests:>9}  {target:>6}  {verbs}{verdict}"


def wake_ups(make: Make) -> Sequence[Waking]:
    """Measure both; prints a line each."""
    print(f"{'':<34}{'p50 ms':>9}{'p99 ms':>9}{'times':>7}  target")
    found = []
    with make("reader") as reader, make("writer") as writer:
        for name, by, target in (
            ("wake a waiter: same mount", reader, 50.0),
            ("wake a waiter: another mount", writer, 1200.0),
        ):
            took = [_wake(reader.path, by.path, f"{by.path.name}-{n}") for n in range(SAMPLES)]
            cuts = statistics.quantiles(took, n=100, method="inclusive")
            found.append(Waking(name, SAMPLES, cuts[49] * 1000, cuts[98] * 1000, target))
            print(found[-1].line(), flush=True)
    return found


def requests(make: Make) -> Sequence[Asked]:
    """Count what is asked in a minute: by an idle mount, with one waiter, and with a thousand.

    The thousand wait for one step in two mounts, half in each, since 512 may in one. All four
    mounts are counted in the same minute.
    """
    print(f"{'requests in ' + str(int(WINDOW)) + ' s':<34}{'waiters':>9}{'asked':>9}  target")
    names = ("idle", "one", "crowd-1", "crowd-2")
    waiters = dict(zip(names, (0, 1, CROWD, CROWD), strict=True))
    with ExitStack() as stack:
        mounts = {name: stack.enter_context(make(name)) for name in names}
        # One that nobody has heard of would be looked for among all others, at first.
        (mounts["one"].path / "steps/all/claim").write_text("mine\n")
        threads = [
            _reader(mounts[name].path / "steps/all/wait")
            for name in names
            for _ in range(waiters[name])
        ]
        for name in names:
            until(lambda name=name: _blocked(mounts[name]) == waiters[name], "the readers")
        time.sleep(2 * TICK)  # what it takes to begin is not part of it
        before = {name: counts(mounts[name]) for name in names}
        time.sleep(WINDOW)
        found = []
        for name in names:
            now = counts(mounts[name])
            grown = {verb: int(now[verb] - before[name].get(verb, 0)) for verb in now}
            asked = {verb: count for verb, count in grown.items() if count}
            target = 1 if name == "idle" else None
            found.append(Asked(name, waiters[name], sum(asked.values()), asked, target))
        (mounts["one"].path / "steps/all/status").write_text("complete\n")
        for it in threads:
            it.join()
    for row in found:
        print(row.line(), flush=True)
    return found


def _wake(reader: Path, writer: Path, step: str) -> float:
    """Return how many seconds a change took to wake a reader that waited before."""
    returned: list[float] = []
    (writer / f"steps/{step}/claim").write_text("mine\n")
    fd = os.open(reader / f"steps/{step}/wait", os.O_RDONLY)

    def read() -> None:
        assert os.read(fd, 100) == b"complete\n"
        returned.append(time.perf_counter())

    waiting = threading.Thread(target=read)
    waiting.start()
    try:
        time.sleep(0.1 + random.uniform(0, TICK))
        status = os.open(writer / f"steps/{step}/status", os.O_WRONLY)
        begin = time.perf_counter()
        os.write(status, b"complete\n")
        waiting.join()
        os.close(status)
    finally:
        os.close(fd)
    return returned[0] - begin


def _reader(path: Path) -> threading.Thread:
    def read() -> None:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.read(fd, 100)
        finally:
            os.close(fd)

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def _blocked(mount: Mount) -> int:
    found = parse((mount.path / ".tcfs/metrics").read_text())
    return int(found["tcfs_blocked_reads"].values()[0])


def counts(mount: Mount) -> dict[str, float]:
    """Return how many requests a mount made so far, by verb."""
    found = parse((mount.path / ".tcfs/metrics").read_text())["tcfs_store_requests_total"]
    counts: dict[str, float] = {}
    for (_, labels), value in found.samples.items():
        verb = dict(labels)["verb"]
        counts[verb] = counts.get(verb, 0) + value
    return counts
