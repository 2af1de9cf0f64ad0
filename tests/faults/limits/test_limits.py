"""Where something runs out, whoever asks too much is told so; nobody else is hurt, and it recovers.

Real mounts. What is here at a small size is tried at full size by `tests.faults.limits.cases`.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EAGAIN

import pytest

from tests.faults.limits import cases as limits
from tests.faults.limits import soak
from tests.faults.limits.usage import metric, usage
from tests.mounts import Mount, until

pytestmark = pytest.mark.timeout(180)

HANDLES = 1_000
BLOCKED = 512  # tree.md


@pytest.fixture
def mount() -> Iterator[Mount]:
    with limits.room() as home, Mount(home, str(home / "store"), "designer") as made:
        yield made


@contextmanager
def few_descriptors(mount: Mount, spare: int) -> Iterator[None]:
    """Let the mount have no more than it has now and `spare`; then as many as before."""
    before = resource.prlimit(mount.process.pid, resource.RLIMIT_NOFILE)
    now = usage(mount).descriptors + spare
    resource.prlimit(mount.process.pid, resource.RLIMIT_NOFILE, (now, before[1]))
    try:
        yield
    finally:
        resource.prlimit(mount.process.pid, resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("case", limits.CASES, ids=lambda it: it.name)
def test_memory_is_in_proportion_and_does_not_grow(case: limits.Case) -> None:
    took = limits.try_local(case, 1500, patience=60)
    limits.judge(took, 1500)


def test_mount_without_descriptors_refuses_and_recovers(mount: Mount) -> None:
    mount.out("for i in {1..9}; do echo $i > artifacts/shared/$i; echo $i > memory/k$i; done")
    with few_descriptors(mount, 0):
        done = mount.sh(
            "for i in {1..9}; do echo new > artifacts/shared/$i; echo new > memory/k$i;"
            " cat artifacts/shared/$i; echo > steps/$i/claim; mkdir locks/$i; done; ls steps agents"
        )
        assert done.returncode or done.stderr
        told = set(done.stderr.replace(",", "").splitlines())
        kinds = {it.rpartition(": ")[2] for it in told}
        assert kinds <= {"Too many open files", "Input/output error", "Connection timed out"}, told
        assert mount.process.poll() is None
    limits.assert_unhurt(mount)
    # What was refused is as it was, or as it was to be: nothing is half written.
    shown = mount.out("cat artifacts/shared/[1-9] memory/k[1-9]").split()
    assert len(shown) == 18
    assert set(shown) <= {"new", *map(str, range(1, 10))}


def test_thousands_of_open_files_hurt_nobody_and_are_let_go_of(mount: Mount) -> None:
    took = limits.open_many(mount, HANDLES, lambda: limits.assert_unhurt(mount))
    assert took.descriptors < 20  # a text that is open is no descriptor of the mount's
    limits.assert_unhurt(mount)


BLOCKING = """
import os, sys, threading
count, most = int(sys.argv[1]), int(sys.argv[2])
refused, lock = [], threading.Semaphore(0)
def read():
    fd = os.open("steps/x/wait", os.O_RDONLY)
    try:
        os.read(fd, 100)
    except OSError as error:
        refused.append(error.errno)
        lock.release()
threading.stack_size(1 << 16)
threads = [threading.Thread(target=read, daemon=True) for _ in range(count)]
for it in threads: it.start()
for _ in range(count - most): lock.acquire()
print(*refused, flush=True)
sys.stdin.readline()
os._exit(0)
"""


def test_reads_that_wait_beyond_the_limit_are_told_to_try_again(mount: Mount) -> None:
    with limits.program(mount, BLOCKING, str(BLOCKED + 10), str(BLOCKED)) as shown:
        assert shown.split() == 10 * [str(EAGAIN)]
        assert metric(mount, "tcfs_blocked_reads") == BLOCKED
        assert f"{BLOCKED} reads wait in this mount already" in mount.errors()
        limits.assert_unhurt(mount)
    until(lambda: metric(mount, "tcfs_blocked_reads") == 0, "those to be answered who are gone")
    limits.assert_unhurt(mount)


def test_reader_of_events_who_does_not_read_takes_no_memory(mount: Mount) -> None:
    mount.out("echo > memory/k")
    lazy = mount.popen("exec 8< .tcfs/events; read -r line <&8; echo $line; exec sleep 60")
    try:
        assert lazy.stdout is not None
        until(lambda: metric(mount, "tcfs_open_files") >= 1, "the events to be open")
        mount.out("echo first > memory/k")
        assert "memory/k" in lazy.stdout.readline()
        script = "for i in {1..100}; do echo $i > memory/k$((i % 50)); done"
        mount.out(script)
        before = usage(mount).resident
        for _ in range(3):
            mount.out(script)
        assert usage(mount).resident - before < 8 << 20
    finally:
        lazy.kill()
        lazy.communicate()
    limits.assert_unhurt(mount)


def test_some_minutes_of_use_leave_nothing_behind() -> None:
    done = soak.soak(15, samples=6, workers=2)
    assert done.good, (done.wrong(), done.report())
    assert done.ticks > 15
