"""`steps/`: every step a directory of small files (tree.md, steps)."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, final

from tcfs.project import WALK
from tcfs.project.errors import Invalid, Missing, NotAllowed, NotEmpty
from tcfs.project.steps import Look
from tcfs.tree._after import AfterFile
from tcfs.tree._base import (
    FIXED,
    HOUR,
    STATIC,
    Attributes,
    Caller,
    Directory,
    File,
    Handle,
    Keep,
    Link,
    Node,
    OpenMode,
)
from tcfs.tree._claim import (
    ClaimDirectory,
    ClaimFile,
    HoldFile,
    claim_at_once,
    open_hold,
    open_new_claim,
)
from tcfs.tree._scratched import Scratched
from tcfs.tree._step_files import HandoffFile, StatusFile, WaitFile
from tcfs.tree._text import Exact, Text, TextView
from tcfs.tree._view import View
from tcfs.tree.plain import PlainFile, check_name, read_whole
from tcfs.wire import Malformed, keys
from tcfs.wire.documents import State
from tcfs.wire.ids import AgentId, StepId, step_id
from tcfs.wire.keys import MAX_TEXT
from tcfs.wire.text import on_one_line

DOCUMENTS: Final = ("claim", "status", "handoff", "after")
LISTED: Final = Keep(entry=HOUR, attributes=1.0)  # architecture.md: existence, up to 1 s old
RESERVED: Final = frozenset({"hold", "owner", "wait"})
_VIRTUAL: Final = frozenset({*DOCUMENTS, *RESERVED})


@final
class StepsDirectory(Directory):
    """All steps that have an object; every valid id answers by name."""

    __slots__ = ("_view",)
    keep = STATIC

    def __init__(self, path: str, view: View) -> None:
        super().__init__(path)
        self._view = view

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return the step; another spelling of its id is a symbolic link to it."""
        if name.startswith("."):  # desktops and editors look for many such names everywhere
            raise Missing(f"steps/ has no {name}")
        step = step_id(name)
        if step != name:
            return Link(self.child(name), step)
        # Every path walk comes by here; the kernel asks for attributes when it wants them.
        return self._step(step)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return the steps that exist."""
        return [
            (it.id, self._step(it.id, it.modified)) for it in await self._view.project.steps.list()
        ]

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """Refuse: every valid id looks up, so this is a name that is no id."""
        raise Invalid(f"'{name}' is no step id: {_reason(name)}")

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        """Refuse: steps are directories."""
        raise Invalid(f"'{name}' is no step id: {_reason(name)}")

    async def rmdir(self, name: str, caller: Caller) -> None:
        """Remove what is left of a step once nobody holds it and nothing of its own is in it."""
        await StepDirectory(self.child(name), self._view, step_id(name)).remove(caller)

    async def rename(
        self, name: str, target: Directory, new: str, caller: Caller, *, exclusive: bool
    ) -> None:
        """Refuse: others know the step by its id."""
        raise NotAllowed(f"steps/{name} cannot be renamed: others wait for it by this id")

    def _step(self, step: StepId, modified: int | None = None) -> Directory:
        return Scratched(StepDirectory(self.child(step), self._view, step, modified), self._view)


def _reason(name: str) -> str:
    try:
        step_id(name)
    except ValueError as error:
        return str(error)
    return "it is a directory already"


@final
class StepDirectory(Directory):
    """One step.

    A look-up here asks the bucket; what the kernel then does with the file it found (open it, ask
    for its size) may use that answer, for `WALK` seconds.
    """

    __slots__ = ("_step", "_view", "keep")

    def __init__(self, path: str, view: View, step: StepId, modified: int | None = None) -> None:
        """`modified` is when its newest object was written, if a listing just told."""
        super().__init__(path, Attributes(modified=modified or 0))
        self._view = view
        self._step = step
        # `ls -l` lists and then asks for every entry: its own listing is answer enough.
        self.keep = FIXED if modified is None else LISTED

    async def attributes(self) -> Attributes:
        """Return when the newest of the step's objects was written."""
        # As a listing does: `tar` looks before and after, and compares.
        objects = await self._view.project.steps.objects(self._step)
        return Attributes(modified=max((it.modified for it in objects), default=0))

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return one of the step's files."""
        match name:
            case "claim":
                seen = await self._look()
                if not _is_claimed(seen):
                    raise Missing(f"steps/{self._step} is free: echo > steps/{self._step}/claim")
                return ClaimFile(self.child(name), self._view, self._step)
            case "owner":
                if not _is_claimed(await self._look()):
                    raise Missing(f"nobody holds steps/{self._step}")
                return self._owner()
            case "status":
                await self._look()
                return StatusFile(self.child(name), self._view, self._step)
            case "handoff":
                await self._view.project.steps.handoff(self._step)
                return HandoffFile(self.child(name), self._view, self._step)
            case "wait":
                return WaitFile(self.child(name), self._view, self._step)
            case "claim.json" | "status.json" | "handoff.json" | "after.json":
                await self._exact(name, 0.0)
                return Exact(self.child(name), lambda: self._exact(name))
            case "hold":
                seen = await self._look()
                if not _is_claimed(seen) or seen.claim is None or not seen.claim.hold:
                    raise Missing(f"nobody has steps/{self._step}/hold open")
                return HoldFile(self.child(name), self._view, self._step)
            case "after":
                with suppress(Malformed):  # opening it says so, writing it replaces it
                    await self._view.project.afters.read(self._step)
                return AfterFile(self.child(name), self._view, self._step)
            case _:
                return await PlainFile.find(
                    self.child(name), self._view, self._key(name), self._may_change
                )

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return what the step has; `claim` last, so that `rm -r` gives it back at the end."""
        steps = self._view.project.steps
        objects = {it.key: it for it in await steps.objects(self._step)}
        seen = await self._look()
        found: list[tuple[str, Node]] = []
        for key, entry in objects.items():
            name = key.rpartition("/")[2]
            if name.removesuffix(".json") not in DOCUMENTS and name not in _VIRTUAL:
                path, may_change = self.child(name), self._may_change
                file = PlainFile(path, self._view, key, entry, may_change=may_change)
                found.append((name, file))
        if keys.handoff(self._step) in objects:
            with suppress(Missing):  # a record of an earlier tenure does not show
                await steps.handoff(self._step)
                handoff = HandoffFile(self.child("handoff"), self._view, self._step)
                found.append(("handoff", handoff))
        found.append(("status", StatusFile(self.child("status"), self._view, self._step)))
        if _is_claimed(seen):
            found.append(("owner", self._owner()))
        if keys.after(self._step) in objects:
            # Behind `status`: what `rm -r` has not removed yet may be waited for, and not taken.
            with suppress(Missing, Malformed):
                await self._view.project.afters.read(self._step)
                found.append(("after", AfterFile(self.child("after"), self._view, self._step)))
        if _is_claimed(seen):
            found.append(("claim", ClaimFile(self.child("claim"), self._view, self._step)))
        return found

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        """Claim the step, hand it off, or keep a plain file with it."""
        path = self.child(name)
        match name:
            case "claim" if mode.append:
                raise Missing(f"nobody holds steps/{self._step}; claim it: > {path}")
            case "claim":
                handle = await open_new_claim(self._view, self._step, caller)
                return ClaimFile(path, self._view, self._step), handle
            case "hold":
                hold = await open_hold(self._view, self._step, caller)
                return HoldFile(path, self._view, self._step), hold
            case "handoff":
                file = HandoffFile(path, self._view, self._step)
                return file, await file.open(mode, caller)
            case "after":
                after = AfterFile(path, self._view, self._step)
                return after, await after.create(mode, caller)
            case _:
                self._check_free(name)
                key, may_change = self._key(name), self._may_change
                return await PlainFile.create(
                    path, self._view, key, mode, caller, may_change=may_change
                )

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """`mkdir claim` claims the step; there are no other directories in it."""
        if name != "claim":
            raise NotAllowed(
                f"steps/{self._step} has no directories; use artifacts/, or a name with dots"
            )
        await claim_at_once(self._view, self._step, caller, None)
        return ClaimDirectory(self.child(name))

    async def symlink(self, name: str, target: str, caller: Caller) -> Node:
        """`ln -s NOTE claim` claims the step."""
        if name != "claim":
            raise NotAllowed(f"steps/{self._step} keeps no symbolic links; copy the file")
        await claim_at_once(self._view, self._step, caller, target)
        return Link(self.child(name), target)

    async def unlink(self, name: str, caller: Caller) -> None:
        """Give the step back (`claim`), or remove one of its files."""
        agent = self._view.acting(caller)
        steps = self._view.project.steps
        if name == "claim":
            await steps.give_back(self._step, agent)
            return
        if name == "hold":
            raise NotAllowed(f"{self.child(name)} goes when whoever has it open closes it")
        if name == "wait" or _is_exact(name):
            raise NotAllowed(f"{self.child(name)} is a view; remove the step itself: rm -r")
        await steps.may_change(self._step, agent)
        if name in ("status", "handoff", "after"):
            await steps.remove_document(self._step, name)
        elif name != "owner":  # a view of the claim, which `rm -r` meets before the claim
            await self._view.project.files.remove(self._key(name))

    async def rename(
        self, name: str, target: Directory, new: str, caller: Caller, *, exclusive: bool
    ) -> None:
        """Move a plain file within the step; onto a document it is one write of that."""
        if name in _VIRTUAL or _is_exact(name):
            raise NotAllowed(f"steps/{self._step}/{name} cannot be renamed: others look for it")
        if not isinstance(target, StepDirectory) or target._step != self._step:
            await Directory.rename(self, name, target, new, caller, exclusive=exclusive)
        agent = self._view.acting(caller)
        await self._view.project.steps.may_change(self._step, agent)
        files = self._view.project.files
        if new in DOCUMENTS:
            body = await read_whole(self._view.project.store, self._key(name), MAX_TEXT)
            await self.put(new, body, caller, exclusive=exclusive)
            await files.remove(self._key(name))
        else:
            self._check_free(new)
            await files.rename(self._key(name), self._key(new), exclusive=exclusive)

    async def remove(self, caller: Caller) -> None:
        """Remove what is left of the step; raises NotEmpty, NotHolder."""
        agent = self._view.acting(caller)
        steps = self._view.project.steps
        await steps.may_change(self._step, agent)
        ours = {keys.status(self._step), keys.handoff(self._step), keys.after(self._step)}
        if not _is_claimed(await self._look()):
            ours.add(keys.claim(self._step))  # what is left of one: it goes with the status
        left = [it.key for it in await steps.objects(self._step) if it.key not in ours]
        if left:
            raise NotEmpty(f"steps/{self._step} still has {left[0].rpartition('/')[2]}")
        await steps.remove_document(self._step, "handoff")
        await steps.remove_document(self._step, "status")
        await steps.remove_document(self._step, "after")

    async def _may_change(self, agent: AgentId) -> None:
        await self._view.project.steps.may_change(self._step, agent)

    def _check_free(self, name: str) -> None:
        if name in _VIRTUAL:
            raise NotAllowed(f"steps/{self._step}/{name} is a name of tcfs's own; choose another")
        if _is_exact(name):
            raise NotAllowed(f"steps/{self._step}/{name} shows an object; write it without .json")
        check_name(name)

    def _key(self, name: str) -> str:
        return f"{keys.step(self._step)}{name}"

    async def _look(self) -> Look:
        return await self._view.project.steps.look(self._step)

    def _owner(self) -> TextView:
        async def text(caller: Caller | None) -> Text:
            seen = await self._view.project.steps.look(self._step, max_age=WALK)
            if not _is_claimed(seen):
                raise Missing(f"nobody holds steps/{self._step}")
            owner = on_one_line(seen.effective.agent or "unknown")
            return Text(f"{owner}\n".encode(), seen.claim_modified)

        return TextView(self.child("owner"), text)

    async def _exact(self, name: str, max_age: float = WALK) -> Text:
        found = await self._view.project.documents.read(self._key(name), max_age=max_age)
        if found is None:
            raise Missing(f"steps/{self._step} has no {name}")
        return Text(found.body, found.modified)


def _is_claimed(seen: Look) -> bool:
    return seen.has_claim and seen.effective.state is not State.PENDING


def _is_exact(name: str) -> bool:
    return name.endswith(".json") and name.removesuffix(".json") in DOCUMENTS
