"""`python -m tests.faults.limits.soak_clock …` is `tcfs …`, whose timers run faster by SOAK_RATE.

Only timers do: what time it is, by any clock, stays what it was.
"""

import os
import sys
from functools import partial

import trio
from trio.testing import MockClock

from tcfs.cli import main

if __name__ == "__main__":
    trio.run = partial(trio.run, clock=MockClock(rate=float(os.environ["SOAK_RATE"])))
    sys.exit(main())
