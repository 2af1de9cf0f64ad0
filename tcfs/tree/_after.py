"""`steps/<id>/after`: the ids of what comes before a step, one a line."""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

from tcfs.project import WALK
from tcfs.project.after import parse_ids
from tcfs.project.errors import Invalid, Missing
from tcfs.tree._base import Attributes, Caller, File, Handle, OpenMode
from tcfs.tree._text import Addition, Draft, Snapshot, Text
from tcfs.tree._view import View
from tcfs.wire.ids import StepId
from tcfs.wire.keys import MAX_TEXT
from tcfs.wire.text import on_one_line


@final
class AfterFile(File):
    """`after`: what comes before a step."""

    __slots__ = ("_step", "_view")

    def __init__(self, path: str, view: View, step: StepId) -> None:
        super().__init__(path)
        self._view = view
        self._step = step

    async def attributes(self) -> Attributes:
        """Return the size of the list."""
        text = await self._text()
        return Attributes(len(text.content), text.modified)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open; writing is refused at once to whoever may not change the step."""
        return await self._open(mode, caller, created=False)

    async def create(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open it where nothing came before the step; it is pending then, whatever is written."""
        return await self._open(replace(mode, write=True), caller, created=True)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Cut the list."""
        handle = await self.open(OpenMode(write=True), caller)
        await handle.truncate(size)
        await handle.commit()

    async def _open(self, mode: OpenMode, caller: Caller, *, created: bool) -> Handle:
        if not mode.write:
            return Snapshot((await self._text()).content)
        agent = self._view.acting(caller)
        afters, step = self._view.project.afters, self._step
        await afters.check(step, agent)
        before = b"" if created or mode.truncate else await self._before()

        async def add(content: bytes) -> None:
            await afters.add(step, agent, _ids(content))

        async def store(content: bytes) -> None:
            await afters.set(step, agent, _ids(content))

        if mode.append and not mode.truncate:
            return Addition(add, _size_limit, before=before, created=created)
        return Draft(store, _size_limit, before, dirty=created or mode.truncate)

    async def _before(self) -> bytes:
        try:
            return (await self._text()).content
        except Missing:
            return b""

    async def _text(self) -> Text:
        after, found = await self._view.project.afters.read(self._step, max_age=WALK)
        lines = "".join(f"{on_one_line(it)}\n" for it in after.steps)
        return Text(lines.encode(), found.modified)


def _ids(content: bytes) -> Sequence[StepId]:
    try:
        return parse_ids(content.decode())
    except UnicodeDecodeError:
        raise Invalid("step ids are UTF-8 text, separated by white space") from None


def _size_limit(size: int) -> None:
    if size > MAX_TEXT:
        raise Invalid(f"at most {MAX_TEXT} bytes of step ids go here")
