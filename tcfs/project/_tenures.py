"""What this mount holds, and until when any claim lives (protocol.md, time).

Whether a lease ran out is judged by the store's clock, and only when that is so in the worst
case: a claim taken a moment too late costs a wait, one taken a moment too early is held twice. A
tenure of this mount's own is judged by when it was last written, and stops being trusted early.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol, final

import trio

from tcfs.project._clock import Clock
from tcfs.project._journal import Holding, Journal
from tcfs.wire.documents import Lease
from tcfs.wire.ids import AgentId

SECOND: Final = 1_000_000_000  # nanoseconds
RENEWED: Final = 3  # times in the life of a lease: tree.md, how long a claim lives


@final
@dataclass(frozen=True, slots=True)
class _Written:
    """The last write of a claim that was ours; whoever wrote it since has changed the nonce."""

    nonce: str | None
    sent: int  # by CLOCK_BOOTTIME, in nanoseconds


class Leased(Protocol):
    """A claim or a lock: `id` is one a tenure, `nonce` one a write."""

    @property
    def id(self) -> str | None: ...
    @property
    def nonce(self) -> str | None: ...
    @property
    def lease(self) -> Lease | None: ...
    @property
    def released(self) -> bool: ...


@final
class Tenures:
    """The tenures of this mount, and the judge of all leases."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._held: dict[tuple[str, AgentId], Holding] = {}
        self._written: dict[str, _Written] = {}  # by the claim's id
        self._changed = trio.Event()

    def keep(self, holding: Holding) -> None:
        """Take note of a tenure: it is renewed from now on, until it is dropped."""
        self._held[holding.key, holding.agent] = holding
        if holding.seconds or holding.bound:  # else it stays held whoever comes or goes
            self._journal.keep(holding)
        self._changed.set()

    def drop(self, key: str, agent: AgentId) -> None:
        """Take note that an agent holds a step or a lock no longer."""
        holding = self._held.pop((key, agent), None)
        if holding is not None:
            self.forget(holding.id)
            self._journal.drop(holding.id)

    def leave(self, holding: Holding) -> None:
        """Renew a tenure no more: it is being given back, if need be by the next mount."""
        self._held.pop((holding.key, holding.agent), None)
        # As it would be with a file that was closed: nobody carries it on.
        self._journal.keep(replace(holding, bound=True))

    def written(self, claim: Leased, sent: int) -> None:
        """Take note of a write of a claim that surely happened; `sent` is by CLOCK_BOOTTIME."""
        if claim.id is not None and claim.lease is not None and not claim.released:
            self._written[claim.id] = _Written(claim.nonce, sent)

    def forget(self, id: str | None) -> None:
        """Take note that a claim is no more."""
        self._written.pop(id or "", None)

    def of(self, key: str, agent: AgentId) -> Holding | None:
        """Return the tenure that an agent has of a step or lock, if it is of this mount."""
        return self._held.get((key, agent))

    def id(self, key: str, agent: AgentId) -> str | None:
        """Return the id of such a tenure."""
        holding = self._held.get((key, agent))
        return holding.id if holding else None

    def __iter__(self) -> Iterator[Holding]:
        """Go through all tenures of this mount, the oldest first."""
        return iter(list(self._held.values()))

    # leases

    def lease(self, seconds: float) -> Lease | None:
        """Return a lease of so many seconds that begins now; None for one without an end."""
        return Lease(math.ceil(seconds), self._clock.iso()) if seconds else None

    def left(self, claim: Leased, modified: int) -> float | None:
        """Return in how many seconds a claim's lease has run out; not above 0: it has.

        `modified` is when the store says it was last written. None: it has no lease, or nobody
        can tell; then it has not run out.
        """
        if claim.lease is None or claim.released:
            return None
        ours = self._written.get(claim.id or "")
        if ours is not None and ours.nonce == claim.nonce:
            # Two uncertainties early: by then, at the worst, another mount may take it.
            until = ours.sent + claim.lease.seconds * SECOND - 2 * self._clock.uncertainty
            return (until - self._clock.monotonic()) / SECOND
        now = self._clock.earliest()
        if now is None:
            return None
        whole = modified % SECOND == 0  # the store tells whole seconds: it may have been later
        until = modified + claim.lease.seconds * SECOND + (SECOND if whole else 0)
        return (until - now) / SECOND

    def ran_out(self, claim: Leased | None, modified: int) -> bool:
        """Tell whether a claim's lease has run out."""
        left = None if claim is None else self.left(claim, modified)
        return left is not None and left <= 0

    def due(self) -> list[Holding]:
        """Return the tenures that it is time to renew."""
        now = self._clock.monotonic()
        return [it for it in self if it.seconds and self._due(it) <= now]

    async def next_due(self) -> None:
        """Wait until it is time to renew one."""
        while not self.due():
            self._changed = trio.Event()
            dues = [self._due(it) for it in self if it.seconds]
            pause = (min(dues) - self._clock.monotonic()) / SECOND if dues else math.inf
            with trio.move_on_after(max(0.0, pause)):
                await self._changed.wait()

    def _due(self, holding: Holding) -> int:
        ours = self._written.get(holding.id)
        return (ours.sent if ours else 0) + holding.seconds * SECOND // RENEWED
