"""What is open in this mount: who reads which version of an object, who is writing one anew.

All who have a key open share what one of them writes, before it is stored. This room knows no
kernel, and no directory.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

from tcfs.project._reading import Reading
from tcfs.project._staged import Staged
from tcfs.project.errors import Exists, Missing
from tcfs.stores import Store


@final
class Reader:
    """Somebody reads a file: the version it opened, or what is being written to it here."""

    __slots__ = ("_opened", "key", "staged", "version")

    def __init__(
        self, opened: "Opened", key: str, version: Reading | None, staged: Staged | None
    ) -> None:
        self.key = key
        self.version = version
        self.staged = staged
        self._opened = opened

    @property
    def size(self) -> int:
        """How long it is now."""
        if self.staged is not None:
            return self.staged.size
        return self.version.size if self.version else 0

    async def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset` on.

        Raises:
            PreconditionFailed: the version is there no more.
        """
        if self.staged is not None:
            return await self.staged.read(offset, size)
        return await self.version.read(offset, size) if self.version else b""

    def close(self) -> None:
        """Let go of it."""
        self._opened.left(self)


@final
class Writer:
    """Somebody has a file open to write to it; several may, and share one copy of it."""

    __slots__ = ("_opened", "staged")

    def __init__(self, opened: "Opened", staged: Staged) -> None:
        self.staged = staged
        self._opened = opened
        staged.users.add(self)

    @property
    def size(self) -> int:
        """How long it is now."""
        return self.staged.size

    async def read(self, offset: int, size: int) -> bytes:
        """Return what was written, over what was there."""
        return await self.staged.read(offset, size)

    async def write(self, offset: int, data: bytes) -> int:
        """Put `data` at `offset`.

        Raises:
            OSError: ENOSPC, the local disk is full. Half of what was meant is not stored.
        """
        try:
            return await self.staged.write(self, offset, data)
        except OSError:
            self.discard()
            raise

    async def append(self, data: bytes) -> None:
        """Put `data` at the end; raises as `write` does."""
        try:
            await self.staged.append(self, data)
        except OSError:
            self.discard()
            raise

    async def truncate(self, size: int) -> None:
        """Cut or extend it."""
        await self.staged.truncate(self, size)

    async def save(self) -> None:
        """Store it whole; raises as `Staged.save` does."""
        await self.staged.save()

    def discard(self) -> None:
        """Leave what is stored as it is."""
        if self.staged.discard(self):
            self._opened.vanish(self.staged)

    def close(self) -> None:
        """Let go of it."""
        self._opened.closed(self)


@final
class Opened:
    """The table of one mount."""

    def __init__(self, store: Store, directory: Path) -> None:
        self._store: Final = store
        self._directory: Final = directory
        self._staged: dict[str, Staged] = {}
        self._readers: dict[str, set[Reader]] = {}

    def staged(self, key: str) -> Staged | None:
        """Return the file that is being written there, if one is."""
        return self._staged.get(key)

    def below(self, prefix: str) -> Iterator[Staged]:
        """Return what is being written under a prefix."""
        return (it for key, it in self._staged.items() if key.startswith(prefix))

    async def read(self, key: str, *, promised: bool) -> Reader:
        """Open for reading; raises Missing, unless it is `promised` and is empty so far."""
        staged = self._staged.get(key)
        try:
            version = staged.base if staged else await Reading.begin(self._store, key)
        except Missing:
            if not promised:
                raise
            version = None
        staged = staged or self._staged.get(key)  # it may have been opened meanwhile
        others = self._readers.setdefault(key, set())
        for other in others:
            # What they read ahead must not come to the kernel any more: it has one cache a file.
            if version and other.version and other.version.etag != version.etag:
                other.version.drop()
        reader = Reader(self, key, version, staged)
        others.add(reader)
        if staged is not None:
            staged.users.add(reader)
        return reader

    def join(self, staged: Staged) -> Writer:
        """Open for writing what others have open for that."""
        return Writer(self, staged)

    def mixed(self, reader: Reader) -> bool:
        """Tell whether others here have another version of the same file open."""
        etag = reader.version.etag if reader.version else None
        return any(
            other.version is not None and other.version.etag != etag
            for other in self._readers.get(reader.key, ())
        )

    async def write(self, key: str, *, truncate: bool) -> Writer:
        """Open for writing what is there; raises Missing."""
        if key not in self._staged:
            base = None if truncate else await Reading.begin(self._store, key)
            if key not in self._staged:
                self._enter(Staged(self._store, self._directory, key, base))
        writer = Writer(self, self._staged[key])
        if truncate:
            try:
                await writer.truncate(0)
            except BaseException:
                writer.close()
                raise
        return writer

    async def create(self, key: str, *, exclusive: bool) -> Writer:
        """Open for writing what was not there; raises Exists if `exclusive` and it is here."""
        there = self._staged.get(key)
        if there is not None and exclusive:
            raise Exists(f"{key} exists; > replaces it")
        writer = await self.write(key, truncate=True)
        writer.staged.exclusive = exclusive
        return writer

    def removed(self, key: str) -> None:
        """What was there is removed; who has it open goes on, and stores nothing."""
        staged = self._staged.pop(key, None)
        if staged is not None:
            staged.key = None
        self._readers.pop(key, None)

    def moved(self, key: str, new: str, version: Reading | None) -> None:
        """What was at `key` is at `new`, as `version` if it is known, in place of what was."""
        staged = self._staged.pop(key, None)
        readers = self._readers.pop(key, set())
        self.removed(new)
        if staged is not None:
            staged.key = new
            self._staged[new] = staged
        for reader in readers:
            reader.key = new
            reader.version = version or reader.version
        self._readers[new] = readers

    def vanish(self, staged: Staged) -> None:
        """A file that was never stored is not to be: nothing resolves to it any more."""
        if staged.key is not None and self._staged.get(staged.key) is staged:
            del self._staged[staged.key]
        staged.key = None

    def left(self, reader: Reader) -> None:
        """A reader has closed the file."""
        readers = self._readers.get(reader.key, set())
        readers.discard(reader)
        if not readers:
            self._readers.pop(reader.key, None)
        if reader.staged is not None:
            self._unused(reader.staged, reader)

    def closed(self, writer: Writer) -> None:
        """A writer has closed the file; with the last one, it is an object like any other."""
        staged = writer.staged
        if any(isinstance(it, Writer) and it is not writer for it in staged.users):
            staged.users.discard(writer)
            return
        if staged.key is not None and staged.base is not None:
            for reader in [it for it in staged.users if isinstance(it, Reader)]:
                reader.staged, reader.version = None, staged.base
                staged.users.discard(reader)
        self.vanish(staged)
        self._unused(staged, writer)

    def _unused(self, staged: Staged, user: object) -> None:
        staged.users.discard(user)
        if not staged.users:
            staged.close()

    def _enter(self, staged: Staged) -> None:
        assert staged.key is not None
        self._staged[staged.key] = staged
        for reader in self._readers.get(staged.key, ()):
            same = reader.version and staged.base and reader.version.etag == staged.base.etag
            if same or staged.base is None:
                reader.staged = staged
                staged.users.add(reader)
