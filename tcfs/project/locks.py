"""Locks: a name that one agent has at a time, until it is given back or its lease runs out.

The protocol is in `_locking`; this is what others use. What a mount holds is renewed by `Upkeep`.
"""

from collections.abc import Sequence
from functools import partial
from typing import final

import trio

from tcfs.project._apart import start_apart, survived
from tcfs.project._documents import WALK
from tcfs.project._journal import Holding, Untold
from tcfs.project._locking import (
    Look,
    bound,
    end,
    give_back,
    held,
    judged,
    look,
    name_of,
    renew,
    take,
    undo,
)
from tcfs.project._locks import Locks as Queues
from tcfs.project.errors import NotAllowed, Refused
from tcfs.project.steps import CATCH_UP, LEASE, Context, quietly
from tcfs.stores import Entry
from tcfs.wire import keys
from tcfs.wire.ids import AgentId, LockId
from tcfs.wire.locks import Lock

__all__ = ["Holding", "Lock", "Locks", "Look", "bound", "held"]


@final
class Locks:
    """The locks of a project, as one mount acts on them."""

    def __init__(self, context: Context, nursery: trio.Nursery) -> None:
        self._context = context
        self._nursery = nursery
        self._alone = Queues()
        self._leaving: dict[str, Holding] = {}  # by id: given up, and not surely given back
        self._closing: dict[LockId, trio.Event] = {}  # of files that were just closed

    # looking

    async def look(self, name: LockId, *, max_age: float = 0.0) -> Look:
        """Return a lock as it is; what was closed here before is given back by then."""
        await self._closed(name)
        return await look(self._context, name, max_age=max_age)

    async def list(self) -> Sequence[tuple[Lock, LockId, int]]:
        """Return every lock that somebody has, by name, and when it was last written."""
        for closing in list(self._closing.values()):
            await closing.wait()
        documents = self._context.documents
        entries: dict[LockId, Entry] = {}
        async for page in documents.store.list(keys.LOCKS):
            for entry in page:
                if (name := keys.lock_of(entry.key)) is not None:
                    entries[name] = entry
        found = await documents.read_many(entries.values())
        if found:
            await self._context.clock.ask(documents.store)
        held_now = []
        for name in sorted(entries):
            holder = judged(self._context, found.get(entries[name].key)).holder
            if holder is not None:
                held_now.append((holder, name, entries[name].modified))
        return held_now

    # acting

    async def take(self, name: LockId, agent: AgentId) -> Holding:
        """Take a lock for `agent`, until it is given back; return once that is sure.

        Raises:
            Held: somebody has it, `agent` included.
            OutcomeUnknown: unknown; it is given back as soon as it shows.
        """
        return await self._take(name, agent, self._context.lease, hold=False)

    async def hold(self, name: LockId, agent: AgentId) -> Holding:
        """Take a lock for as long as a file is open; whoever closes it calls `let_go`.

        Raises as `take` does.
        """
        return await self._take(name, agent, self._context.lease or LEASE, hold=True)

    async def _take(self, name: LockId, agent: AgentId, seconds: int, *, hold: bool) -> Holding:
        await self._closed(name)
        tenures = self._context.tenures
        async with self._alone.hold(name):
            # A look-up of a moment ago will do: the conditional write is what decides.
            seen = await look(self._context, name, max_age=WALK)
            there = seen.lock
            # What this mount holds is renewed in a moment, even if its lease ran out: its holder
            # has been told nothing else, and could not be told from the next one of its agent.
            if there is not None and (not seen.ran_out or self._is_kept(name, there)):
                raise held(name, there)
            with Untold(self._context.journal) as untold:
                won = await take(self._context, name, agent, seen, untold, seconds, hold=hold)
                tenures.drop(won.key, agent)  # an earlier one, which somebody took over
                tenures.keep(won)
            return won

    async def give_back(self, name: LockId, agent: AgentId) -> None:
        """Give back the lock that `agent` has.

        What the store does not take is tried again later: whoever gave a lock up is not asked
        once more, and others wait.

        Raises:
            Missing: nobody has it.
            NotHolder: another has it.
            NotAllowed: it is bound to an open file.
            OutcomeUnknown, Unavailable, Denied, ReadOnly
        """
        key = keys.lock(name)
        async with self._alone.hold(name):
            kept = self._context.tenures.of(key, agent)
            if kept is not None and kept.bound:
                raise bound(name)
            try:
                await give_back(self._context, name, agent, kept.id if kept else None)
            except NotAllowed:
                raise
            except Refused:
                self._context.tenures.drop(key, agent)
                raise
            except BaseException:
                if kept is not None:
                    self._leave(kept)
                raise
            self._context.tenures.drop(key, agent)

    def let_go(self, holding: Holding) -> None:
        """Give back what `hold` took, unless it ended otherwise; does not wait, and cannot fail.

        Whoever asks for that lock here from now on waits until the store was told.
        """
        if self._context.tenures.of(holding.key, holding.agent) != holding:
            return
        self._leave(holding)
        name = name_of(holding)
        self._closing[name] = closing = trio.Event()
        start_apart(self._nursery, self._close, name, holding, closing)

    async def _close(self, name: LockId, holding: Holding, closing: trio.Event) -> None:
        try:
            await quietly(partial(self._end, holding))
        finally:
            closing.set()
            if self._closing.get(name) is closing:
                del self._closing[name]

    async def _closed(self, name: LockId) -> None:
        closing = self._closing.get(name)
        if closing is not None:
            await closing.wait()

    def _leave(self, holding: Holding) -> None:
        self._context.tenures.leave(holding)
        self._leaving[holding.id] = holding

    async def _end(self, holding: Holding) -> None:
        async with self._alone.hold(name_of(holding)):
            await end(self._context, holding)
        self._leaving.pop(holding.id, None)
        self._context.tenures.forget(holding.id)
        self._context.journal.drop(holding.id)

    def _is_kept(self, name: LockId, lock: Lock) -> bool:
        kept = self._context.tenures.id(keys.lock(name), AgentId(lock.agent))
        return kept is not None and kept == lock.id

    # in the background

    async def renew(self, holding: Holding) -> None:
        """Let the lease of a lock begin anew; raises NotHolder, and what a write raises."""
        async with self._alone.hold(name_of(holding)):
            if self._context.tenures.of(holding.key, holding.agent) == holding:
                await renew(self._context, holding)

    async def carry_on(self, holding: Holding) -> bool:
        """Take on what a mount held that is no more, or give it back if it was bound to a file.

        Returns whether it is `holding`'s agent's by now. What cannot be given back now is tried
        again later.
        """
        if holding.bound:
            self._leaving[holding.id] = holding
            await quietly(partial(self._end, holding))
            return False
        async with self._alone.hold(name_of(holding)):
            await renew(self._context, holding)
            self._context.tenures.keep(holding)
        return True

    async def catch_up(self) -> None:
        """Give back what nobody was told of, and what was given up while the store was away."""
        while True:
            await trio.sleep(CATCH_UP)
            await survived(self.clear_up)

    async def clear_up(self) -> None:
        """Do once what `catch_up` does again and again; what fails is left for the next time."""
        for entry in self._context.journal.due(keys.LOCKS):
            name = keys.lock_of(entry.key)
            if name is not None:
                async with self._alone.hold(name):
                    await quietly(partial(undo, self._context, name, entry.nonce))
        for holding in list(self._leaving.values()):
            await quietly(partial(self._end, holding))
