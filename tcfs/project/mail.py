"""Mail: messages to one agent or to all, kept until they are removed."""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, final

from tcfs.project._batches import batches
from tcfs.project._clock import Clock
from tcfs.project._documents import Documents
from tcfs.project._outgoing import MAX_MESSAGE, compose
from tcfs.project._together import together
from tcfs.project.errors import Missing
from tcfs.stores import Entry
from tcfs.wire import Malformed, keys
from tcfs.wire.ids import BROADCAST, AgentId, Mailbox
from tcfs.wire.mail import Message
from tcfs.wire.times import nanoseconds

__all__ = ["MAX_MESSAGE", "Letter", "Mail", "each_once", "is_message"]

log: Final = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class Letter:
    """A message that lies in a mailbox."""

    entry: Entry
    message: Message
    broadcast: bool

    @property
    def order(self) -> tuple[int, str]:
        """What messages are sorted by: when they were sent, then their keys in their mailboxes."""
        sent, name = nanoseconds(self.message.sent_at), self.entry.key.rpartition("/")[2]
        leaf = keys.append_leaf(name)
        return (sent if sent is not None else leaf.time_ns if leaf else 0, name)

    @property
    def name(self) -> tuple[str, str] | None:
        """What tells a message from all others, wherever it lies; None for another tool's."""
        return (self.message.sender, self.message.id) if self.message.id else None


@final
class Mail:
    """The mailboxes of a project, as one mount acts on them."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._store = documents.store
        self._clock = clock

    async def boxes(self) -> set[Mailbox]:
        """Return the mailboxes that have an object."""
        names, _ = await self._store.list_dir(keys.MESSAGES)
        return {Mailbox(name) for name in names}

    async def has_mail(self, box: Mailbox) -> bool:
        """Tell whether a mailbox has any object."""
        return await self._store.any_under(keys.mail(box))

    async def send(self, box: Mailbox, sender: AgentId, text: str, step: str | None = None) -> str:
        """Send a message and return the leaf of its key, without `.json`.

        Raises:
            MessageTooLong, Invalid, OutcomeUnknown, Unavailable, Denied, ReadOnly
        """
        stamp = self._clock.stamp()
        message = compose(box, sender, text, step, stamp)
        # The key is fixed before the first attempt, so that a repeated one changes nothing.
        key = message.key(stamp)
        await self._store.put(key, message.body)
        return key.rpartition("/")[2].removesuffix(".json")

    async def entries(self, box: Mailbox, *, after: str | None = None) -> Sequence[Entry]:
        """Return the objects of a mailbox's messages whose keys come after `after`, by key."""
        found: list[Entry] = []
        # Not every service obeys `start_after`.
        async for page in self._store.list(keys.mail(box), start_after=after):
            found += [it for it in page if is_message(it.key, box) and it.key > (after or "")]
        return found

    async def inbox(self, box: Mailbox) -> Sequence[Letter]:
        """Return every message for a mailbox, by time; in an agent's own, broadcasts as well.

        One's own broadcasts are left out, as the reference does.
        """
        if box == BROADCAST:
            letters = await self._letters(await self.entries(box), broadcast=True)
        else:
            direct, all_ = await together(
                lambda: self.entries(box), lambda: self.entries(BROADCAST)
            )
            letters = await self.those(AgentId(box), direct, all_)
        return each_once(sorted(letters, key=lambda it: it.order))

    async def those(
        self, agent: AgentId, direct: Sequence[Entry], broadcast: Sequence[Entry]
    ) -> list[Letter]:
        """Return the messages for an agent of those objects; its own broadcasts are left out."""
        # The key tells the sender, without a request; the document of a key that does not.
        others = [entry for entry in broadcast if _sender(entry) != agent]
        letters = await self._letters(direct, broadcast=False)
        for it in await self._letters(others, broadcast=True):
            if it.message.sender != agent:
                letters.append(it)
        return letters

    async def letter(self, box: Mailbox, name: str) -> Letter:
        """Return one message by the leaf of its key, without `.json`; raises Missing."""
        key = f"{keys.mail(box)}{name}.json"
        if not keys.is_leaf(name):
            raise Missing(f"messages/{box} has no message {name}")
        found = await self._documents.read(key, max_age=3600.0)  # a message never changes
        if found is None:  # that nobody had sent it a while ago does not say it is not there
            found = await self._documents.read(key)
        if found is None:
            raise Missing(f"messages/{box} has no message {name}")
        message = _parse(key, found.body)
        entry = Entry(key, found.etag, len(found.body), found.modified)
        return Letter(entry, message, box == BROADCAST)

    async def delete(self, box: Mailbox, name: str) -> None:
        """Remove one message; one that is not there is removed already."""
        key = f"{keys.mail(box)}{name}.json"
        sent = self._documents.sending(key)
        await self._store.delete(key)
        self._documents.deleted(key, sent=sent)

    async def letters(self, box: Mailbox, entries: Sequence[Entry]) -> Sequence[Letter]:
        """Return the messages of objects that `entries` just showed."""
        return await self._letters(entries, broadcast=box == BROADCAST)

    async def by_and_by(self, box: Mailbox, entries: Sequence[Entry]) -> AsyncIterator[Letter]:
        """Yield the messages of objects that `entries` just showed; few are held at once."""
        for batch in batches(entries):
            for letter in await self.letters(box, batch):
                yield letter

    async def _letters(self, entries: Sequence[Entry], *, broadcast: bool) -> list[Letter]:
        found = await self._documents.read_many(entries)
        return [
            Letter(entry, _parse(entry.key, found[entry.key].body), broadcast)
            for entry in entries
            if entry.key in found
        ]


def is_message(key: str, box: Mailbox) -> bool:
    """Tell whether an object in a mailbox is mail, and not nested, or bookkeeping."""
    prefix = keys.mail(box)
    leaf = key[len(prefix) :]
    return key.startswith(prefix) and keys.is_leaf(leaf) and leaf.endswith(".json")


def each_once(letters: Sequence[Letter]) -> list[Letter]:
    """Leave out what lies there twice, since nobody said that it did: the first one counts."""
    seen: set[tuple[str, str]] = set()
    once = []
    for it in letters:
        if it.name is None or it.name not in seen:
            once.append(it)
        if it.name is not None:
            seen.add(it.name)
    return once


def _sender(entry: Entry) -> str | None:
    leaf = keys.append_leaf(entry.key.rpartition("/")[2])
    return leaf.agent if leaf else None


def _parse(key: str, body: bytes) -> Message:
    try:
        return Message.parse(body)
    except Malformed as error:
        log.info("%s: %s", key, error)
        return Message(sender="?", to="", text=f"(not a message: {error})")
