"""An hour of use in two minutes: timers run thirty times as fast, and shells work meanwhile.

Heartbeats, renewals, ticks and deadlines come as often as they would in an hour. In the second half
nothing may be held that was not held in the first: memory, descriptors, threads, inodes, files.
"""

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, final

from tests.faults.limits.cases import room
from tests.faults.limits.usage import MIB, forget_names, metric, usage
from tests.mounts import Mount, until

RATE: Final = 30.0
HOUR: Final = 3600.0 / RATE  # seconds
# Seconds, of which a third is between renewals: those go by the clock, which is not fast.
LEASE: Final = "90"
HELD: Final = 20  # steps and locks of each worker that stay held
NAMES: Final = 8  # steps, keys, locks that are used in turn: what is stored does not grow either
LEEWAY: Final = 6 * MIB
SLACK: Final = 8  # descriptors, threads or files

# What each worker does, over and over. `$n` is one of a few names, `$me` who it is.
ACTS: Final = (
    "echo note > as/$me/steps/$n/claim && echo complete > as/$me/steps/$n/status;"
    " echo pending > as/$me/steps/$n/status",
    "echo > as/$me/steps/$n/claim && rm as/$me/steps/$n/claim",
    "exec 9> as/$me/steps/$n/hold && cat as/$me/steps/$n/owner; exec 9>&-",
    "echo pending > as/$me/steps/ready-$n/status; s=$(timeout 5 cat as/$me/ready/take)"
    " && echo complete > as/$me/steps/$s/status; echo pending > as/$me/steps/$s/status",
    "mkdir as/$me/locks/$n && rmdir as/$me/locks/$n",
    "exec 9> as/$me/locks/file-$n && exec 9>&-",
    "echo $RANDOM > as/$me/memory/$n; echo more >> as/$me/memory/log-$n; cat memory/$n",
    "rm -f as/$me/memory/log-$n; echo x > memory/$n.tmp && mv memory/$n.tmp memory/$n",
    "echo hello >> as/$me/messages/w0/inbox; cat as/$me/messages/$me/unread;"
    " rm -f as/$me/messages/$me/1*",
    "timeout 0.2 cat as/$me/messages/$me/wait as/$me/steps/$n/wait",
    "timeout 0.2 cat .tcfs/events; cat .tcfs/errors .tcfs/metrics status",
    "d=artifacts/shared/$me-$RANDOM; mkdir $d && echo x > $d/f && echo y >> $d/f && rm -r $d",
    "head -c 100000 /dev/zero > artifacts/shared/$me-$n; cat artifacts/shared/$me-$n | wc -c",
    "ls -lR steps locks ready agents artifacts; ls messages/$me",
    "echo working > agents/designer; cat steps/$n/nothing memory/nothing locks/nothing/owner",
)


@final
@dataclass(frozen=True, slots=True)
class Sample:
    """What the mount takes at one moment at which nobody uses it."""

    resident: int
    descriptors: int
    threads: int
    open: int
    state_files: int


@final
@dataclass(frozen=True, slots=True)
class Soaked:
    """What was seen, and how much was done meanwhile."""

    samples: list[Sample]
    acts: int
    ticks: float
    renewed: float
    log: str

    def grew(self, what: Callable[[Sample], int]) -> int:
        """Return by how much more is held in the last third than in the second."""
        third = len(self.samples) // 3
        before, after = self.samples[third : 2 * third], self.samples[2 * third :]
        return int(median(map(what, after)) - median(map(what, before)))

    def report(self) -> str:
        memory = " → ".join(f"{it.resident >> 20}" for it in self.samples)
        last = self.samples[-1]
        return (
            f"{self.acts} acts, {self.ticks:.0f} ticks, {self.renewed:.0f} renewals; {memory} MiB; "
            f"{last.descriptors} descriptors, {last.threads} threads, {last.state_files} files"
        )

    @property
    def good(self) -> bool:
        """Whether nothing grew, and nothing went wrong."""
        return not self.wrong()

    def wrong(self) -> list[str]:
        kinds: dict[str, tuple[Callable[[Sample], int], int]] = {
            "bytes of memory": (lambda it: it.resident, LEEWAY),
            "descriptors": (lambda it: it.descriptors, SLACK),
            "threads": (lambda it: it.threads, SLACK),
            "open files": (lambda it: it.open, 0),
            "files of its state": (lambda it: it.state_files, SLACK),
        }
        grown = [f"{self.grew(it)} more {name}" for name, (it, most) in kinds.items()
                 if self.grew(it) > most]  # fmt: skip
        return grown + [it for it in self.log.splitlines() if "Traceback" in it or " ERROR " in it]


def soak(seconds: float = HOUR, *, seed: int = 0, workers: int = 3, samples: int = 12) -> Soaked:
    """Use a mount whose timers run fast for so many seconds, and look at it now and then."""
    with room() as home, _fast_mount(home) as mount, _standing(mount):
        mount.out(
            f"for w in {{0..{workers - 1}}}; do for i in {{1..{HELD}}}; do"
            " echo > as/w$w/steps/kept-$w-$i/claim; mkdir as/w$w/locks/kept-$w-$i; done; done"
        )
        acts, seen = 0, []
        chance = random.Random(seed)
        end = time.monotonic() + seconds
        for number in range(samples):
            until_then = end - (samples - 1 - number) * seconds / samples
            acts += _work(mount, chance, workers, until_then)
            seen.append(_sample(mount, home))
        ticks = metric(mount, "tcfs_watcher_ticks_total")
        renewed = metric(mount, "tcfs_leases_renewed_total")
        return Soaked(seen, acts, ticks, renewed, mount.log)


def _work(mount: Mount, chance: random.Random, workers: int, end: float) -> int:
    """Let some shells act at the same time, until then; return how many acts there were."""
    acts = 0
    while True:
        running = []
        for worker in range(workers):
            act = chance.choice(ACTS)
            before = f"me=w{worker}; n=n{chance.randrange(NAMES)}; RANDOM={chance.randrange(30000)}"
            command = ["timeout", "60", "bash", "-c", f"{before}; {act}; true"]
            running.append(
                subprocess.Popen(
                    command,
                    cwd=mount.path,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        for it in running:
            assert it.wait() != 124, it.args  # what hangs is no growth, and no less wrong
        acts += workers
        if time.monotonic() > end:
            return acts


def _sample(mount: Mount, home: Path) -> Sample:
    forget_names()
    # The one who follows; RELEASE comes late.
    until(lambda: metric(mount, "tcfs_open_files") <= 1, "all to be closed")
    now = usage(mount)
    files = sum(1 for it in (home / "state").rglob("*") if it.is_file())
    return Sample(
        now.resident, now.descriptors, now.threads, int(metric(mount, "tcfs_open_files")), files
    )


@contextmanager
def _fast_mount(home: Path) -> Iterator[Mount]:
    how = ("--lease", LEASE)
    rate = {"SOAK_RATE": str(RATE)}
    program = "tests.faults.limits.soak_clock"
    store = str(home / "store")
    with Mount(home, store, "designer", *how, environment=rate, program=program) as mount:
        mount.out("for i in 0 1 2; do echo hi > as/w$i/memory/hello; done")
        yield mount


@contextmanager
def _standing(mount: Mount) -> Iterator[None]:
    """Let one follow events all the time, who reads them."""
    reader = mount.popen("exec cat .tcfs/events > /dev/null")
    try:
        until(lambda: metric(mount, "tcfs_open_files") > 0, "the events to be open")
        yield
    finally:
        reader.kill()
        reader.communicate()


if __name__ == "__main__":
    done = soak()
    print(done.report())
    raise SystemExit("\n".join(done.wrong()))
