"""Plain files: any bytes, staged on local disk, stored when the opener lets go."""

import errno
import tempfile
from collections.abc import AsyncIterator
from typing import IO, Final, Self, final

from tcfs.project.errors import Exists, Invalid, Missing, TooLarge
from tcfs.stores import (
    AlreadyExists,
    Conflict,
    Entry,
    InvalidKey,
    NotFound,
    Object,
    OutcomeUnknown,
    PreconditionFailed,
    Store,
    Unavailable,
)
from tcfs.stores.backoff import another, pauses
from tcfs.tree._base import Attributes, Caller, File, Handle, OpenMode
from tcfs.tree._text import Addition
from tcfs.tree._view import View
from tcfs.wire.ids import is_control
from tcfs.wire.keys import MAX_KEY

PART: Final = 8 << 20  # bytes: what is read, sent, or added to at once
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
    """An object that is kept as it is."""

    __slots__ = ("_key", "_view")

    def __init__(self, path: str, view: View, key: str, entry: Entry | None = None) -> None:
        super().__init__(path, _attributes(entry) if entry else None)
        self._view = view
        self._key = key

    @classmethod
    async def find(cls, path: str, view: View, key: str) -> Self:
        """Return the file at `key`; raises Missing."""
        try:
            await view.project.store.head(key)
        except (NotFound, InvalidKey):
            raise Missing(f"{path} does not exist") from None
        return cls(path, view, key)

    @classmethod
    async def create(
        cls, path: str, view: View, key: str, mode: OpenMode, caller: Caller
    ) -> tuple[Self, Handle]:
        """Make the file; it is stored when its opener lets go. Raises Exists if `exclusive`."""
        file = cls(path, view, key)
        if mode.exclusive:
            try:
                await view.project.store.put(key, b"", if_absent=True)
            except AlreadyExists:
                raise Exists(f"{path} exists; > replaces it") from None
        return file, Staged(view.project.store, key, dirty=True)

    async def attributes(self) -> Attributes:
        """Return the object's size and time."""
        try:
            return _attributes(await self._view.project.store.head(self._key))
        except NotFound:
            # Created, and not stored yet: its handle knows the size.
            return Attributes()

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open; what is written is stored whole when the opener lets go."""
        store = self._view.project.store
        if not mode.write:
            return Ranges(store, self._key)
        self._view.acting(caller)
        if mode.append and not mode.truncate and not mode.read:
            return Addition(self._add, _no_limit, at_once=False)
        handle = Staged(store, self._key, dirty=mode.truncate)
        if not mode.truncate:
            await handle.load()
        return handle

    async def truncate(self, size: int, caller: Caller) -> None:
        """Cut the file."""
        self._view.acting(caller)
        handle = Staged(self._view.project.store, self._key, dirty=False)
        await handle.load()
        await handle.truncate(size)
        await handle.commit()

    async def _add(self, data: bytes) -> None:
        store = self._view.project.store
        for pause in pauses():
            try:
                found = await store.get(self._key)
            except NotFound:
                found = None
            assert found is None or isinstance(found, Object)
            try:
                if found is None:
                    await store.put(self._key, data, if_absent=True)
                elif len(found.body) + len(data) > PART:
                    raise OSError(errno.ESTALE, f"{self.path} is too large to be added to safely")
                else:
                    await store.put(self._key, found.body + data, if_match=found.etag)
            except OutcomeUnknown:
                raise
            except (AlreadyExists, PreconditionFailed, Conflict, Unavailable):
                # Somebody added to it in between: theirs is kept, ours comes after.
                if not await another(pause):
                    break
            else:
                return
        raise OutcomeUnknown(f"{self.path} kept changing; what was written is not added")


@final
class Ranges(Handle):
    """Reads an object a range at a time."""

    __slots__ = ("_key", "_store")

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key

    async def read(self, offset: int, size: int) -> bytes:
        """Return a range."""
        return (await self._store.get_range(self._key, offset, size)).body


@final
class Staged(Handle):
    """A file that is written on local disk first."""

    __slots__ = ("_dirty", "_file", "_key", "_store")

    def __init__(self, store: Store, key: str, *, dirty: bool) -> None:
        self._store = store
        self._key = key
        self._dirty = dirty
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `release`

    async def load(self) -> None:
        """Fetch what the file holds now; raises NotFound."""
        offset = 0
        while part := (await self._store.get_range(self._key, offset, PART)).body:
            self._file.write(part)
            offset += len(part)

    async def read(self, offset: int, size: int) -> bytes:
        """Return what was written, over what was there."""
        self._file.seek(offset)
        return self._file.read(size)

    async def write(self, offset: int, data: bytes) -> int:
        """Stage bytes."""
        self._file.seek(offset)
        self._file.write(data)
        self._dirty = True
        return len(data)

    async def truncate(self, size: int) -> None:
        """Cut or extend the file."""
        self._file.truncate(size)
        self._dirty = True

    def size(self) -> int | None:
        """Return the staged size."""
        return self._file.seek(0, 2)

    async def commit(self) -> None:
        """Store the file whole."""
        if self._dirty:
            self._dirty = False
            await self._store.upload(self._key, self._parts())

    async def sync(self) -> None:
        """Obey `fsync`."""
        await self.commit()

    def discard(self) -> None:
        """Leave the old content as it is."""
        self._dirty = False

    async def release(self) -> None:
        """Let go of the staged bytes."""
        self._file.close()

    async def _parts(self) -> AsyncIterator[bytes]:
        offset = 0
        while True:
            self._file.seek(offset)
            part = self._file.read(PART)
            if not part:
                return
            offset += len(part)
            yield part


async def read_whole(store: Store, key: str, limit: int) -> bytes:
    """Return a small file; raises Missing, or Invalid for one that is not small."""
    try:
        found = await store.get_range(key, 0, limit + 1)
    except NotFound:
        raise Missing(f"{key} does not exist") from None
    if len(found.body) > limit:
        raise Invalid(f"{key} is larger than {limit} bytes; copy it instead")
    return found.body


async def put_whole(store: Store, key: str, body: bytes, *, exclusive: bool) -> None:
    """Store a small file; raises Exists if it is to be new and is not."""
    try:
        await store.put(key, body, if_absent=exclusive)
    except AlreadyExists:
        raise Exists(f"{key} exists") from None


def _attributes(entry: Entry) -> Attributes:
    return Attributes(entry.size, entry.modified)


def _no_limit(size: int) -> None:
    if size > PART:
        raise TooLarge(f"at most {PART} bytes are added at once; write the file anew")
