"""What mirroring transcripts costs: a long one with redaction, and a thousand that are idle.

The reference for redaction is what one would write first: every pattern of ours joined to one, and
searched for line by line. Python's `re` tries an alternation branch by branch, so that it is no
fast reference; megabytes a second are told beside the ratio.
"""

import json
import os
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.waking import counts
from tcfs.mirror import _named, _pem
from tcfs.mirror._rules import RULES
from tests.mirror.homes import HermesDatabase, claude_lines, codex_lines, rollout, write
from tests.mounts import SOURCE, Mount, until

SIZE: Final = int(os.environ.get("TCFS_BENCH_TRANSCRIPT_MIB", "16")) << 20  # bytes
ROUNDS: Final = 3
SESSIONS: Final = 1000
WINDOW: Final = 120.0  # seconds, in which two sweeps are
TICK: Final = os.sysconf("SC_CLK_TCK")

Make = Callable[..., Mount]


@dataclass(frozen=True, slots=True)
class Cost:
    """One figure; `most` is what it is to be at most, None where there is no such thing."""

    name: str
    value: float
    unit: str
    most: float | None

    def line(self) -> str:
        """Return a line of the table."""
        verdict = "  ABOVE" if self.most is not None and self.value > self.most else ""
        most = "" if self.most is None else f"{self.most:.2f}"
        return f"{self.name:<34}{self.value:>9.2f}  {self.unit:<12}{most:>7}{verdict}"


def measure(home: Path, store: str, environment: Mapping[str, str], make: Make) -> Sequence[Cost]:
    """Measure all of it; prints a line each."""
    print(f"{'':<34}{'':>9}  {'':<12}{'at most':>7}")
    found = []
    for costs in (
        lambda: _redacting(home, store, environment),
        lambda: _idle(home, make),
    ):
        for it in costs():
            found.append(it)
            print(it.line(), flush=True)
    return found


def transcript(path: Path, size: int) -> None:
    """Write a transcript of so many bytes: prose, code and its results, and now and then a key."""
    drawn = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(drawn.choices(letters, k=drawn.randint(2, 10))) for _ in range(5000)]

    def turn() -> list[dict[str, object]]:
        code = "\n".join(
            f'    {drawn.choice(words)}.{drawn.choice(words)}("{drawn.choice(words)}")'
            for _ in range(drawn.randint(0, 60))
        )
        return [
            {"type": "text", "text": " ".join(drawn.choices(words, k=drawn.randint(20, 1200)))},
            {"type": "tool_use", "input": {"code": code}},
            {"type": "tool_result", "content": json.dumps({"stdout": code, "exit": 0})},
        ]

    turns = [turn() for _ in range(500)]
    written = number = 0
    with path.open("wb") as file:
        while written < size:
            line = {"type": "assistant", "uuid": f"{drawn.getrandbits(128):032x}"}
            if number % 500 == 0:
                key = "".join(drawn.choices(letters.upper() + "0123456789", k=80))
                line["env"] = f"ANTHROPIC_API_KEY=sk-ant-api03-{key}"
            message = {"role": "assistant", "content": turns[number % len(turns)]}
            written += file.write(json.dumps({**line, "message": message}).encode() + b"\n")
            number += 1


def _redacting(home: Path, store: str, environment: Mapping[str, str]) -> Sequence[Cost]:
    path = home / "transcript.jsonl"
    transcript(path, SIZE)
    joined = _joined()
    ours, bare, peaks = [], [], []
    for number in range(ROUNDS):
        took, peak = _mirrored(path, f"{store}/mirror-{number}", home, environment)
        ours.append(took)
        peaks.append(peak)
        begin = time.perf_counter()
        with path.open("rb") as file:
            for line in file:
                for _ in joined.finditer(line):
                    continue
        bare.append(time.perf_counter() - begin)
    mine, theirs = statistics.median(ours), statistics.median(bare)
    megabytes = path.stat().st_size / 1e6
    path.unlink()
    return [
        Cost("mirror: redacting, against one regex", mine / theirs, "of its time", 2.0),
        Cost("mirror: redacting", megabytes / mine, "MB/s", None),
        Cost("mirror: one regex", megabytes / theirs, "MB/s", None),
        Cost(f"mirror: memory, {SIZE >> 20} MiB", max(peaks), "MiB", 100.0),
    ]


def _joined() -> re.Pattern[bytes]:
    patterns = [it.pattern for it in RULES] + [_named._ASSIGNED, _pem._BEGIN, _pem._END]
    return re.compile(b"|".join(b"(?:%s)" % it.pattern for it in patterns), re.VERBOSE)


def _mirrored(
    path: Path, store: str, home: Path, environment: Mapping[str, str]
) -> tuple[float, float]:
    """Mirror a file by the command, as a process; return its seconds and its peak in MiB."""
    command = [sys.executable, "-m", "tcfs.cli", "mirror", "--harness", "file", "--path", str(path)]
    mine = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "PYTHONPATH": str(SOURCE)}
    everything = {**os.environ, **environment, **mine}
    begin = time.perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [*command, "--store", store, "--agent", "bench"],
        everything,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(child, 0)
    took = time.perf_counter() - begin
    assert status == 0, f"tcfs mirror ended with status {status}"
    return took, used.ru_maxrss / 1024


def _idle(home: Path, make: Make) -> Sequence[Cost]:
    """Count what a mount does in a while in which nothing is written to any of its sessions."""
    count = _sessions(home)
    with make("mirror-idle", "--mirror", "all", "--mirror-all") as mount:

        def stored() -> bool:
            rows = (mount.path / "sessions/active").read_text()
            return len(re.findall(": idle; [1-9]", rows)) == count  # and some of each is stored

        until(stored, f"{count} sessions", 1800.0)
        time.sleep(10.0)  # what it takes to begin to watch is not part of it
        before, asked = _seconds(mount), sum(counts(mount).values())
        time.sleep(WINDOW)
        share = (_seconds(mount) - before) / WINDOW
        # The first count is itself a read of a file of the mount, which asks for nothing.
        asked = sum(counts(mount).values()) - asked
    return [
        Cost(f"mirror: {count} idle sessions", 100 * share, "% of a core", 1.0),
        Cost(f"mirror: {count} idle sessions", asked / WINDOW * 60, "requests/min", 1.0),
    ]


def _sessions(home: Path) -> int:
    """Write what a thousand sessions of a busy user leave, and as many of two other harnesses."""
    for number in range(SESSIONS):
        project, cwd = f"-srv-app{number % 20}", f"/srv/app{number % 20}"
        session = f"{number:08d}-af1a-4a49-9087-b184d857dd44"
        directory = home / ".claude" / "projects" / project
        write(directory / f"{session}.jsonl", claude_lines(session, cwd, 60))
        agent = claude_lines(session, cwd, 10, isSidechain=True)
        write(directory / session / "subagents" / "agent-1.jsonl", agent)
        day = home / ".codex" / "sessions" / "2026" / "11" / f"{number % 28 + 1:02d}"
        write(day / rollout(session), codex_lines(session, cwd, 20))
    hermes = HermesDatabase(home / ".hermes")
    for number in range(SESSIONS):
        hermes.session(f"h{number}", "/srv/app")
        hermes.add(f"h{number}", *["hello"] * 50)
    hermes.connection.close()
    return 4 * SESSIONS


def _seconds(mount: Mount) -> float:
    """Return how long a mount has computed so far; proc_pid_stat(5)."""
    fields = Path(f"/proc/{mount.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK
