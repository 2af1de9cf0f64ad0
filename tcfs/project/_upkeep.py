"""Keeping what this mount holds: its leases are renewed for as long as it lives (tree.md)."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, final

import trio

from tcfs.project._journal import Holding, Journal
from tcfs.project._tenures import Tenures
from tcfs.project._together import all_of
from tcfs.project.errors import Refused
from tcfs.stores import StoreError
from tcfs.stores.deadline import within
from tcfs.wire import keys
from tcfs.wire.ids import AgentId

log: Final = logging.getLogger(__name__)
AT_ONCE: Final = 16  # renewals
AGAIN: Final = (1.0, 30.0)  # seconds until what could not be renewed is tried again

Lost = Callable[[AgentId, str, str], None]
"""Is told of an agent that lost what it held: which key, and why."""


class Held(Protocol):
    """What is held by leases: steps, or locks."""

    async def renew(self, holding: Holding) -> None:
        """Let a lease begin anew; raises Refused where it is held no more."""
        ...

    async def carry_on(self, holding: Holding) -> bool:
        """Take on what a mount held that is no more; raises Refused where it is held no more."""
        ...


@final
class Upkeep:
    """The task that renews what a mount holds."""

    def __init__(
        self, tenures: Tenures, journal: Journal, steps: Held, locks: Held, deadline: float
    ) -> None:
        self._tenures = tenures
        self._journal = journal
        self._steps = steps
        self._locks = locks
        self._deadline = deadline
        self.lost: Lost = lambda agent, key, why: None
        self.renewed = 0  # leases, so far

    async def run(self, inherited: Sequence[Holding]) -> None:
        """Take on what was inherited, then renew whatever is due, until cancelled."""
        await all_of([partial(self._inherit, it) for it in inherited], AT_ONCE)
        pause, longest = AGAIN
        while True:
            await self._tenures.next_due()
            due = self._tenures.due()
            if all(await all_of([partial(self._renew, it) for it in due], AT_ONCE)):
                pause, _ = AGAIN
            else:
                await trio.sleep(pause)
                pause = min(2 * pause, longest, *(it.seconds / 12 for it in due))

    async def _inherit(self, holding: Holding) -> None:
        kept = await self._tried(holding, self._of(holding).carry_on)
        if kept is None:
            # Nobody could tell: it is ours to renew, and the store says whether it still is.
            self._tenures.keep(holding)

    async def _renew(self, holding: Holding) -> bool:
        held = await self._tried(holding, self._of(holding).renew)
        self.renewed += held is True
        return held is not None

    async def _tried(
        self, holding: Holding, act: Callable[[Holding], Awaitable[object]]
    ) -> bool | None:
        """Act, and return whether it is held by then; None where that is not known."""
        try:
            with within(self._deadline):
                return await act(holding) is not False
        except Refused as error:
            log.warning("%s is no longer held by %s: %s", holding.key, holding.agent, error)
            self._tenures.drop(holding.key, holding.agent)
            self._journal.drop(holding.id)
            self.lost(holding.agent, holding.key, str(error))
            return False
        except StoreError as error:
            log.warning("%s could not be renewed for %s: %s", holding.key, holding.agent, error)
            return None
        except Exception:  # a disk that is full, or a bug: what else is held is renewed
            log.exception("%s could not be renewed for %s", holding.key, holding.agent)
            return None

    def _of(self, holding: Holding) -> Held:
        return self._steps if keys.step_of(holding.key) is not None else self._locks
