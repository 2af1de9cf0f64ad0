"""The one clock."""

import time
from typing import final

from tcfs.wire.times import iso


@final
class Clock:
    """The time as this mount knows it, in nanoseconds since 1970."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        """Return the time."""
        return time.time_ns()

    def stamp(self) -> int:
        """Return the time for an append key: above every stamp given before."""
        self._last = max(self._last + 1, self.now())
        return self._last

    def iso(self) -> str:
        """Return the time as documents hold it."""
        return iso(self.now())
