"""The long run, by hand (`make exercise`): ordinary files through real mounts, at length.

On a local store and on SeaweedFS it does random operations (`exerciser.py`) with their results on
a local directory beside them, then has fio write files and verify them (`long_run.fio`). What was
written is then compared once more through a new mount, which has only the store to read it from.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.mount.exerciser import NAMES, Exerciser
from tests.mounts import Mount, credentials
from tests.servers import SeaweedFS

FIO: Final = Path(__file__).with_suffix(".fio")
SHARED: Final = Path("artifacts/shared")
PROGRESS: Final = 10_000  # operations from one line to the next

Mounting = Callable[[str], Mount]
"""Mounts one store for the agent named."""


@contextmanager
def local(home: Path) -> Iterator[Mounting]:
    """Give mounts of a store in a local directory."""
    yield lambda agent: Mount(home, str(home / "store"), agent)


@contextmanager
def seaweedfs(home: Path) -> Iterator[Mounting]:
    """Give mounts of a store on a SeaweedFS that runs meanwhile."""
    with SeaweedFS() as server:
        account = server.account
        yield lambda agent: Mount(
            home,
            f"s3://{account.bucket}/long-run",
            agent,
            *("--endpoint", account.endpoint),
            environment=credentials(account),
        )


STORES: Final = {it.__name__: it for it in (local, seaweedfs)}


def exercise(mounting: Mounting, home: Path, seed: int, operations: int) -> None:
    """Do random operations; raises AssertionError where one differs, naming it."""
    model = home / "model"
    model.mkdir()
    with mounting("writer") as mount:
        tested = mount.path / SHARED / "exercised"
        tested.mkdir()
        exerciser = Exerciser(tested, model, seed)
        begin = time.monotonic()
        while exerciser.done < operations:
            exerciser.act()
            if exerciser.done % PROGRESS == 0:
                say(f"  {exerciser.done} operations, {time.monotonic() - begin:.0f} s")
        exerciser.end()
    with mounting("reader") as mount:
        tested = mount.path / SHARED / "exercised"
        for name in NAMES:
            found, meant = (
                it.read_bytes() if it.exists() else None for it in (tested / name, model / name)
            )
            if found != meant:
                raise AssertionError(f"{name} is not in the store as it was written")
    say(f"  {exerciser.done} operations, all the same")


def fio(mounting: Mounting, home: Path, seed: int) -> None:
    """Have fio write and verify, then verify what the store has; raises CalledProcessError."""
    for agent, options in (("writer", []), ("reader", ["--verify_only"])):
        with mounting(agent) as mount:
            files = mount.path / SHARED / "fio"
            files.mkdir(exist_ok=True)
            begin = time.monotonic()
            done = subprocess.run(
                ["fio", "--output-format=terse", *options, str(FIO)],
                # It leaves what it keeps of a verification where it is started.
                cwd=home,
                env={**os.environ, "FILES": str(files), "SEED": str(seed)},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0 or done.stderr:
                say(done.stdout + done.stderr + mount.log)
                raise subprocess.CalledProcessError(done.returncode or 1, done.args)
            size = sum(it.stat().st_size for it in files.iterdir())
            say(
                f"  fio, {agent}: {len(list(files.iterdir()))} files, {size >> 20} MiB verified,"
                f" {time.monotonic() - begin:.0f} s"
            )


def say(line: str) -> None:
    """Print a line at once, for whoever waits."""
    print(line, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run on the stores named, or on all."""
    parser = argparse.ArgumentParser(prog="python -m tests.mount.long_run", description=__doc__)
    parser.add_argument("stores", nargs="*", help=f"of {', '.join(STORES)}; without any, all")
    parser.add_argument("--operations", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args(arguments)
    if unknown := [it for it in given.stores if it not in STORES]:
        parser.error(f"no store is called {unknown[0]}")
    if shutil.which("fio") is None:
        parser.error("fio is missing; as root, run: apt-get install -y fio")
    say(f"seed {given.seed}; the same again: make exercise SEED={given.seed}")
    for name in given.stores or STORES:
        home = Path(tempfile.mkdtemp(prefix="tcfs-"))
        say(f"{name}:")
        try:
            with STORES[name](home) as mounting:
                exercise(mounting, home, given.seed, given.operations)
                fio(mounting, home, given.seed)
        finally:
            shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
