"""The one clock: the store's, as far as its answers tell.

Leases run out, and messages are dated, by what all clients share, and that is the store's clock.
This host's own may be wrong, and may be set at any moment; CLOCK_BOOTTIME is not, and counts
while the host sleeps. So what is kept is between which bounds the two differ (protocol.md, time).
"""

import logging
import time
from collections.abc import Callable
from typing import Final, final

from tcfs.stores import Offset, Store, StoreError, boottime
from tcfs.wire.times import iso

log: Final = logging.getLogger(__name__)
DRIFT: Final = 0.0002  # of the time passed: a quartz that is worse is broken


@final
class Clock:
    """The time as this mount knows it, in nanoseconds since 1970.

    Until the store has told, that is this host's; `earliest` then knows nothing.
    """

    def __init__(self, monotonic: Callable[[], int] = boottime) -> None:
        """`monotonic` is CLOCK_BOOTTIME, or a test's."""
        self.monotonic = monotonic
        self._last = 0
        self._offset: Offset | None = None
        self._told = 0  # when, by `monotonic`
        self._asked = False

    def observe(self, told: Offset | None) -> None:
        """Take note of what an answer of the store told of its clock."""
        if told is None:
            return
        known = self._bounds()
        if known is not None:
            both = Offset(max(told.low, known.low), min(told.high, known.high))
            # Apart from each other, the store's clock was set, and what was known is no more.
            told = both if both.low <= both.high else told
        self._offset, self._told = told, self.monotonic()

    async def ask(self, store: Store) -> None:
        """Ask the store once, if nothing has told yet; who has no answer goes on without."""
        if self._offset is not None or self._asked:
            return
        self._asked = True
        try:
            self.observe(await store.clock())
        except StoreError as error:
            log.warning("the store's clock is not known: %s", error)
            self._asked = False

    def now(self) -> int:
        """Return the time: this host's, unless the store's is surely another."""
        bounds = self._bounds()
        ours = time.time_ns()
        passed = self.monotonic()
        if bounds is None or bounds.low <= ours - passed <= bounds.high:
            return ours
        return passed + (bounds.low + bounds.high) // 2

    def earliest(self) -> int | None:
        """Return what the store's clock surely has passed; None where it has not told."""
        bounds = self._bounds()
        return None if bounds is None else self.monotonic() + bounds.low

    @property
    def uncertainty(self) -> int:
        """How far `now` may be off the store's clock, in nanoseconds; 0 where it has not told."""
        bounds = self._bounds()
        return 0 if bounds is None else (bounds.high - bounds.low + 1) // 2

    def stamp(self) -> int:
        """Return the time for an append key: above every stamp given before."""
        self._last = max(self._last + 1, self.now())
        return self._last

    def iso(self) -> str:
        """Return the time as documents hold it."""
        return iso(self.now())

    def _bounds(self) -> Offset | None:
        if self._offset is None:
            return None
        drifted = int((self.monotonic() - self._told) * DRIFT)
        return Offset(self._offset.low - drifted, self._offset.high + drifted)
