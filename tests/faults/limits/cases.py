"""What a mount takes when there is very much of something: `everything()` tries it at full size.

Each case lays objects into a store, lets shells use the mount, and looks at its memory. What a
command shows is right; what it took at the most is in proportion to what there is; and doing it
again takes no more, so nothing is kept that was not kept before.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tests.faults.limits import objects
from tests.faults.limits.usage import MIB, Usage, begin, forget_names, metric, usage
from tests.mounts import Mount, credentials, until
from tests.servers import Account, SeaweedFS

EACH: Final = 8 << 10  # bytes that one object may take at the most while it is shown
BASE: Final = 48 * MIB  # that a mount may take whatever there is
CACHE: Final = 64 * MIB  # of documents (architecture.md)
HANDLES: Final = 10_000  # that are open at once
AGAIN: Final = 3  # times that everything is done
SLACK: Final = 16 * MIB  # by which the memory in use may differ from one time to the next
SHM: Final = Path("/dev/shm")  # a disk is slow to remove a hundred thousand directories


@final
@dataclass(frozen=True, slots=True)
class Case:
    """`commands` are shell scripts, each with what it must print, where `{n}` is how many."""

    name: str
    full: int
    objects: Callable[[int], objects.Objects]
    commands: Sequence[tuple[str, str]]


CASES: Final = (
    Case(
        "steps",
        100_000,
        objects.steps,
        (
            ("ls steps | wc -l", "{n}"),
            ("ls ready | wc -l", "{n}"),
            ("grep -c . status > /dev/null; echo $?", "0"),
        ),
    ),
    Case(
        "mail",
        100_000,
        objects.mail,
        (
            ("cat messages/designer/inbox | wc -l", "{n}"),
            ("ls messages/designer | wc -l", "{n+1}"),
            ("echo > messages/_broadcast/inbox; echo $?", "0"),
        ),
    ),
    Case(
        "versions",
        10_000,
        objects.versions,
        (
            ("ls memory/_history/k | wc -l", "{n}"),
            ("cat memory/_history/k/1700000000000000000_other_00000000", "value 0"),
        ),
    ),
    Case(
        "agents",
        10_000,
        objects.agents,
        (
            ("ls agents | wc -l", "{n+1}"),  # with designer
            ("grep -c . status > /dev/null; echo $?", "0"),
        ),
    ),
    Case("artifacts", 100_000, objects.artifacts, (("ls artifacts/shared | wc -l", "{n}"),)),
)


@final
@dataclass(frozen=True, slots=True)
class Took:
    """Bytes in use: before, after each time, and when the kernel forgot the names; the most."""

    before: int
    after: Sequence[int]
    forgotten: int | None
    peak: int
    seconds: Sequence[tuple[str, float]]


def go_through(mount: Mount, case: Case, count: int, *, patience: float = 30.0) -> Took:
    """Let shells use the mount, again and again, and return what it took.

    A listing that its deadline cut off is asked for again, for `patience` seconds: it goes on from
    what the mount has read by then.
    """
    before = usage(mount)
    begin(mount)
    after, seconds = [], []
    for number in range(AGAIN):
        for script, prints in case.commands:
            began = time.monotonic()
            expected = prints.replace("{n+1}", str(count + 1)).replace("{n}", str(count))
            while (shown := mount.sh(script, timeout=patience).stdout.strip()) != expected:
                assert time.monotonic() - began < patience, (script, shown, mount.errors())
                assert "Traceback" not in mount.log, mount.log
            if number == 0:
                seconds.append((script, time.monotonic() - began))
        after.append(usage(mount).resident)
    peak = usage(mount).peak
    forgotten = usage(mount).resident if forget_names() else None
    return Took(before.resident, after, forgotten, peak, seconds)


def judge(took: Took, count: int) -> None:
    """Assert that it was in proportion, and grew no more once all had been seen.

    That is the second time: what reads all of it first does so while nothing is listed yet.
    """
    assert took.peak - took.before < BASE + count * EACH, took
    assert took.after[-1] - took.after[1] < SLACK + took.after[1] // 8, took


@contextmanager
def room() -> Iterator[Path]:
    """Yield a directory in memory, where there is one."""
    path = Path(tempfile.mkdtemp(prefix="tcfs-", dir=SHM if SHM.is_dir() else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def try_local(case: Case, count: int, *, patience: float = 30.0) -> Took:
    """Try one case on a local store."""
    with room() as home:
        objects.to_directory(home / "store", case.objects(count))
        with Mount(home, str(home / "store"), "designer") as mount:
            return go_through(mount, case, count, patience=patience)


def try_remote(account: Account, case: Case, count: int, *, patience: float = 30.0) -> Took:
    """Try one case on a real S3 server."""
    project = f"limits-{case.name}-{time.time_ns()}"
    objects.to_bucket(account, project, case.objects(count))
    options = ("--endpoint", account.endpoint)
    store, environment = f"s3://{account.bucket}/{project}", credentials(account)
    with room() as home, Mount(home, store, "designer", *options, environment=environment) as mount:
        return go_through(mount, case, count, patience=patience)


def everything(say: Callable[[str], object] = print, *, part: float = 1.0) -> None:
    """Try every case at full size, or at a part of it, and say what it took."""
    with room() as home, Mount(home, str(home / "store"), "designer") as mount:
        handles = int(HANDLES * part)
        say(f"local: {handles} open files: {open_many(mount, handles, lambda: None)}")
    for case in CASES:
        count = int(case.full * part)
        took = try_local(case, count, patience=600)
        say(_figures("local", case, count, took))
        judge(took, count)
    with SeaweedFS() as server:
        for case in CASES:
            count = int(case.full * part / 10)
            took = try_remote(server.account, case, count, patience=600)
            say(_figures("SeaweedFS", case, count, took))
            judge(took, count)


def assert_unhurt(mount: Mount) -> None:
    """Everything works, and nothing of what went before was a bug."""
    assert mount.out("echo v > memory/k; cat memory/k; echo hi > artifacts/shared/f") == "v\n"
    assert mount.out("cat artifacts/shared/f; echo > steps/x/claim; rm steps/x/claim") == "hi\n"
    assert "Traceback" not in mount.log, mount.log
    assert "is a bug" not in mount.errors()


OPENING: Final = """
import sys
count = int(sys.argv[1])
names = ["artifacts/shared/f", "memory/k", "steps/x/status", "locks/l/owner", "README"]
files = [open(names[it % len(names)], "rb", buffering=0) for it in range(count)]
print(sum(bool(it.read(1)) for it in files), flush=True)
sys.stdin.readline()
"""


@contextmanager
def program(mount: Mount, script: str, *arguments: str) -> Iterator[str]:
    """Run a Python program in the mount as far as its first line, which is yielded; then kill it.

    Nothing is ever sent to its stdin.
    """
    running = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=mount.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with running:
        assert running.stdout is not None
        try:
            yield running.stdout.readline()
        finally:
            running.kill()


def open_many(mount: Mount, count: int, meanwhile: Callable[[], object]) -> Usage:
    """Have so many files open at once, and return by how much the mount takes more for it."""
    mount.out("printf bytes > artifacts/shared/f; echo v > memory/k; mkdir locks/l")
    before = usage(mount)
    with program(mount, OPENING, str(count)) as shown:
        assert shown == f"{count}\n"
        assert metric(mount, "tcfs_open_files") >= count
        meanwhile()
        now = usage(mount)
    until(lambda: metric(mount, "tcfs_open_files") == 0, "all to be let go of", 120)
    return Usage(
        now.resident - before.resident,
        now.peak - before.resident,
        now.descriptors - before.descriptors,
        now.threads - before.threads,
    )


def _figures(where: str, case: Case, count: int, took: Took) -> str:
    used = " → ".join(str(it >> 20) for it in (took.before, *took.after))
    freed = "" if took.forgotten is None else f", {took.forgotten >> 20} with the names forgotten"
    slow = "; ".join(f"{script}: {seconds:.1f} s" for script, seconds in took.seconds)
    most = took.peak >> 20
    return f"{where}: {count} {case.name}: {used} MiB, {most} at the most{freed} ({slow})"


if __name__ == "__main__":
    everything(part=float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
