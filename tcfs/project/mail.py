"""Mail: messages to one agent or to all, kept until they are removed."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from tcfs.project._clock import Clock
from tcfs.project._documents import Documents
from tcfs.project._together import together
from tcfs.project.errors import Invalid, MessageTooLong, Missing
from tcfs.stores import Entry
from tcfs.wire import Malformed, keys
from tcfs.wire.ids import BROADCAST, AgentId, Mailbox, fresh
from tcfs.wire.mail import Message
from tcfs.wire.times import iso, nanoseconds

log: Final = logging.getLogger(__name__)
MAX_MESSAGE: Final = 1 << 20  # bytes: tree.md, messages


@final
@dataclass(frozen=True, slots=True)
class Letter:
    """A message that lies in a mailbox."""

    entry: Entry
    message: Message
    broadcast: bool

    @property
    def order(self) -> tuple[int, str]:
        """What messages are sorted by: when they were sent, then their keys."""
        sent = nanoseconds(self.message.sent_at)
        leaf = keys.append_leaf(self.entry.key.rpartition("/")[2])
        return (sent if sent is not None else leaf.time_ns if leaf else 0, self.entry.key)


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
        if len(text.encode(errors="surrogatepass")) > MAX_MESSAGE:
            raise MessageTooLong(
                f"a message holds {MAX_MESSAGE} bytes at most; share a file in artifacts/ instead"
            )
        stamp = self._clock.stamp()
        unique = fresh()
        leaf = keys.AppendLeaf(stamp, sender, unique[:8])
        message = Message(
            sender=sender, to=box, text=text, sent_at=iso(stamp), step=step, id=unique
        )
        try:
            body = message.encode()
        except Malformed as error:
            raise Invalid(str(error)) from None
        # The key is fixed before the first attempt, so that a repeated one changes nothing.
        await self._store.put(f"{keys.mail(box)}{leaf}.json", body)
        return str(leaf)

    async def entries(self, box: Mailbox) -> Sequence[Entry]:
        """Return the objects of a mailbox's messages, in the order of their keys."""
        prefix = keys.mail(box)
        found: list[Entry] = []
        async for page in self._store.list(prefix):
            found += [
                entry
                for entry in page
                if keys.is_leaf(leaf := entry.key[len(prefix) :]) and leaf.endswith(".json")
            ]
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
            others = [entry for entry in all_ if _sender(entry) != box]
            letters = await self._letters(direct, broadcast=False)
            letters += [
                it for it in await self._letters(others, broadcast=True) if it.message.sender != box
            ]
        return sorted(letters, key=lambda it: it.order)

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
        self._documents.forget(key)
        await self._store.delete(key)
        self._documents.deleted(key)

    async def letters(self, box: Mailbox, entries: Sequence[Entry]) -> Sequence[Letter]:
        """Return the messages of objects that `entries` just showed."""
        return await self._letters(entries, broadcast=box == BROADCAST)

    async def _letters(self, entries: Sequence[Entry], *, broadcast: bool) -> list[Letter]:
        found = await self._documents.read_many(entries)
        return [
            Letter(entry, _parse(entry.key, found[entry.key].body), broadcast)
            for entry in entries
            if entry.key in found
        ]


def _sender(entry: Entry) -> str | None:
    leaf = keys.append_leaf(entry.key.rpartition("/")[2])
    return leaf.agent if leaf else None


def _parse(key: str, body: bytes) -> Message:
    try:
        return Message.parse(body)
    except Malformed as error:
        log.info("%s: %s", key, error)
        return Message(sender="?", to="", text=f"(not a message: {error})")
