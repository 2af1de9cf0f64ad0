"""Mail that was accepted is delivered, through outages and crashes (protocol.md, mail).

A message is sent at once if the store answers in time; else it is kept on this host's disk, and
sent later, in the order it was accepted from each sender. Its name, and the key of an attempt, are
on the disk before that attempt is made: a repeated one changes nothing.
"""

import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar, final

import trio

from tcfs.project._apart import start_apart
from tcfs.project._clock import Clock
from tcfs.project._outgoing import Outgoing, compose
from tcfs.project._spool import Kept, Spool
from tcfs.project._together import all_of
from tcfs.stores import (
    Conflict,
    NotFound,
    NotModified,
    OutcomeUnknown,
    Store,
    StoreError,
    StoreFull,
    Unavailable,
)
from tcfs.stores._threads import completed
from tcfs.stores.deadline import remaining, within
from tcfs.wire import Malformed, keys
from tcfs.wire.ids import AgentId, Mailbox
from tcfs.wire.mail import Message

__all__ = ["Kept", "Outbox"]

T = TypeVar("T")

ATTEMPT: Final = 2.0  # seconds that a sender waits for the store
TRY: Final = 10.0  # seconds of an attempt nobody waits for
# Nanoseconds after which a key is used no more: readers look 5 minutes back, and a request may
# arrive some time after its attempt was given up.
YOUNG: Final = 230 * 1_000_000_000
FIRST: Final = 0.5  # seconds between attempts while the store is away, at first
LONGEST: Final = 10.0
AT_ONCE: Final = 16  # senders whose mail is sent at the same time

log: Final = logging.getLogger(__name__)

_TEMPORARY: Final = (Unavailable, Conflict, StoreFull)


@final
class Outbox:
    """The mail that this mount accepted, and has not delivered."""

    def __init__(self, store: Store, clock: Clock, spool: Spool, nursery: trio.Nursery) -> None:
        self._store = store
        self._clock = clock
        self._spool = spool
        self._nursery = nursery
        self._waiting: dict[AgentId, list[Kept]] = {}
        self._refused: list[Kept] = []
        self._running = False
        self._answered = trio.Event()  # the store did, while mail waited for it
        self._turn = trio.Lock()

    @property
    def waiting(self) -> Sequence[Kept]:
        """What waits, in the order it will be sent."""
        return sorted((it for kept in self._waiting.values() for it in kept), key=_number)

    @property
    def refused(self) -> Sequence[Kept]:
        """What the store does not take; the next mount tries it again."""
        return self._refused

    async def send(self, box: Mailbox, sender: AgentId, text: str, step: str | None = None) -> None:
        """Send a message, now or later. It is delivered, or on the disk, when this returns.

        Raises:
            MessageTooLong, Invalid, Denied, InvalidKey, ReadOnly, StoreFull: it is not sent.
            OSError: it could neither be sent nor kept; the disk is full.
            OutcomeUnknown: it may have been sent, and could not be kept.
        """
        stamp = self._clock.stamp()
        message = compose(box, sender, text, step, stamp)
        key: str | None = None
        if sender not in self._waiting:  # or it would overtake what waits
            key = message.key(stamp)
            try:
                with within(min(ATTEMPT, remaining() / 2)):
                    await self._store.put(key, message.body)
            except OutcomeUnknown as error:
                log.info("mail to %s waits: %s", box, error)
            except (Unavailable, Conflict) as error:
                log.info("mail to %s waits: %s", box, error)
                key = None  # it is surely not there, and will be sent as of later
            else:
                self._answered.set()
                return
        await self._keep(message, key)

    async def inherit(self) -> None:
        """Take over the mail that mounts of this host left which are no more, and send it."""
        if self._spool.unused:
            return
        try:
            left = await _on_disk(self._spool.inherit)
        except OSError as error:
            log.warning("mail that an earlier mount left is not sent: %s", error)
            return
        for kept in left:
            self._waiting.setdefault(kept.sender, []).append(kept)
        if left:
            log.warning("sending %d messages that an earlier mount left", len(left))
            self._start()

    async def finish(self) -> None:
        """Try once more what waits; what does not go now stays for the next mount."""
        if self._waiting:
            await self._round()
        if self._waiting:
            log.warning("%d messages wait on this host for the next mount", len(self.waiting))

    def close(self) -> None:
        """Let go of the disk."""
        self._spool.close()

    async def _keep(self, message: Outgoing, key: str | None) -> None:
        try:
            kept = await _on_disk(partial(self._spool.add, message, key))
        except OSError as error:
            if key is None:
                raise
            raise OutcomeUnknown(
                f"it is unknown whether the message was sent, and it could not be kept here "
                f"({error.strerror}); look for it in messages/{message.box}/inbox"
            ) from error
        self._waiting.setdefault(message.sender, []).append(kept)
        self._start()

    def _start(self) -> None:
        if not self._running:
            self._running = True
            start_apart(self._nursery, self._run)

    async def _run(self) -> None:
        pause = FIRST
        try:
            while self._waiting:
                # Full jitter, as all pauses have; and at once when another request was answered.
                self._answered = trio.Event()
                with trio.move_on_after(random.uniform(FIRST, pause)):
                    await self._answered.wait()
                pause = FIRST if await self._round() else min(2 * pause, LONGEST)
        finally:
            self._running = False

    async def _round(self) -> bool:
        """Send what waits, each sender's as far as it goes; return whether anything went."""
        async with self._turn:
            senders = list(self._waiting)
            went = await all_of([partial(self._send_all, it) for it in senders], AT_ONCE)
            return any(went)

    async def _send_all(self, sender: AgentId) -> bool:
        queue, went = self._waiting[sender], False
        while queue:
            try:
                await self._send_or_refuse(queue)
            except _TEMPORARY as error:
                log.info("mail of %s waits: %s", sender, error)
                return went
            except Exception:  # a disk that fails, or a bug: others' mail goes on
                log.exception("mail of %s cannot be sent now", sender)
                return went
            queue.pop(0)
            went = True
        del self._waiting[sender]
        return went

    async def _send_or_refuse(self, queue: list[Kept]) -> None:
        try:
            await self._send_first(queue)
        except _TEMPORARY:
            raise
        except StoreError as error:
            kept = queue[0]
            log.warning("mail of %s to %s is refused: %s", kept.sender, kept.box, error)
            change = partial(self._spool.change, kept, key=kept.key, refused=str(error))
            self._refused.append(await _on_disk(change))

    async def _send_first(self, queue: list[Kept]) -> None:
        kept = queue[0]
        if kept.key is None or self._is_old(kept.key):
            if kept.key is not None and await self._is_there(kept.key, kept.id):
                await _on_disk(partial(self._spool.remove, kept))
                return
            # As of now, and on the disk before it can be in the bucket.
            key = kept.key_at(self._clock.stamp())
            kept = queue[0] = await _on_disk(partial(self._spool.change, kept, key=key))
        body = await _on_disk(partial(self._spool.body, kept))
        assert kept.key is not None
        with within(TRY):
            await self._store.put(kept.key, body)
        await _on_disk(partial(self._spool.remove, kept))

    def _is_old(self, key: str) -> bool:
        leaf = keys.append_leaf(key.rpartition("/")[2])
        return leaf is None or self._clock.now() - leaf.time_ns > YOUNG

    async def _is_there(self, key: str, id: str) -> bool:
        """Tell whether an attempt under `key` arrived; else it will not, or is removed."""
        with within(TRY):
            with suppress(NotFound):
                found = await self._store.get(key)
                assert not isinstance(found, NotModified)
                if _id(found.body) == id:
                    return True
            # What arrives between the two would be a copy under a key older than readers look.
            await self._store.delete(key)
        return False


def _id(body: bytes) -> str | None:
    try:
        return Message.parse(body).id
    except Malformed:
        return None


def _number(kept: Kept) -> int:
    return kept.number


async def _on_disk(work: Callable[[], T]) -> T:
    # In a thread: a disk that is busy takes seconds to sync.
    return await completed(work)
