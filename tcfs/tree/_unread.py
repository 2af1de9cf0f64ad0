"""`unread` and `wait` in an agent's mailbox: what came since it last read, marked as it is read.

Both are unlisted, since reading them changes something (tree.md, messages).
"""

from collections.abc import Awaitable, Callable
from typing import final

import trio

from tcfs.project import News
from tcfs.project.errors import NotAllowed
from tcfs.tree._base import HOUR, Attributes, Caller, File, Handle, Keep, OpenMode
from tcfs.tree._inbox import lines
from tcfs.tree._view import View
from tcfs.wire.ids import AgentId, Mailbox


class _UnreadFile(File):
    """What both have in common: who may read, and that nobody writes."""

    __slots__ = ("_box", "_view")
    keep = Keep(entry=HOUR)

    def __init__(self, path: str, view: View, box: Mailbox) -> None:
        super().__init__(path)
        self._view = view
        self._box = box

    async def attributes(self) -> Attributes:
        """Return no size: readers then read until there is nothing more."""
        return Attributes(writable=False)

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this where opening was refused."""
        raise self._refusal()

    def _reader(self, mode: OpenMode, caller: Caller) -> AgentId:
        if mode.write:
            raise self._refusal()
        agent = self._view.sure(caller)
        if str(agent) != str(self._box):
            name = self.path.rpartition("/")[2]
            raise NotAllowed(
                f"only {self._box} reads this, since it is marked as read then; you are {agent}: "
                f"cat as/{self._box}/messages/{self._box}/{name}, or messages/{self._box}/inbox"
            )
        return self._view.acting(caller)

    def _refusal(self) -> NotAllowed:
        return NotAllowed(f"{self.path} is read: cat {self.path}; `>> inbox` beside it sends")


@final
class UnreadFile(_UnreadFile):
    """`unread`: what came since the agent last read its mail."""

    __slots__ = ()

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading, as whose mail it is."""
        agent = self._reader(mode, caller)
        unread = self._view.project.unread
        return NewsHandle(await unread.read(agent), lambda it: unread.mark(agent, it))


@final
class WaitFile(_UnreadFile):
    """`wait`: as `unread`, once there is something."""

    __slots__ = ()

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading, as whose mail it is."""
        agent = self._reader(mode, caller)
        unread = self._view.project.unread
        return WaitingHandle(lambda: unread.wait(agent), lambda it: unread.mark(agent, it))


@final
class NewsHandle(Handle):
    """Shows what came, and marks it once it was read to the end and the file is closed.

    Whoever is killed, or reads a part only, has not read it.
    """

    __slots__ = ("_mark", "_news", "_read", "_text")

    def __init__(self, news: News, mark: Callable[[News], Awaitable[None]]) -> None:
        self._news = news
        self._mark = mark
        self._text = lines(news.letters)
        self._read = False  # to the end, and not marked yet

    async def read(self, offset: int, size: int) -> bytes:
        """Return a part of it."""
        data = self._text[offset : offset + size]
        self._read = self._read or not data
        return data

    async def commit(self) -> None:
        """Mark it; what cannot be marked is tried again at the next close."""
        if self._read:
            self._read = False
            try:
                await self._mark(self._news)
            except BaseException:
                self._read = True
                raise


@final
class WaitingHandle(Handle):
    """Shows what came, as soon as there is something."""

    __slots__ = ("_came", "_lock", "_mark", "_wait")
    blocking = True

    def __init__(
        self, wait: Callable[[], Awaitable[News]], mark: Callable[[News], Awaitable[None]]
    ) -> None:
        self._wait = wait
        self._mark = mark
        self._came: NewsHandle | None = None
        self._lock = trio.Lock()

    async def read(self, offset: int, size: int) -> bytes:
        """Wait, and return a part of it."""
        return await (await self._news()).read(offset, size)

    @property
    def readable(self) -> bool:
        """Whether something came."""
        return self._came is not None

    async def until_readable(self) -> None:
        """Wait for something, which is marked when it has been read."""
        await self._news()

    async def _news(self) -> NewsHandle:
        async with self._lock:
            if self._came is None:
                self._came = NewsHandle(await self._wait(), self._mark)
        return self._came

    async def commit(self) -> None:
        """Mark it if it was read to the end."""
        if self._came is not None:
            await self._came.commit()
