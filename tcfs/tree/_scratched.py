"""A directory in which programs may make files for themselves, beside what is meant.

What is meant is the inner directory's; a file of a program's own is in the mount's `Room` until it
is renamed to what is meant, which is one write of that (tree.md, rules).
"""

from collections.abc import Sequence
from typing import Final, final

from tcfs.project.errors import Exists, Invalid, Missing, NotAllowed, NotEmpty, OtherDirectory
from tcfs.tree._base import Attributes, Caller, Directory, File, Handle, Link, Node, OpenMode
from tcfs.tree._view import View
from tcfs.tree.scratch import Room, Scratch, is_scratch, is_scratch_if_new

PART: Final = 1 << 20  # bytes read at once


@final
class ScratchFile(File):
    """A file that a program made for itself."""

    __slots__ = ("_scratch",)

    def __init__(self, path: str, scratch: Scratch) -> None:
        super().__init__(path)
        self._scratch = scratch

    async def attributes(self) -> Attributes:
        """Return its size, and when it was last written."""
        return Attributes(len(self._scratch), self._scratch.modified)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open it."""
        self._check_there()
        if mode.truncate:
            self._scratch.truncate(0)
        return ScratchHandle(self._scratch, append=mode.append)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Cut it."""
        self._check_there()
        self._scratch.truncate(size)

    def _check_there(self) -> None:
        # Looked up, and removed before it was opened.
        if self._scratch.gone:
            raise Missing(f"{self.path} does not exist")


@final
class ScratchHandle(Handle):
    """Reads and writes what lies in memory; there is nothing to store."""

    __slots__ = ("_append", "_scratch")

    def __init__(self, scratch: Scratch, *, append: bool) -> None:
        self._scratch = scratch
        self._append = append
        scratch.opened()

    async def read(self, offset: int, size: int) -> bytes:
        """Return what is there."""
        return self._scratch.read(offset, size)

    async def write(self, offset: int, data: bytes) -> int:
        """Put bytes where they belong."""
        self._scratch.write(len(self._scratch) if self._append else offset, data)
        return len(data)

    async def truncate(self, size: int) -> None:
        """Cut it."""
        self._scratch.truncate(size)

    def size(self) -> int | None:
        """Return the size."""
        return len(self._scratch)

    async def release(self) -> None:
        """Let go of it."""
        self._scratch.closed()


@final
class Scratched(Directory):
    """`inner`, and what programs made for themselves in it."""

    __slots__ = ("_inner", "_room", "_view", "keep")

    def __init__(self, inner: Directory, view: View) -> None:
        super().__init__(inner.path, inner.listed)
        self.keep = inner.keep
        self._inner = inner
        self._view = view
        self._room: Room = view.local.scratch

    async def attributes(self) -> Attributes:
        """Return what the directory says."""
        return await self._inner.attributes()

    async def set_times(self, caller: Caller) -> None:
        """Ask the directory."""
        await self._inner.set_times(caller)

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return what lies in memory, else what is meant."""
        found = self._room.find(self.path, name)
        if found is not None:
            return self._node(name, found)
        if name.startswith(".") and is_scratch(name):
            # Editors ask for their swap files all the time: none is ever stored.
            raise Missing(f"{self.child(name)} does not exist")
        return await self._inner.lookup(name, caller)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return both; what lies in memory first, for `rm -r` ends with a step's claim."""
        mine = {name: self._node(name, found) for name, found in self._room.of(self.path)}
        meant = await self._inner.entries(caller)
        return [*mine.items(), *(it for it in meant if it[0] not in mine)]

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        """Make a file in memory, or one that is meant."""
        if not (is_scratch_if_new(name) if mode.exclusive else is_scratch(name)):
            self._check(name)
            return await self._inner.create(name, mode, caller)
        found = self._room.find(self.path, name)
        if found is None:
            found = self._room.make(self.path, name, self._view.who(caller))
        elif mode.exclusive:
            raise Exists(f"{self.child(name)} exists")
        file = ScratchFile(self.child(name), found)
        return file, await file.open(mode, caller)

    async def symlink(self, name: str, target: str, caller: Caller) -> Node:
        """Make a link in memory, as emacs's locks are, or what the directory makes of one."""
        if not is_scratch_if_new(name):
            self._check(name)
            return await self._inner.symlink(name, target, caller)
        if self._room.find(self.path, name) is not None:
            raise Exists(f"{self.child(name)} exists")
        return self._node(name, self._room.make(self.path, name, self._view.who(caller), target))

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """Make a directory that is meant."""
        self._check(name)
        return await self._inner.mkdir(name, caller)

    async def unlink(self, name: str, caller: Caller) -> None:
        """Remove a file."""
        if not self._room.drop(self.path, name):
            await self._inner.unlink(name, caller)

    async def rmdir(self, name: str, caller: Caller) -> None:
        """Remove a directory that has nothing in it."""
        if self._room.of(self.child(name)):
            raise NotEmpty(f"{self.child(name)} is not empty: ls -a {self.child(name)}")
        await self._inner.rmdir(name, caller)

    async def put(self, name: str, content: bytes, caller: Caller, *, exclusive: bool) -> None:
        """Write what is meant."""
        await self._inner.put(name, content, caller, exclusive=exclusive)

    async def rename(
        self, name: str, target: Directory, new: str, caller: Caller, *, exclusive: bool
    ) -> None:
        """Move a file. From memory to what is meant is one write; the other way is a copy."""
        mine = self._room.find(self.path, name)
        if not isinstance(target, Scratched):
            if mine is not None:
                raise OtherDirectory(f"{self.child(name)} cannot be moved there; copy it")
            await self._inner.rename(name, target, new, caller, exclusive=exclusive)
            return
        replaced = self._room.find(target.path, new)
        if exclusive and replaced is not None:
            raise Exists(f"{target.child(new)} exists")
        if mine is not None and (replaced is not None or is_scratch(new)):
            self._room.move(self.path, name, target.path, new)
        elif mine is not None:
            await self._store(name, mine, target, new, caller, exclusive=exclusive)
        elif is_scratch(new):
            await self._back_up(name, target, new, caller)
        else:
            target._check(new)
            await self._inner.rename(name, target._inner, new, caller, exclusive=exclusive)
            self._room.drop(target.path, new)

    async def _store(
        self, name: str, mine: Scratch, target: "Scratched", new: str, caller: Caller, *,
        exclusive: bool,
    ) -> None:  # fmt: skip
        target._check(new)
        if mine.target is not None:
            raise Invalid(f"{self.child(name)} is a symbolic link; none is stored here")
        with mine.becoming() as content:
            await target._inner.put(new, content, caller, exclusive=exclusive)
        self._room.drop(self.path, name)

    async def _back_up(self, name: str, target: "Scratched", new: str, caller: Caller) -> None:
        # Editors rename what they are about to write: others go on reading it meanwhile.
        node = await self._inner.lookup(name, caller)
        if not isinstance(node, File):
            raise NotAllowed(f"{self.child(name)} is no file; it cannot be backed up by renaming")
        copy = self._room.unnamed(self._view.who(caller))
        try:
            await _copy(node, copy, caller)
        except BaseException:
            copy.unnamed()  # what has the name now keeps it
            raise
        self._room.name(target.path, new, copy)

    def _check(self, name: str) -> None:
        if name.startswith("."):
            raise Invalid(f"no name begins with '.' here: {name!r}; use artifacts/")

    def _node(self, name: str, found: Scratch) -> Node:
        if found.target is not None:
            return Link(self.child(name), found.target)
        return ScratchFile(self.child(name), found)


async def _copy(file: File, to: Scratch, caller: Caller) -> None:
    handle = await file.open(OpenMode(), caller)
    try:
        if handle.blocking:
            raise NotAllowed(f"{file.path} cannot be renamed")
        # Straight to where it is counted: a plain file may be of any size.
        while part := await handle.read(len(to), PART):
            to.write(len(to), bytes(part))
    finally:
        await handle.release()
