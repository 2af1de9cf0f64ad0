"""Plain files: any bytes, of any size; stored whole when the opener lets go."""

from collections.abc import Awaitable, Callable
from typing import Final, Self, final

from tcfs.project.artifacts import Adder, Found, Reader, Writer
from tcfs.project.errors import Invalid, Missing
from tcfs.stores import Buffer, Entry, NotFound, Store
from tcfs.tree._base import FRESH, Attributes, Caller, File, Handle, Keep, OpenMode
from tcfs.tree._text import is_line
from tcfs.tree._view import View
from tcfs.wire.ids import AgentId, is_control
from tcfs.wire.keys import MAX_KEY

MayChange = Callable[[AgentId], Awaitable[None]]
"""Raises what an agent is told who may not change a file."""

_ROOM: Final = 300  # bytes of a key that the project and the directories may take


def check_name(name: str) -> None:
    """Raise Invalid for a name that no object below a coordination directory may have."""
    if name.startswith("."):
        raise Invalid(f"'{name}' is a name that programs make for themselves; use artifacts/")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Invalid(f"a name is UTF-8 text; {name!r} is not") from None
    if is_control(name) or not name.strip() or size > MAX_KEY - _ROOM:
        raise Invalid(f"{name!r} cannot be the name of a file here")


@final
class PlainFile(File):
    """An object that is kept as it is. Who may change it, `may_change` knows; else all may."""

    __slots__ = ("_key", "_may_change", "_view", "keep")

    def __init__(
        self,
        path: str,
        view: View,
        key: str,
        found: Entry | Found | None = None,
        *,
        keep: Keep = FRESH,
        may_change: MayChange | None = None,
    ) -> None:
        super().__init__(path, Attributes(found.size, found.modified) if found else None)
        self._view = view
        self._key = key
        self._may_change = may_change
        self.keep = keep

    @classmethod
    async def find(cls, path: str, view: View, key: str, may_change: MayChange) -> Self:
        """Return the file at `key`; raises Missing."""
        try:
            found = await view.project.files.stat(key)
            return cls(path, view, key, found, may_change=may_change)
        except Missing:
            raise Missing(f"{path} does not exist") from None

    @classmethod
    async def create(
        cls,
        path: str,
        view: View,
        key: str,
        mode: OpenMode,
        caller: Caller,
        *,
        keep: Keep = FRESH,
        may_change: MayChange | None = None,
    ) -> tuple[Self, Handle]:
        """Make the file; it is stored when its opener lets go. Raises Exists if `exclusive`."""
        file = cls(path, view, key, keep=keep, may_change=may_change)
        await file._check(caller)
        files = view.project.files
        if mode.append and not mode.read and not mode.exclusive:
            return file, AddHandle(files.add(key, created=True))
        writer = await files.create(key, truncate=mode.truncate, exclusive=mode.exclusive)
        return file, WriteHandle(writer, at_once=mode.exclusive)

    async def attributes(self) -> Attributes:
        """Return the size and time of what is stored, or is being written here."""
        found = await self._view.project.files.stat(self._key)
        return Attributes(found.size, found.modified)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open; what is written is stored whole when the opener lets go."""
        files = self._view.project.files
        if not mode.write:
            reader = await files.read(self._key)
            return ReadHandle(reader, paged=not files.mixed(reader))
        await self._check(caller)
        if mode.append and not mode.truncate and not mode.read:
            return AddHandle(files.add(self._key, created=False))
        writer = await files.write(self._key, truncate=mode.truncate)
        return WriteHandle(writer, at_once=False)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Cut the file."""
        await self._check(caller)
        await self._view.project.files.truncate(self._key, size)

    async def _check(self, caller: Caller) -> None:
        agent = self._view.acting(caller)
        if self._may_change is not None:
            await self._may_change(agent)


@final
class ReadHandle(Handle):
    """Reads one version of a file."""

    __slots__ = ("_reader", "paged")
    unhurried = True

    def __init__(self, reader: Reader, *, paged: bool) -> None:
        self._reader = reader
        self.paged = paged

    async def read(self, offset: int, size: int) -> Buffer:
        """Return a range."""
        return await self._reader.read(offset, size)

    def size(self) -> int | None:
        """Return the size of what is open."""
        return self._reader.size

    async def release(self) -> None:
        """Let go of the version."""
        self._reader.close()


@final
class WriteHandle(Handle):
    """Writes a file, on the local disk until it is stored.

    `at_once` is whether a first write of one line is stored without waiting, so that the exit
    code of `set -C; echo mine > f` is true whichever mount was first.
    """

    __slots__ = ("_at_once", "_killed", "_writer")
    paged = True

    def __init__(self, writer: Writer, *, at_once: bool) -> None:
        self._writer = writer
        self._at_once = at_once
        self._killed = False

    async def read(self, offset: int, size: int) -> Buffer:
        """Return what was written, over what was there."""
        return await self._writer.read(offset, size)

    async def write(self, offset: int, data: bytes) -> int:
        """Stage bytes; raises OSError ENOSPC where the local disk is full."""
        if self._killed:
            return len(data)  # late pages of a mapping; they go where the rest went
        await self._writer.write(offset, data)
        return await self._staged(data)

    async def append(self, offset: int, data: bytes) -> int:
        """Stage bytes for the end; raises as `write` does."""
        if self._killed:
            return len(data)
        await self._writer.append(data)
        return await self._staged(data)

    async def truncate(self, size: int) -> None:
        """Cut or extend the file."""
        await self._writer.truncate(size)

    def size(self) -> int | None:
        """Return the staged size."""
        return self._writer.size

    async def commit(self) -> None:
        """Store the file whole."""
        if self._writer.failed is None:  # else whoever wrote was told already
            await self._writer.save()

    async def sync(self) -> None:
        """Obey `fsync`."""
        await self._writer.save()

    def discard(self) -> None:
        """Leave the old content as it is."""
        self._killed = True
        self._writer.discard()

    async def release(self) -> None:
        """Let go of the staged bytes."""
        self._writer.close()

    async def _staged(self, data: bytes) -> int:
        if self._at_once:
            self._at_once = False
            if is_line(data):
                await self.commit()
        return len(data)


@final
class AddHandle(Handle):
    """Adds to the end of a file, whoever else does: offsets mean nothing here."""

    __slots__ = ("_adder",)
    unhurried = True  # what it adds to may be large

    def __init__(self, adder: Adder) -> None:
        self._adder = adder

    async def write(self, offset: int, data: bytes) -> int:
        """Gather bytes."""
        return await self._adder.write(data)

    async def truncate(self, size: int) -> None:
        """Add what is gathered, and cut the file."""
        await self._adder.truncate(size)

    async def commit(self) -> None:
        """Add what is gathered."""
        await self._adder.save()

    async def sync(self) -> None:
        """Obey `fsync`."""
        await self._adder.save()

    def discard(self) -> None:
        """Add nothing."""
        self._adder.discard()

    async def release(self) -> None:
        """Let go of it."""
        self._adder.close()


@final
class Ranges(Handle):
    """Reads an object a range at a time, whichever version is there."""

    __slots__ = ("_key", "_store")

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key

    async def read(self, offset: int, size: int) -> Buffer:
        """Return a range."""
        return (await self._store.get_range(self._key, offset, size)).body


async def read_whole(store: Store, key: str, limit: int) -> bytes:
    """Return a small file; raises Missing, or Invalid for one that is not small."""
    try:
        found = await store.get_range(key, 0, limit + 1)
    except NotFound:
        raise Missing(f"{key} does not exist") from None
    if len(found.body) > limit:
        raise Invalid(f"{key} is larger than {limit} bytes; copy it instead")
    return bytes(found.body)
