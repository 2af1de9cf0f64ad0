"""What comes into a mailbox while somebody has its inbox open. Nobody looks, nothing is asked."""

import logging
from collections.abc import Sequence
from typing import Final, final

import trio

from tcfs.project._clock import Clock
from tcfs.project._together import together
from tcfs.project.mail import Letter, Mail, each_once
from tcfs.stores import Entry, StoreError
from tcfs.stores.deadline import within
from tcfs.wire.cursor import Stream
from tcfs.wire.ids import BROADCAST, AgentId, Mailbox

log: Final = logging.getLogger(__name__)
PAUSE: Final = 0.5  # seconds between looks: `tail -f` looks every second
LIMIT: Final = 2.0  # seconds of a look: whoever follows comes again in any case


@final
class Arrivals:
    """A mailbox, followed: in `letters` is what was there, by time, then what came, as it did.

    As every reader does, a look goes some time back from the newest stamp: a sender's clock may
    be behind, and a message may take its time.
    """

    def __init__(self, mail: Mail, clock: Clock, box: Mailbox) -> None:
        self.letters: list[Letter] = []
        self._mail = mail
        self._clock = clock
        self._box = box
        self._direct: str | None = None  # the watermarks
        self._broadcast: str | None = None
        self._keys: set[str] = set()
        self._looked = float("-inf")
        self._lock = trio.Lock()

    async def look(self) -> None:
        """Add what came; nothing where the store does not say so in time."""
        async with self._lock:
            if trio.current_time() - self._looked < PAUSE:
                return
            try:
                with within(LIMIT):
                    await self._add()
            except StoreError as error:
                log.info("following messages/%s: %s", self._box, error)
            self._looked = trio.current_time()

    async def _add(self) -> None:
        direct, broadcast = await self._listed()
        new = [[it for it in found if it.key not in self._keys] for found in (direct, broadcast)]
        self.letters += sorted(await self._letters(*new), key=lambda it: it.order)
        # Not before they are read: what could not be is there at the next look.
        self._keys.update(it.key for entries in new for it in entries)
        now = self._clock.now()
        self._direct = _watermark(self._direct, direct, self._box, now)
        self._broadcast = _watermark(self._broadcast, broadcast, BROADCAST, now)

    async def _listed(self) -> tuple[Sequence[Entry], Sequence[Entry]]:
        if self._box == BROADCAST:
            return (), await self._mail.entries(BROADCAST, after=self._broadcast)
        return await together(
            lambda: self._mail.entries(self._box, after=self._direct),
            lambda: self._mail.entries(BROADCAST, after=self._broadcast),
        )

    async def _letters(
        self, direct: Sequence[Entry], broadcast: Sequence[Entry]
    ) -> Sequence[Letter]:
        if self._box == BROADCAST:
            return await self._mail.letters(BROADCAST, broadcast)
        return await self._mail.those(AgentId(self._box), direct, broadcast)


@final
class Following:
    """One reader of an inbox: what it was shown when it opened it, and what came since."""

    def __init__(self, arrivals: Arrivals, letters: Sequence[Letter]) -> None:
        self._arrivals = arrivals
        self._shown = {it.entry.key for it in letters}
        self._names = {it.name for it in letters if it.name is not None}
        self._position = 0
        self._since = trio.current_time()

    async def more(self) -> Sequence[Letter]:
        """Return what came and was not returned yet; nothing to whoever only reads once."""
        if trio.current_time() - self._since < PAUSE:
            return ()
        await self._arrivals.look()
        came = self._arrivals.letters[self._position :]
        self._position += len(came)
        new = [
            it
            for it in each_once(came)
            if it.entry.key not in self._shown and it.name not in self._names
        ]
        self._names.update(it.name for it in new if it.name is not None)
        return new


def _watermark(before: str | None, listed: Sequence[Entry], box: Mailbox, now: int) -> str | None:
    return Stream(watermark=before).after((it.key for it in listed), box, now).watermark
