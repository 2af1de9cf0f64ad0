"""`locks/`: names that one agent has at a time (tree.md, locks).

Taken with `mkdir` a lock is a directory until `rmdir`; taken by opening a file it is that file,
for exactly as long as it is open. Whoever tries the other way meets what is there: File exists, or
Is a directory.
"""

from collections.abc import Sequence
from typing import final

from tcfs.project import WALK
from tcfs.project.errors import Held, Missing, NotAllowed
from tcfs.project.locks import Holding, Lock, bound, held
from tcfs.tree._base import (
    STATIC,
    Attributes,
    Caller,
    Directory,
    File,
    Handle,
    Keep,
    Node,
    OpenMode,
)
from tcfs.tree._text import Exact, Snapshot, Text, TextView
from tcfs.tree._view import View
from tcfs.wire import InvalidName, keys
from tcfs.wire.ids import LockId, lock_id
from tcfs.wire.text import on_one_line


@final
class LocksDirectory(Directory):
    """The locks that somebody has."""

    __slots__ = ("_view",)
    keep = STATIC

    def __init__(self, path: str, view: View) -> None:
        super().__init__(path)
        self._view = view

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return a lock that somebody has, or its exact document."""
        try:
            if name.endswith(".json"):
                return await self._exact(name, lock_id(name.removesuffix(".json")))
            lock = lock_id(name)
        except InvalidName as error:
            raise Missing(str(error)) from None
        seen = await self._view.project.locks.look(lock)
        if seen.holder is None:
            raise Missing(f"nobody has locks/{name}: mkdir locks/{name} takes it")
        return self._node(lock, seen.holder)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return the locks that somebody has."""
        return [
            (name, self._node(name, lock, modified))
            for lock, name, modified in await self._view.project.locks.list()
        ]

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """Take a lock; raises Held."""
        lock = self._name(name)
        await self._view.project.locks.take(lock, self._view.acting(caller))
        # Asked of the store, its time could fail what is won.
        return LockDirectory(self.child(name), self._view, lock, Attributes())

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        """Take a lock for as long as the file is open; raises Held."""
        lock = self._name(name)
        handle = await _open(self._view, lock, mode, caller)
        return LockFile(self.child(name), self._view, lock), handle

    async def rmdir(self, name: str, caller: Caller) -> None:
        """Give a lock back; raises NotHolder."""
        await self._view.project.locks.give_back(self._name(name), self._view.acting(caller))

    async def unlink(self, name: str, caller: Caller) -> None:
        """Refuse: what an open file holds goes with it."""
        raise bound(self._name(name))

    async def symlink(self, name: str, target: str, caller: Caller) -> Node:
        """Refuse: a link is not given back by anything."""
        raise NotAllowed(f"a link takes no lock: mkdir locks/{name} does, until rmdir")

    async def rename(
        self, name: str, target: Directory, new: str, caller: Caller, *, exclusive: bool
    ) -> None:
        """Refuse: others wait for it by this name."""
        raise NotAllowed(f"locks/{name} cannot be renamed: take the other, then give this one back")

    async def put(self, name: str, content: bytes, caller: Caller, *, exclusive: bool) -> None:
        """Refuse: a lock holds no text."""
        raise NotAllowed(f"nothing can be moved to locks/{name}: mkdir locks/{name} takes the lock")

    def _node(self, name: LockId, lock: Lock, modified: int | None = None) -> Node:
        path = self.child(name)
        if not lock.hold:
            listed = None if modified is None else Attributes(modified=modified)
            return LockDirectory(path, self._view, name, listed)
        listed = None if modified is None else Attributes(len(_owner(lock)), modified)
        return LockFile(path, self._view, name, listed)

    def _name(self, name: str) -> LockId:
        lock = lock_id(name)
        if name.endswith(".json"):
            raise NotAllowed(f"locks/{name} shows an object; choose a name without .json")
        return lock

    async def _exact(self, name: str, lock: LockId) -> Exact:
        async def body(max_age: float = WALK) -> Text:
            found = await self._view.project.documents.read(keys.lock(lock), max_age=max_age)
            if found is None:
                raise Missing(f"there is no locks/{name}")
            return Text(found.body, found.modified)

        await body(0.0)
        return Exact(self.child(name), body)


@final
class LockDirectory(Directory):
    """A lock that was taken with `mkdir`."""

    __slots__ = ("_name", "_view")
    keep = Keep()

    def __init__(
        self, path: str, view: View, name: LockId, listed: Attributes | None = None
    ) -> None:
        super().__init__(path, listed)
        self._view = view
        self._name = name

    async def attributes(self) -> Attributes:
        """Return when it was taken, or renewed."""
        _, modified = await _current(self._view, self._name)
        return Attributes(modified=modified)

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return `owner`."""
        if name != "owner":
            raise Missing(f"{self.path} has nothing in it but its owner")
        await _current(self._view, self._name, max_age=0.0)
        return self._owner()

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return `owner`."""
        return [("owner", self._owner())]

    async def unlink(self, name: str, caller: Caller) -> None:
        """Do nothing: `owner` is a view, which `rm -r` meets before the lock."""
        await self.lookup(name, caller)

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this, and would seem to take the lock."""
        raise await self.refusal()

    async def set_mode(self, caller: Caller) -> None:
        """Take note, as everywhere: `mkdir -m` does this when it has the lock."""

    async def refusal(self) -> Held:
        """Return the refusal of taking the lock once more."""
        lock, _ = await _current(self._view, self._name)
        return held(self._name, lock)

    def _owner(self) -> TextView:
        async def text(caller: Caller | None) -> Text:
            lock, modified = await _current(self._view, self._name)
            return Text(_owner(lock), modified)

        return TextView(self.child("owner"), text, keep=Keep())


@final
class LockFile(File):
    """A lock that somebody has by an open file; it reads as who that is."""

    __slots__ = ("_name", "_view")
    keep = Keep()

    def __init__(
        self, path: str, view: View, name: LockId, listed: Attributes | None = None
    ) -> None:
        super().__init__(path, listed)
        self._view = view
        self._name = name

    async def attributes(self) -> Attributes:
        """Return the size of the text."""
        lock, modified = await _current(self._view, self._name)
        return Attributes(len(_owner(lock)), modified)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Read who has it; opening it for writing is another who wants it."""
        if mode.write:
            return await _open(self._view, self._name, mode, caller)
        lock, _ = await _current(self._view, self._name)
        return Snapshot(_owner(lock))

    async def truncate(self, size: int, caller: Caller) -> None:
        """Refuse: somebody has it."""
        raise await self.refusal()

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` falls back to this, and would seem to take the lock."""
        raise await self.refusal()

    async def refusal(self) -> Held:
        """Return the refusal of taking the lock once more."""
        lock, _ = await _current(self._view, self._name)
        return held(self._name, lock)


@final
class OpenLock(Handle):
    """A lock held by an open file: children that inherit it keep it, and the last one ends it."""

    __slots__ = ("_holding", "_name", "_view")

    def __init__(self, view: View, name: LockId, holding: Holding) -> None:
        self._view = view
        self._name = name
        self._holding = holding

    async def read(self, offset: int, size: int) -> bytes:
        """Return who has it: not for ever who opened this file."""
        lock, _ = await _current(self._view, self._name)
        return _owner(lock)[offset : offset + size]

    async def write(self, offset: int, data: bytes) -> int:
        """Refuse: `echo > locks/x` has given it back by the time it ends."""
        raise NotAllowed(
            f"locks/{self._name} keeps no text, and is held only while it is open: "
            f"exec 9> locks/{self._name}, or mkdir locks/{self._name} until rmdir"
        )

    async def truncate(self, size: int) -> None:
        """Take note of a cut: programs make one before they write."""

    async def release(self) -> None:
        """Give it back."""
        self._view.project.locks.let_go(self._holding)


async def _open(view: View, name: LockId, mode: OpenMode, caller: Caller) -> OpenLock:
    """Take a lock for as long as the handle is not released; raises Held."""
    if mode.touch:
        raise NotAllowed(f"touch takes no lock: mkdir locks/{name} does, until rmdir")
    if not mode.write:  # flock(1): the next one would open what is there, and have it too
        raise NotAllowed(
            f"what is opened for reading takes no lock, and flock sees this host only: "
            f"exec 9> locks/{name} takes it"
        )
    return OpenLock(view, name, await view.project.locks.hold(name, view.acting(caller)))


async def _current(view: View, name: LockId, *, max_age: float = WALK) -> tuple[Lock, int]:
    """Return the lock, and when it was last written; raises Missing where nobody has it."""
    seen = await view.project.locks.look(name, max_age=max_age)
    if seen.holder is None:
        raise Missing(f"nobody has locks/{name} any more")
    return seen.holder, seen.modified


def _owner(lock: Lock) -> bytes:
    return f"{on_one_line(lock.agent)}\n".encode()
