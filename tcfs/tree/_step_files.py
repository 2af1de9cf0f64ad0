"""The files of a step that are views of its documents: `status`, `handoff`, `wait`."""

from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from typing import Final, final

import trio

from tcfs.project import WALK
from tcfs.project.errors import Invalid, Missing, NotAllowed
from tcfs.tree._base import HOUR, Attributes, Caller, File, Handle, Keep, OpenMode
from tcfs.tree._text import Draft, Snapshot, Text
from tcfs.tree._view import View
from tcfs.wire.documents import State
from tcfs.wire.handoff import parse_text, show
from tcfs.wire.ids import StepId
from tcfs.wire.keys import MAX_TEXT

AGAIN: Final = 60.0  # seconds until who waits for an unheard of step is told so once more


def _size_limit(size: int) -> None:
    if size > MAX_TEXT:
        raise Invalid(f"at most {MAX_TEXT} bytes go here; put more in artifacts/")


@final
class StatusFile(File):
    """`status`: one word, the effective state."""

    __slots__ = ("_step", "_view")

    def __init__(self, path: str, view: View, step: StepId) -> None:
        super().__init__(path)
        self._view = view
        self._step = step

    async def attributes(self) -> Attributes:
        """Return the size of the word."""
        seen = await self._view.project.steps.look(self._step, max_age=WALK)
        return Attributes(len(seen.effective.state.value) + 1, seen.modified)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open; writing is refused at once to whoever may not change the step."""
        steps = self._view.project.steps
        if not mode.write:
            seen = await steps.look(self._step, max_age=WALK)
            return Snapshot(f"{seen.effective.state.value}\n".encode())
        agent = self._view.acting(caller)
        await steps.may_change(self._step, agent)

        async def store(content: bytes) -> None:
            # `>>` puts its word after the end of what is there: the gap before it is NULs.
            state = State.parse(content.lstrip(b"\0").decode(errors="replace"))
            if state is None:
                words = " ".join(it.value for it in State)
                raise Invalid(f"a status is one of: {words}")
            await steps.set_state(self._step, agent, state)

        return Draft(store, _size_limit, dirty=False)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Take note: a word is replaced whole, by the write that follows."""
        await self._view.project.steps.may_change(self._step, self._view.acting(caller))


@final
class HandoffFile(File):
    """`handoff`: the note for whoever comes next."""

    __slots__ = ("_step", "_view")

    def __init__(self, path: str, view: View, step: StepId) -> None:
        super().__init__(path)
        self._view = view
        self._step = step

    async def attributes(self) -> Attributes:
        """Return the size of the note."""
        text = await self._text()
        return Attributes(len(text.content), text.modified)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open; writing is refused at once to whoever may not change the step."""
        if not mode.write:
            return Snapshot((await self._text()).content)
        agent = self._view.acting(caller)
        await self._view.project.steps.may_change(self._step, agent)
        before = b""
        if not mode.truncate:
            try:
                before = (await self._text()).content
            except Missing:
                before = b""

        async def store(content: bytes) -> None:
            try:
                text = parse_text(content.decode())
            except UnicodeDecodeError:
                raise Invalid("a handoff is UTF-8 text; put other bytes in artifacts/") from None
            await self._view.project.steps.hand_off(self._step, agent, text)

        return Draft(store, _size_limit, before, dirty=mode.truncate)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Cut the note."""
        handle = await self.open(OpenMode(write=True), caller)
        await handle.truncate(size)
        await handle.commit()

    async def _text(self) -> Text:
        record = await self._view.project.steps.handoff(self._step, max_age=WALK)
        return Text(show(record).encode(), 0)


@final
class WaitFile(File):
    """`wait`: reads as `complete` once the step is; until then it blocks."""

    __slots__ = ("_step", "_view")
    keep = Keep(entry=HOUR)

    def __init__(self, path: str, view: View, step: StepId) -> None:
        super().__init__(path)
        self._view = view
        self._step = step

    async def attributes(self) -> Attributes:
        """Return no size: readers then read until there is nothing more."""
        return Attributes(writable=False)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading; a step nobody has heard of gets a line in `errors`."""
        if mode.write:
            raise NotAllowed(f"steps/{self._step}/wait is read: cat steps/{self._step}/wait")
        steps = self._view.project.steps
        seen = await steps.look(self._step)
        if seen.claim is None and seen.status is None and self._is_news(caller):
            self._view.project.later(lambda: self._warn(caller))
        return Waiting(lambda: steps.wait(self._step), seen.effective.state is State.COMPLETE)

    def _is_news(self, caller: Caller) -> bool:
        """Tell whether it is to be said again: a thousand may wait, and all steps are listed."""
        now, warned = trio.current_time(), self._view.local.warned
        for known in [it for it, said in warned.items() if said < now - AGAIN]:
            del warned[known]
        who = (self._view.who(caller), self.path)
        if who in warned:
            return False
        warned[who] = now
        return True

    async def _warn(self, caller: Caller) -> None:
        known = [it.id for it in await self._view.project.steps.list()]
        near = get_close_matches(self._step, known)
        hint = f"nearest: {' '.join(near)}" if near else "there is none like it"
        self._view.refusals.record(
            self._view.who(caller), self.path, 0, f"waiting for a step with nothing in it; {hint}"
        )


@final
class Waiting(Handle):
    """A read that waits for a step."""

    __slots__ = ("_done", "_wait")
    blocking = True

    def __init__(self, wait: Callable[[], Awaitable[None]], done: bool) -> None:
        self._wait = wait
        self._done = done

    async def read(self, offset: int, size: int) -> bytes:
        """Wait until the step is complete, and say so; raises WontComplete."""
        await self.until_readable()
        return b"complete\n"[offset : offset + size]

    @property
    def readable(self) -> bool:
        """Whether the step was seen to be complete."""
        return self._done

    async def until_readable(self) -> None:
        """Wait until the step is complete; raises WontComplete."""
        if not self._done:
            await self._wait()
            self._done = True
