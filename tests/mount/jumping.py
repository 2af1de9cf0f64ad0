"""`python -m tests.mount.jumping …` is `tcfs …`, put two minutes on by each SIGUSR2.

Only timers are: what time it is, by any clock, stays what it was.
"""

import signal
import sys
from functools import partial
from typing import Final

import trio
from trio.testing import MockClock

from tcfs.cli import main

JUMP: Final = 120.0  # seconds

if __name__ == "__main__":
    clock = MockClock(rate=1.0)
    signal.signal(signal.SIGUSR2, lambda *_: clock.jump(JUMP))
    trio.run = partial(trio.run, clock=clock)
    sys.exit(main())
