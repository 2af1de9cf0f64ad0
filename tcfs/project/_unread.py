"""What came since an agent last read its mail, and waiting for it.

A message is shown until it is marked as read, by whoever reads as that agent: `inbox --new` of the
reference moves the same cursor. Two who read at the same time are both shown it; none is lost.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import trio

from tcfs.project._clock import Clock
from tcfs.project._cursor import Cursors
from tcfs.project._documents import Documents
from tcfs.project._together import together
from tcfs.project._watch import TICK, Watch, Watcher
from tcfs.project.mail import Letter, Mail, each_once, is_message
from tcfs.stores import Entry, Unavailable
from tcfs.stores.deadline import DEFAULT, within
from tcfs.wire import Malformed, keys
from tcfs.wire.cursor import Cursor, Stream
from tcfs.wire.ids import BROADCAST, AgentId, Mailbox
from tcfs.wire.mail import Message

log: Final = logging.getLogger(__name__)
REMEMBERED: Final = 10_000  # messages of one agent whose names are kept: two hours at one a second

Name = tuple[str, str]


@final
@dataclass(frozen=True, slots=True)
class News:
    """What came, in the order it was sent. `before` and `after`: how far the agent has read."""

    letters: Sequence[Letter]
    before: Cursor
    after: Cursor
    fresh: frozenset[str]  # keys that are read with it, of what is not shown as well


@final
class Unread:
    """The unread mail of a project's agents."""

    def __init__(
        self, mail: Mail, cursors: Cursors, documents: Documents, watcher: Watcher, clock: Clock
    ) -> None:
        self._mail = mail
        self._cursors = cursors
        self._documents = documents
        self._watcher = watcher
        self._clock = clock
        self._shown: dict[AgentId, dict[Name, None]] = {}

    async def read(self, agent: AgentId) -> News:
        """Return what came since the agent last read; it is not marked yet.

        Raises what a listing or a get raises.
        """
        return await self._read(agent, await self._cursors.read(agent))

    async def wait(self, agent: AgentId) -> News:
        """Return what came since the agent last read, as soon as there is something.

        A store that is away is waited for as well; raises what else a listing or a get raises.
        """
        news = await self._patiently(agent)
        if news.letters:
            return news
        direct, broadcast = news.after.direct.watermark, news.after.broadcast.watermark
        with (
            self._watcher.watch(keys.mail(Mailbox(agent)), after=direct) as mine,
            self._watcher.watch(keys.mail(BROADCAST), after=broadcast) as everybodys,
        ):
            # At once again, for what came before they were watched.
            while not (news := await self._patiently(agent)).letters:
                if any(_may_be_new(it, news.after, agent) for it in _known(mine, everybodys)):
                    await trio.sleep(TICK)  # the listing was behind the one that told of it
                    continue
                changed: set[str] = set()
                while not any(_may_be_new(key, news.after, agent) for key in changed):
                    changed = await _first(mine, everybodys)
        return news

    async def mark(self, agent: AgentId, news: News) -> None:
        """Mark as read what was shown.

        Raises what `Cursors.merge` does: it is then marked, or shown again.
        """
        if not news.fresh:
            return
        with within(DEFAULT):
            await self._cursors.merge(agent, news.after)
        shown = self._shown.setdefault(agent, {})
        shown.update((it.name, None) for it in news.letters if it.name is not None)
        for name in list(shown)[: max(0, len(shown) - REMEMBERED)]:
            del shown[name]

    async def _read(self, agent: AgentId, cursor: Cursor) -> News:
        box = Mailbox(agent)
        direct, broadcast = await together(
            lambda: self._mail.entries(box, after=cursor.direct.watermark),
            lambda: self._mail.entries(BROADCAST, after=cursor.broadcast.watermark),
        )
        new = [_new(direct, cursor.direct), _new(broadcast, cursor.broadcast)]
        letters = sorted(await self._mail.those(agent, *new), key=lambda it: it.order)
        now = self._clock.now()
        return News(
            await self._not_shown(agent, each_once(letters), cursor),
            cursor,
            Cursor(
                direct=cursor.direct.after((it.key for it in direct), box, now),
                broadcast=cursor.broadcast.after((it.key for it in broadcast), BROADCAST, now),
            ),
            frozenset(entry.key for entries in new for entry in entries),
        )

    async def _not_shown(
        self, agent: AgentId, letters: Sequence[Letter], cursor: Cursor
    ) -> list[Letter]:
        """Leave out what was shown under another key: its sender had not been told it is there."""
        shown = self._shown.get(agent, {})
        earlier = {
            (leaf.agent, leaf.unique): key
            for key in cursor.direct.seen | cursor.broadcast.seen
            if (leaf := keys.append_leaf(key.rpartition("/")[2])) and leaf.unique
        }
        left = []
        for it in letters:
            leaf = keys.append_leaf(it.entry.key.rpartition("/")[2])
            twin = earlier.get((leaf.agent, leaf.unique)) if leaf else None
            known = it.name in shown or (twin is not None and await self._is(it, twin))
            if it.name is None or not known:
                left.append(it)
        return left

    async def _is(self, letter: Letter, key: str) -> bool:
        # Half of a message's id is in its key. One that has been removed was read as well.
        found = await self._documents.read(key, max_age=3600.0)
        try:
            return found is None or Message.parse(found.body).id == letter.message.id
        except Malformed:
            return False

    async def _patiently(self, agent: AgentId) -> News:
        while True:
            try:
                with within(DEFAULT):
                    return await self.read(agent)
            except Unavailable as error:
                log.warning("waiting for mail to %s: %s", agent, error)
            await trio.sleep(TICK)


def _new(entries: Sequence[Entry], stream: Stream) -> list[Entry]:
    return [it for it in entries if stream.is_new(it.key)]


def _may_be_new(key: str, read: Cursor, agent: AgentId) -> bool:
    if is_message(key, Mailbox(agent)):
        return read.direct.is_new(key)
    return is_message(key, BROADCAST) and read.broadcast.is_new(key)


def _known(*watches: Watch) -> list[str]:
    return [key for it in watches for key in it.known or ()]


async def _first(one: Watch, other: Watch) -> set[str]:
    """Return the keys that changed below either of two prefixes, once there are some."""
    changed: set[str] = set()

    async def wait(watch: Watch) -> None:
        changed.update(await watch.changes())
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, one)
        nursery.start_soon(wait, other)
    return changed
