"""`python -m tests.faults.histories.launcher …` is `tcfs …` on a host of its own.

`FAULTS_NETWORK` names a network namespace, `FAULTS_HOST` the host; `FAULTS_CLOCK` is a seed: with
each SIGUSR2 the wall clock steps, by up to an hour either way. The store's clock does not, nor do
CLOCK_MONOTONIC and CLOCK_BOOTTIME, as on a host whose clock is set.
"""

import ctypes
import os
import random
import signal
import socket
import sys
import time
from typing import Final

from tcfs.cli import main

CLONE_NEWUTS: Final = 0x04000000  # sched.h
CLONE_NEWNET: Final = 0x40000000
STEP: Final = 3_600_000_000_000  # nanoseconds


def move(network: str, host: str) -> None:
    """Move this process, which has one thread yet, to another network, as another host."""
    libc = ctypes.CDLL(None, use_errno=True)
    space = os.open(f"/run/netns/{network}", os.O_RDONLY)
    if libc.setns(space, CLONE_NEWNET) or libc.unshare(CLONE_NEWUTS):
        raise OSError(ctypes.get_errno(), f"{network} could not be entered")
    os.close(space)
    socket.sethostname(host)


def set_clock_at_will(seed: int) -> None:
    """Let SIGUSR2 step what `time.time` and `time.time_ns` say."""
    chance = random.Random(seed)
    true_ns = time.time_ns
    offset = 0

    def step(*_: object) -> None:
        nonlocal offset
        offset = chance.randrange(-STEP, STEP)

    signal.signal(signal.SIGUSR2, step)
    time.time_ns = lambda: true_ns() + offset
    time.time = lambda: (true_ns() + offset) / 1e9


if __name__ == "__main__":
    if network := os.environ.get("FAULTS_NETWORK"):
        move(network, os.environ["FAULTS_HOST"])
    if seed := os.environ.get("FAULTS_CLOCK"):
        set_clock_at_will(int(seed))
    sys.exit(main())
