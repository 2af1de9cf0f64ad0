"""Measures each row on one real S3 server, ours and the bare call in turn; prints the ratios.

Every figure is a ratio of medians of one run, never an absolute time: machines are noisy. Only what
waits for a tick of the watcher is told in milliseconds: nothing bare does the same.
"""

import argparse
import json
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench import mirroring, sessions, waking
from bench.rows import ROWS, Bench, Row
from tests.mounts import Mount, credentials
from tests.servers import SeaweedFS

RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row's outcome. Times are medians in milliseconds."""

    name: str
    against: str
    target: float
    ours_ms: float
    bare_ms: float
    ratio: float
    rounds: int


def measure(row: Row, bench: Bench) -> Figure:
    """Run both sides in turn and return their medians."""
    ours, bare = row.make(bench)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(-row.warmup, row.rounds):
        # Whoever goes first pays for what the other left behind: they take turns at that too.
        sides = ((0, ours), (1, bare)) if number % 2 else ((1, bare), (0, ours))
        for side, run in sides:
            took = _timed(run)
            if number >= 0:
                times[side].append(took)
    mine, theirs = (statistics.median(it) * 1000 for it in times)
    return Figure(row.name, row.against, row.target, mine, theirs, mine / theirs, row.rounds)


def _timed(run: Callable[[], float | None]) -> float:
    begin = time.perf_counter()
    inner = run()
    # A side that has to prepare or clean up says itself how long the part in question took.
    return time.perf_counter() - begin if inner is None else inner


def main(arguments: Sequence[str]) -> int:
    """Run the rows whose names contain one of the words given (all, without any)."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("words", nargs="*", help="only rows whose names contain one of these")
    words = parser.parse_args(arguments).words

    def wanted(name: str) -> bool:
        return not words or any(word in name for word in words)

    home = Path(tempfile.mkdtemp(prefix="tcfs-bench-"))
    figures = []
    wake_ups: Sequence[waking.Waking] = []
    requests: Sequence[waking.Asked] = []
    costs: Sequence[mirroring.Cost] = []
    readings: list[sessions.Reading] = []
    try:
        with SeaweedFS() as server:
            account = server.account
            with Mount(
                home,
                f"s3://{account.bucket}/bench",
                "bench",
                *("--endpoint", account.endpoint),
                environment=credentials(account),
            ) as mount:
                bench = Bench(mount.path, account, "bench")
                print(f"{'':<34}{'ours ms':>9}{'bare ms':>9}{'ratio':>7}  target  against")
                for row in ROWS:
                    if wanted(row.name):
                        figure = measure(row, bench)
                        figures.append(figure)
                        print(_line(figure), flush=True)

            def make(name: str, *more: str) -> Mount:
                store = f"s3://{account.bucket}/waking"
                options = ("--endpoint", account.endpoint, *more)
                return Mount(home, store, name, *options, environment=credentials(account))

            if wanted("wake a waiter"):
                wake_ups = waking.wake_ups(make)
            if wanted("requests"):
                requests = waking.requests(make)
            if wanted("mirror"):
                environment = {**credentials(account), "AWS_ENDPOINT_URL": account.endpoint}
                costs = mirroring.measure(home, f"s3://{account.bucket}", environment, make)
            if wanted("transcript"):
                print(sessions.HEAD)
                for reading in sessions.readings(make, Bench(home, account, "waking")):
                    readings.append(reading)
                    print(reading.line(), flush=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    result = {
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "figures": [asdict(it) for it in figures],
        "wake_ups": [asdict(it) for it in wake_ups],
        "requests": [asdict(it) for it in requests],
        "mirroring": [asdict(it) for it in costs],
        "transcripts": [asdict(it) for it in readings],
    }
    (RESULTS / "latest.json").write_text(json.dumps(result, indent=2) + "\n")
    return 0


def _line(it: Figure) -> str:
    verdict = "" if it.ratio <= it.target else "  ABOVE"
    return (
        f"{it.name:<34}{it.ours_ms:>9.2f}{it.bare_ms:>9.2f}{it.ratio:>7.2f}  "
        f"{it.target:>6.2f}  {it.against}{verdict}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
