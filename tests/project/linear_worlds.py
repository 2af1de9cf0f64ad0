"""Acts that are each one change of a value, whoever else acts: memory, files, what comes first.

What is there in the end must be what some order of the acts comes to: one in which each that was
told of took place while it was under way, none that was refused did, and one of unknown outcome
did at some time or never.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import PurePath
from typing import ClassVar, Final, final

import trio

from tcfs.project import Project
from tcfs.project.errors import Refused
from tcfs.stores import OutcomeUnknown, StoreError
from tcfs.stores.deadline import within
from tcfs.wire import keys
from tcfs.wire.ids import StepId
from tests.memory_store import MemoryStore
from tests.project.parties import A, X

LIMIT: Final = 10.0  # seconds an act may take on the mock clock
State = str | tuple[str | None, ...] | None


class Told(Enum):
    """What whoever acted was told."""

    DONE = auto()
    REFUSED = auto()  # nothing came of it
    UNKNOWN = auto()  # or nobody was there to be told


@final
@dataclass
class Done:
    """One act, from when to when; an unknown one may arrive at any time."""

    name: str
    text: str
    began: int
    ended: int | None = None
    told: Told = Told.UNKNOWN


@dataclass
class LinearWorld:
    """Keeps book of acts. What they do, and what they mean, is said by those made of it."""

    store: MemoryStore
    before: State = None
    acts: list[Done] = field(default_factory=list)
    moment: int = 0
    leases: ClassVar = (900, 900)

    async def begin(self, start: str, one: Project, two: Project) -> None:
        """Make how it begins."""
        if start != "nothing":
            await self.do(one, "begin", "old\n")
        self.before = self.now()
        await trio.sleep(1)

    async def act(self, mount: Project, name: str) -> None:
        """Do one act, and keep book of what was told."""
        done = Done(name, f"{len(self.acts)}{mount.agent}\n", self._tick())
        self.acts.append(done)
        try:
            with within(LIMIT):
                await self.do(mount, name, done.text)
            done.told = Told.DONE
        except OutcomeUnknown:
            return
        except (Refused, StoreError):
            done.told = Told.REFUSED
        done.ended = self._tick()

    def check(self, when: str) -> None:
        """Nothing of what is under way can be told yet."""

    def died(self, mount: Project, again: Project) -> None:
        """What was under way may be there or not."""

    async def settle(self, one: Project, two: Project, *, last: bool) -> None:
        """Let what is late arrive; then what is there must be what an order of the acts makes."""
        self.store.deliver()
        await trio.sleep(60)
        now, may = self.now(), set(_ends(self, self.before, self.acts))
        assert now in may, f"{now!r} is none of {may}: {self.acts}"
        await self.act(one, self.usable)
        assert self.acts[-1].told is Told.DONE, "it can be used afterwards"
        assert self.now() in set(_ends(self, self.before, self.acts))

    usable: ClassVar[str]  # an act that is never refused

    async def do(self, mount: Project, name: str, text: str) -> None:
        """Do one act; raises what it does."""
        raise NotImplementedError

    def now(self) -> State:
        """Return what is stored."""
        raise NotImplementedError

    def apply(self, state: State, act: Done) -> Sequence[State]:
        """Return what an act comes to: first as a whole, then what a part of it may; or nothing."""
        raise NotImplementedError

    def _tick(self) -> int:
        self.moment += 1
        return self.moment


def _ends(world: LinearWorld, state: State, acts: Sequence[Done]) -> Iterator[State]:
    """Yield what orders of acts come to."""
    if not acts:
        yield state
    for act in acts:
        if any(it.ended is not None and it.ended < act.began for it in acts):
            continue  # another was over before it began
        rest = [it for it in acts if it is not act]
        if act.told is not Told.DONE:
            yield from _ends(world, state, rest)
        if act.told is not Told.REFUSED:
            results = world.apply(state, act)
            for result in results if act.told is Told.UNKNOWN else results[:1]:
                yield from _ends(world, result, rest)


@final
@dataclass
class MemoryWorld(LinearWorld):
    """One key of the memory."""

    usable: ClassVar = "append"

    async def do(self, mount: Project, name: str, text: str) -> None:
        memory, agent, body = mount.memory, mount.agent, text.encode()
        match name:
            case "begin" | "set":
                await memory.set("k", agent, body)
            case "append":
                await memory.append("k", agent, body)
            case "create":
                await memory.create("k", agent, body)
            case "delete":
                await memory.delete("k")

    def now(self) -> State:
        body = self.store.body("memory/k.json")
        if body is None:
            return None
        document = json.loads(body)
        return str(document["value"]) + ("" if "newline" in document else "\n")

    def apply(self, state: State, act: Done) -> Sequence[State]:
        assert state is None or isinstance(state, str)
        match act.name:
            case "set":
                return (act.text,)
            case "append":
                return ((state or "") + act.text,)
            case "create":
                return (act.text,) if state is None else ()
            case _:
                return (None,)


@final
@dataclass
class FileWorld(LinearWorld):
    """One file, and another name that it may be given."""

    usable: ClassVar = "add"
    KEY: ClassVar = "artifacts/shared/k"
    NEW: ClassVar = "artifacts/shared/new"

    async def do(self, mount: Project, name: str, text: str) -> None:
        files = mount.files
        match name:
            case "begin" | "replace":
                writer = await files.create(self.KEY, truncate=True, exclusive=False)
                try:
                    await writer.write(0, text.encode())
                    await writer.save()
                finally:
                    writer.close()
            case "add":
                adder = files.add(self.KEY, created=False)
                try:
                    await adder.write(text.encode())
                    await adder.save()
                finally:
                    adder.close()
            case "rename":
                await files.rename(self.KEY, self.NEW, exclusive=False)
            case "rename if free":
                await files.rename(self.KEY, self.NEW, exclusive=True)
            case "remove":
                await files.remove(self.KEY)

    def now(self) -> State:
        bodies = [self.store.body(it) for it in (self.KEY, self.NEW)]
        return tuple(None if it is None else it.decode() for it in bodies)

    def apply(self, state: State, act: Done) -> Sequence[State]:
        assert isinstance(state, tuple)
        key, new = state
        match act.name:
            case "replace":
                return ((act.text, new),)
            case "add":
                return (((key or "") + act.text, new),)
            case "rename" | "rename if free" if key is None and new is not None:
                return (state,)  # another did the same meanwhile: it is as asked
            case "rename" | "rename if free":
                if key is None or (act.name == "rename if free" and new is not None):
                    return ()
                return ((None, key), (key, key))  # copied, then removed
            case _:
                return ((None, new),)


@final
@dataclass
class AfterWorld(LinearWorld):
    """What comes before one step."""

    usable: ClassVar = "add"

    async def do(self, mount: Project, name: str, text: str) -> None:
        ids = [StepId(f"after-{text.strip()}")]
        if name == "add":
            await mount.afters.add(X, A, ids)
        else:
            await mount.afters.set(X, A, ids)

    def now(self) -> State:
        body = self.store.body(str(PurePath(keys.status(X)).with_name("after.json")))
        return tuple(json.loads(body)["after"]) if body is not None else ()

    def apply(self, state: State, act: Done) -> Sequence[State]:
        assert isinstance(state, tuple)
        new = f"after-{act.text.strip()}"
        return ((*state, new) if act.name == "add" else (new,),)
