"""`steps/<id>/claim`: made by every verb that makes a file (tree.md, steps)."""

from typing import Final, final

import trio

from tcfs.project import WALK, together
from tcfs.project.errors import Held, Invalid, NotHolder
from tcfs.project.steps import Tenure, held, not_holder
from tcfs.stores import StoreError
from tcfs.tree._base import Attributes, Caller, Directory, File, Handle, Node, OpenMode
from tcfs.tree._text import Addition, Snapshot, Text, is_line
from tcfs.tree._view import View
from tcfs.wire.documents import State
from tcfs.wire.ids import AgentId, StepId
from tcfs.wire.keys import MAX_TEXT
from tcfs.wire.text import escaped, on_one_line
from tcfs.wire.times import iso

SECOND: Final = 1_000_000_000  # nanoseconds
PATIENCE: Final = 0.1  # seconds that a note may take: protocol.md, claim


@final
class ClaimFile(File):
    """A claim that somebody has."""

    __slots__ = ("_step", "_view")

    def __init__(self, path: str, view: View, step: StepId) -> None:
        super().__init__(path)
        self._view = view
        self._step = step

    async def attributes(self) -> Attributes:
        """Return the size of the text."""
        text = await self._text()
        return Attributes(len(text.content), text.modified)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Read the claim, or add to one's own note; any other write is a claim that lost."""
        if not mode.write:
            return Snapshot((await self._text()).content)
        if not mode.append:
            raise await self._held()
        agent = self._view.acting(caller)
        steps = self._view.project.steps
        seen = await steps.look(self._step, max_age=WALK)
        if seen.effective.state is not State.IN_PROGRESS or seen.effective.agent != agent:
            raise not_holder(self._step, seen)

        async def add(text: bytes) -> None:
            await steps.annotate(self._step, agent, _note(text))

        return Addition(add, check_note_size)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Refuse: somebody has the claim."""
        raise await self._held()

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` falls back to this, and would seem to win."""
        raise await self._held()

    async def _held(self) -> Held:
        seen = await self._view.project.steps.look(self._step, max_age=WALK)
        return held(self._step, seen)

    async def _text(self) -> Text:
        seen = await self._view.project.steps.look(self._step, max_age=WALK)
        claim, status = seen.claim, seen.status
        if claim is None:
            return Text(b"")
        claimed = on_one_line(claim.claimed_at or "at an unknown time")
        text = f"{on_one_line(claim.agent)}\nclaimed {claimed}\n"
        if claim.lease is not None:
            text += f"lease until {iso(seen.claim_modified + claim.lease.seconds * SECOND)}\n"
        if claim.result is not None:
            text += f"finished {claim.result.value}\n"
        if claim.best_effort:
            text += "best effort: the store decides no race, another agent may have won as well\n"
        if status is not None and status.note and status.claim == claim.id:
            text += f"\n{escaped(status.note)}" + ("" if status.note.endswith("\n") else "\n")
        return Text(text.encode(), seen.claim_modified)


@final
class ClaimDirectory(Directory):
    """What `mkdir claim` is answered with: the kernel insists on a directory.

    The next look-up finds the file, under another inode.
    """

    __slots__ = ()

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Refuse: it is empty."""
        raise Invalid(f"{self.path} is a claim; there is nothing in it")

    async def entries(self, caller: Caller) -> list[tuple[str, Node]]:
        """Return nothing."""
        return []


@final
class NewClaim(Handle):
    """A claim just won, while whoever opened it may still write its note.

    The status is written with the note: by the first write that ends in a newline, when the
    opener lets go, or when it has taken too long, whichever comes first.
    """

    __slots__ = ("_begun", "_note", "_stored", "_tenure", "_view", "_writes")

    def __init__(self, view: View, tenure: Tenure) -> None:
        self._view = view
        self._tenure = tenure
        self._note = bytearray()
        self._stored = 0  # bytes of the note that are in the status
        self._begun = trio.Event()
        self._writes = 0

    async def write(self, offset: int, data: bytes) -> int:
        """Gather the note."""
        check_note_size(len(self._note) + len(data))
        self._note += data
        self._writes += 1
        if self._writes == 1 and is_line(data):
            await self.commit()
        return len(data)

    async def truncate(self, size: int) -> None:
        """Take note of a cut: programs make one before they write."""

    async def commit(self) -> None:
        """Write the status with the note as it is; undo a claim made under another's name."""
        note = bytes(self._note)
        if self._begun.is_set() and self._stored == len(note):
            return
        text = _note(note)
        steps = self._view.project.steps
        agent = AgentId(self._tenure.claim.agent)
        added, self._stored = note[self._stored :], len(note)
        if self._begun.is_set():
            impostor = await is_other_agent(self._view, agent, text)
            if not impostor:
                await steps.annotate(self._tenure.step, agent, _note(added))
        else:
            self._begun.set()
            impostor, _ = await together(
                lambda: is_other_agent(self._view, agent, text),
                lambda: steps.begin(self._tenure, text or None),
            )
        if impostor:
            await steps.give_back(self._tenure.step, agent)
            raise NotHolder(
                f"you act as {agent} here, not as {text.strip()}: the claim was undone; "
                f"write as/{text.strip()}/steps/{self._tenure.step}/claim to act as that agent"
            )

    def discard(self) -> None:
        """Forget the note; the claim stands."""
        del self._note[self._stored :]

    async def begin_in_time(self) -> None:
        """Write the status without waiting for the opener any longer; its note comes later."""
        with trio.move_on_after(PATIENCE):
            await self._begun.wait()  # a command that ends waits for this task, and no longer
        if not self._begun.is_set():
            self._begun.set()
            await self._view.project.steps.begin(self._tenure, None)


@final
class Hold(Handle):
    """A step held for as long as a file is open: whoever has it open, when it goes, it goes.

    A child that inherits the descriptor keeps it; the kernel's last word is `release`.
    """

    __slots__ = ("_claim", "_tenure", "_view")

    def __init__(self, view: View, tenure: Tenure, claim: NewClaim) -> None:
        self._view = view
        self._tenure = tenure
        self._claim = claim

    async def write(self, offset: int, data: bytes) -> int:
        """Gather the claim's note."""
        return await self._claim.write(offset, data)

    async def truncate(self, size: int) -> None:
        """Take note of a cut: programs make one before they write."""

    async def commit(self) -> None:
        """Write the status with the note as it is."""
        await self._claim.commit()

    def discard(self) -> None:
        """Forget the note."""
        self._claim.discard()

    async def release(self) -> None:
        """Give the step back, if it is not finished."""
        self._view.project.later(lambda: self._view.project.steps.let_go(self._tenure))


@final
class HoldFile(File):
    """`hold`, while somebody has it open: there is nothing to read, and nobody else to let in."""

    __slots__ = ("_step", "_view")

    def __init__(self, path: str, view: View, step: StepId) -> None:
        super().__init__(path)
        self._view = view
        self._step = step

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Refuse to write; read nothing."""
        if not mode.write:
            return Snapshot(b"")
        raise await self._held()

    async def truncate(self, size: int, caller: Caller) -> None:
        """Refuse: somebody holds the step."""
        raise await self._held()

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` falls back to this, and would seem to hold."""
        raise await self._held()

    async def _held(self) -> Held:
        seen = await self._view.project.steps.look(self._step, max_age=WALK)
        return held(self._step, seen)


async def open_hold(view: View, step: StepId, caller: Caller) -> Hold:
    """Hold `step` until the handle is released; raises Held."""
    agent = view.acting(caller)
    won = await view.project.steps.hold(step, agent)
    claim = NewClaim(view, won)
    view.project.later(claim.begin_in_time)
    return Hold(view, won, claim)


async def open_new_claim(view: View, step: StepId, caller: Caller) -> NewClaim:
    """Claim `step` and return the handle its note is written to; raises Held."""
    agent = view.acting(caller)
    handle = NewClaim(view, await view.project.steps.claim(step, agent))
    view.project.later(handle.begin_in_time)
    return handle


async def claim_at_once(view: View, step: StepId, caller: Caller, note: str | None) -> None:
    """Claim `step` by a verb that writes nothing more; raises Held."""
    agent = view.acting(caller)
    won = await view.project.steps.claim(step, agent)
    view.project.later(lambda: view.project.steps.begin(won, note))


async def is_other_agent(view: View, agent: AgentId, note: str) -> bool:
    """Tell whether a note is exactly the id of another agent that is registered."""
    name = note.strip()
    try:
        return name != agent and await view.project.agents.is_registered(name)
    except StoreError:
        return False  # the claim is won, and a won claim is not reported lost


def check_note_size(size: int) -> None:
    """Raise Invalid for a note that is too long."""
    if size > MAX_TEXT:
        raise Invalid(f"a note has at most {MAX_TEXT} bytes; put more in artifacts/")


def _note(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Invalid("a note is UTF-8 text; put other bytes in artifacts/") from None
