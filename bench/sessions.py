"""How a transcript of 1 GiB opens and reads, against bare parallel gets of the same parts.

The parts are as a mirror leaves them: some MiB where they were merged, 1 MiB where they were not. A
reader begins with nothing of it in this machine's memory: each mount is new. Requests are counted
by the mounts themselves, in `.tcfs/metrics`.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.rows import Bench
from bench.waking import Make
from tcfs.project._merging import LARGEST
from tcfs.project.sessions import Session
from tests.exposition import parse
from tests.project.mirrored import named, part_key, write_meta

SIZE: Final = 1 << 30
LAYOUTS: Final = {"merged": LARGEST, "as mirrored": 1 << 20}  # bytes of a part
AT_ONCE: Final = 8  # bare gets
ROUNDS: Final = 3
CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """What one layout came to; times are medians. `ratio` is of the time for all of it."""

    name: str
    parts: int
    stat_ms: float
    first_ms: float
    last_ms: float
    requests: int  # until the first bytes were there
    ours_mib: float  # a second
    bare_mib: float
    ratio: float
    target: float
    grown_mib: float  # of the mount's memory, at most

    def line(self) -> str:
        """Return a line of the table."""
        verdict = "" if self.ratio <= self.target else "  ABOVE"
        return (
            f"{self.name:<34}{self.stat_ms:>9.1f}{self.first_ms:>9.1f}{self.last_ms:>9.1f}"
            f"{self.requests:>9}{self.ours_mib:>9.0f}{self.bare_mib:>9.0f}{self.ratio:>7.2f}"
            f"  {self.target:>6.2f}{self.grown_mib:>9.0f}{verdict}"
        )


HEAD: Final = (
    f"{'':<34}{'stat ms':>9}{'first ms':>9}{'last ms':>9}{'requests':>9}{'MiB/s':>9}"
    f"{'bare':>9}{'ratio':>7}  target{'grown MiB':>9}"
)


def readings(make: Make, bench: Bench) -> Iterator[Reading]:
    """Measure each layout; `make` mounts the project of `bench` under a new name."""
    for name, size in LAYOUTS.items():
        session = Session("claude-code", f"large-{size}")
        keys = _store(bench, session, size)
        rounds = [_round(make, bench, session, keys, number) for number in range(ROUNDS)]
        stat, first, last, requests, ours, bare, grown = map(
            statistics.median, zip(*rounds, strict=True)
        )
        yield Reading(
            f"1 GiB {name}", len(keys), stat, first, last, int(requests),
            SIZE / ours / (1 << 20), SIZE / bare / (1 << 20), ours / bare, 1.5, grown,
        )  # fmt: skip


def _store(bench: Bench, session: Session, size: int) -> list[str]:
    line = json.dumps({"type": "user", "text": "word " * 200}).encode() + b"\n"
    body = (line * (size // len(line) + 1))[: size - 1] + b"\n"
    count = SIZE // size
    keys = [part_key(it, session=session) for it in range(count)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda key: bench.put(key, body), keys))
    parts = [named(it, uploaded_bytes=size) for it in range(count)]

    class Bucket:
        place = staticmethod(bench.put)

    write_meta(Bucket(), parts, session, nonce="n", generation=1, total_uploaded_bytes=SIZE)
    return keys


def _round(
    make: Make, bench: Bench, session: Session, keys: list[str], number: int
) -> tuple[float, ...]:
    with make(f"reader-{session.id}-{number}") as mount:
        path = mount.path / "sessions" / session.harness / session.id / "transcript.jsonl"
        asked = _requests(mount.path)
        stat = _timed(path.stat)
        with path.open("rb", buffering=0) as file:
            first = _timed(lambda: file.read(4096))
            requests = _requests(mount.path) - asked
        last = _timed(lambda: subprocess.run(["tail", "-n", "1", path], capture_output=True))
        before = _memory(mount.process.pid, "VmRSS")
        _sides = [lambda: _whole(path), lambda: _bare(bench, keys)]
        took = [_timed(_sides[it]) for it in ((0, 1) if number % 2 else (1, 0))]
        ours, bare = took if number % 2 else took[::-1]
        grown = _memory(mount.process.pid, "VmHWM") - before
    return stat * 1000, first * 1000, last * 1000, requests, ours, bare, grown


def _timed(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _whole(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    read = 0
    while data := os.read(descriptor, CHUNK):
        read += len(data)
    os.close(descriptor)
    assert read == SIZE


def _bare(bench: Bench, keys: list[str]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(lambda key: len(bench.get(key)), keys)) == SIZE


def _memory(pid: int, what: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    raise ValueError(what)


def _requests(mount: Path) -> int:
    found = parse((mount / ".tcfs/metrics").read_text())["tcfs_store_requests_total"]
    return int(sum(found.samples.values()))
