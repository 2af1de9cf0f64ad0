"""`ready/`: the steps that can be begun, and `ready/take`, which claims one (tree.md, ready)."""

from collections.abc import Sequence
from typing import Final, final

import trio

from tcfs.project.errors import Missing, NotAllowed
from tcfs.project.ready import Ready
from tcfs.project.steps import Tenure
from tcfs.tree._base import (
    HOUR,
    STATIC,
    Attributes,
    Caller,
    File,
    Handle,
    Keep,
    Link,
    Node,
    OpenMode,
    ViewDirectory,
)
from tcfs.tree._view import View
from tcfs.wire import InvalidName
from tcfs.wire.ids import AgentId, StepId, step_id

TAKE: Final = "take"


@final
class ReadyDirectory(ViewDirectory):
    """Every step that is pending and comes after nothing unfinished, as a link to it."""

    __slots__ = ("_view",)
    keep = STATIC

    def __init__(self, path: str, view: View) -> None:
        super().__init__(path)
        self._view = view

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return `take`, or the link to a step that is ready."""
        if name == TAKE:
            return TakeFile(self.child(name), self._view)
        try:
            step = step_id(name)
        except InvalidName as error:
            raise Missing(str(error)) from None
        if step != name or not await self._view.project.ready.has(step):
            raise Missing(f"steps/{step} is not ready: see its status, and its after")
        return self._link(step)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return the links; not `take`, by whose name a step is taken and not shown."""
        ready = await self._view.project.ready.list(self._view.who(caller))
        return [(it.id, self._link(it.id, it.modified)) for it in ready if it.id != TAKE]

    def _link(self, step: StepId, modified: int = 0) -> Link:
        link = Link(self.child(step), f"../steps/{step}")
        link.listed = Attributes(modified=modified)
        return link


@final
class TakeFile(File):
    """`take`: reads as the id of a step, which is claimed for the reader then."""

    __slots__ = ("_view",)
    keep = Keep(entry=HOUR)

    def __init__(self, path: str, view: View) -> None:
        super().__init__(path)
        self._view = view

    async def attributes(self) -> Attributes:
        """Return no size: readers then read until there is nothing more."""
        return Attributes(writable=False)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading, as whoever is to have the step."""
        if mode.write:
            raise self._refusal()
        return TakeHandle(self._view.project.ready, self._view.acting(caller))

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this where opening was refused."""
        raise self._refusal()

    def _refusal(self) -> NotAllowed:
        return NotAllowed(f"{self.path} is read: s=$(cat {self.path})")


@final
class TakeHandle(Handle):
    """Takes a step by the first read. It is the reader's once the id was read, else given back.

    That it was: a read that returns nothing more, since a program asks for that when it is through
    with what it has; or a close, by an opener that was not killed.
    """

    __slots__ = ("_agent", "_closed", "_lock", "_ready", "_settled", "_text", "_told", "_won")
    blocking = True

    def __init__(self, ready: Ready, agent: AgentId) -> None:
        self._ready = ready
        self._agent = agent
        self._lock = trio.Lock()
        self._won: Tenure | None = None
        self._text = b""
        self._told = 0  # bytes read so far, without a gap
        self._settled = False  # handed over, or given back
        self._closed = False

    async def read(self, offset: int, size: int) -> bytes:
        """Wait for a step, and return a part of its id; raises as `Ready.take` does."""
        async with self._lock:
            await self._take()
            data = self._text[offset : offset + size]
            if offset <= self._told:
                self._told = max(self._told, offset + len(data))
            if not data:
                await self._hand_over()
            return data

    @property
    def readable(self) -> bool:
        """Whether a step was taken."""
        return self._won is not None

    async def until_readable(self) -> None:
        """Take a step for who polls: the read that follows shows it, a close without gives it back.

        Else it might be another's by then, and the read wait.
        """
        async with self._lock:
            await self._take()
        if self._closed:  # while it was taken
            self.discard()

    async def commit(self) -> None:
        """Hand the step over, if its id was read."""
        if self._is_told:  # then nobody has the lock who waits for a step
            async with self._lock:
                await self._hand_over()

    def discard(self) -> None:
        """Give the step back: the opener was killed. Who else has the file reads no more."""
        if self._won is not None and not self._settled:
            self._settled, self._text = True, b""
            self._ready.put_back(self._won)

    async def release(self) -> None:
        """Give the step back if its id was not read."""
        self._closed = True
        if self._is_told and self._won is not None and not self._settled:
            self._settled = True
            self._ready.hand_over_later(self._won)
        self.discard()

    async def _take(self) -> None:
        if self._won is None:
            self._won = await self._ready.take(self._agent)
            self._text = f"{self._won.step}\n".encode()

    async def _hand_over(self) -> None:
        if self._is_told and self._won is not None and not self._settled:
            self._settled = True
            try:
                await self._ready.hand_over(self._won)
            except BaseException:
                self._settled = False
                raise

    @property
    def _is_told(self) -> bool:
        # The id alone will do: whoever reads as many bytes as it has wants no newline.
        return self._won is not None and self._told >= len(self._won.step.encode())
