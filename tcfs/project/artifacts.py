"""Ordinary files: objects of any size and any bytes, with names, in directories.

An object store has no directories: one is there while a key begins with it, or while this mount
remembers it, which is from `make_directory` or the removal of something in it, to
`remove_directory` or the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tcfs.project._appends import MERGED, Appends
from tcfs.project._directories import Directories
from tcfs.project._opened import Opened, Reader, Writer
from tcfs.project._reading import Reading
from tcfs.project._together import together
from tcfs.project.errors import Exists, Missing, NotEmpty, OtherDirectory
from tcfs.stores import AlreadyExists, Entry, InvalidKey, NotFound, PreconditionFailed, Store

__all__ = ["Adder", "Files", "Found", "Level", "Reader", "Writer"]

COPIED: Final = 5 << 30  # bytes that a service copies by itself: S3's limit
_ATTEMPTS: Final = 5  # at a rename, while others write what is renamed


@final
@dataclass(frozen=True, slots=True)
class Found:
    """A file as `stat` shows it: bytes, and nanoseconds since 1970."""

    size: int
    modified: int


@final
@dataclass(frozen=True, slots=True)
class Level:
    """One level of a directory: the names of directories, and the files by name."""

    directories: Sequence[str]
    files: Mapping[str, Found]


@final
class Adder:
    """Somebody adds to the end of a file, all at once when it lets go.

    Above `MERGED` what is added goes through the local disk, and the file is then replaced only
    if it is still the one that was added to.
    """

    __slots__ = ("_created", "_files", "_key", "_text", "_writer")

    def __init__(self, files: "Files", key: str, *, created: bool) -> None:
        self._files = files
        self._key = key
        self._text = bytearray()
        self._created = created  # to be there even if nothing is added
        self._writer: Writer | None = None

    async def write(self, data: bytes) -> int:
        """Gather `data`, or share it with who is writing there; raises OSError ENOSPC."""
        if self._writer is None and not self._text:
            self._writer = self._files.join(self._key)
        if self._writer is None and len(self._text) + len(data) <= MERGED:
            self._text += data
            return len(data)
        if self._writer is None:
            self._writer = await self._files.open_at_end(self._key)
            text, self._text = bytes(self._text), bytearray()
            await self._writer.append(text)
        await self._writer.append(data)
        return len(data)

    async def save(self) -> None:
        """Add what was gathered; raises as `Files.append` does."""
        if self._writer is not None:
            await self._writer.save()
        elif self._text or self._created:
            text, self._text = bytes(self._text), bytearray()
            self._made()
            await self._files.append(self._key, text)

    async def truncate(self, size: int) -> None:
        """Add what was gathered, and cut the file."""
        await self.save()
        await self._files.truncate(self._key, size)

    def discard(self) -> None:
        """Add nothing of what was gathered since."""
        self._text.clear()
        self._made()
        if self._writer is not None:
            self._writer.discard()

    def close(self) -> None:
        """Let go of it."""
        self._made()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _made(self) -> None:
        if self._created:
            self._created = False
            self._files.settled(self._key)


@final
class Files:
    """The ordinary files of a project, as one mount acts on them.

    `directory` is where this user's files lie that are being written; it is made when needed.
    """

    def __init__(self, store: Store, directory: Path) -> None:
        self._store: Final = store
        self._opened: Final = Opened(store, directory)
        self._appends: Final = Appends(store, self._append_large)
        self._directories: Final = Directories()
        self._promised: Final[dict[str, int]] = {}  # made by `>>`, and nothing stored yet

    # looking

    async def stat(self, key: str) -> Found:
        """Return what a file looks like; raises Missing."""
        here = self._here(key)
        if here is not None:
            return here
        try:
            return _found(await self._store.head(key))
        except (NotFound, InvalidKey):
            raise Missing(f"{key} does not exist") from None

    async def look_up(self, key: str) -> Found | None:
        """Return the file at `key`, None for a directory; raises Missing."""
        here = self._here(key)
        if here is not None:
            return here
        if self._directories.has(key):
            return None
        try:
            entry, below = await together(
                lambda: self._head(key), lambda: self._store.any_under(f"{key}/")
            )
        except InvalidKey:
            raise Missing(f"{key} does not exist") from None
        if entry is not None:
            return _found(entry)
        if below:
            return None
        raise Missing(f"{key} does not exist")

    async def level(self, prefix: str) -> Level:
        """Return one level below `prefix`, which ends in `/` or is empty."""
        names, entries = await self._store.list_dir(prefix)
        files = {entry.key[len(prefix) :]: _found(entry) for entry in entries}
        for key in [it.key for it in self._opened.below(prefix)] + [*self._promised]:
            name = key[len(prefix) :] if key and key.startswith(prefix) else ""
            here = self._here(key) if key else None
            if name and "/" not in name and here is not None:
                files[name] = here
        self._directories.listed(prefix, names)
        left = [name for name in names if await self._is_left(f"{prefix}{name}")]
        below = dict.fromkeys([*left, *self._directories.below(prefix)])
        return Level(
            [name for name in below if name not in files and name not in ("", ".", "..")],
            {name: it for name, it in files.items() if name not in ("", ".", "..")},
        )

    async def _is_left(self, key: str) -> bool:
        # SeaweedFS goes on listing a directory for a while after its last object.
        if self._directories.was_removed(key):
            if not await self._store.any_under(f"{key}/"):
                return False
            self._directories.is_back(key)
        return True

    async def any_under(self, prefix: str) -> bool:
        """Tell whether there is anything below `prefix`, here or stored."""
        return (
            self._directories.has(prefix.rstrip("/"))
            or any(self._opened.below(prefix))
            or any(key.startswith(prefix) for key in self._promised)
            or await self._store.any_under(prefix)
        )

    async def any_of(self, first: str, second: str) -> bool:
        """Tell whether there is anything below either prefix."""
        if self._directories.has(first.rstrip("/")):
            return True
        return any(await together(lambda: self.any_under(first), lambda: self.any_under(second)))

    # opening

    async def read(self, key: str) -> Reader:
        """Open a file for reading: the version that is there now; raises Missing."""
        return await self._opened.read(key, promised=key in self._promised)

    def mixed(self, reader: Reader) -> bool:
        """Tell whether others in this mount have another version of the file open."""
        return self._opened.mixed(reader)

    async def write(self, key: str, *, truncate: bool) -> Writer:
        """Open a file for writing; raises Missing."""
        return await self._opened.write(key, truncate=truncate)

    async def create(self, key: str, *, exclusive: bool) -> Writer:
        """Make a file, which resolves here from now on, and is stored when `save`d.

        Raises:
            Exists: `exclusive`, and somebody in this mount has just made it.
        """
        if exclusive and key in self._promised:
            raise Exists(f"{key} exists; > replaces it")
        return await self._opened.create(key, exclusive=exclusive)

    def add(self, key: str, *, created: bool) -> Adder:
        """Open a file for adding to its end; `created`: it did not look up."""
        if created:
            self._promised[key] = self._promised.get(key, 0) + 1
        return Adder(self, key, created=created)

    def join(self, key: str) -> Writer | None:
        """Open for writing what others are writing here, None where nobody is."""
        staged = self._opened.staged(key)
        return self._opened.join(staged) if staged else None

    async def open_at_end(self, key: str) -> Writer:
        """Open for adding what is too large to be merged with what others add."""
        try:
            writer = await self._opened.write(key, truncate=False)
        except Missing:
            writer = await self._opened.create(key, exclusive=False)
        writer.staged.strict = True
        return writer

    # changing

    async def append(self, key: str, content: bytes) -> None:
        """Add to the end of a file; raises as `Appends.add` does."""
        staged = self._opened.staged(key)
        if staged is not None:
            await _append_at_once(self._opened.join(staged), content)
        else:
            await self._appends.add(key, content)

    async def truncate(self, key: str, size: int) -> None:
        """Cut or extend a file. One that is being written is stored by who writes it."""
        staged = self._opened.staged(key)
        writer = await self._opened.write(key, truncate=size == 0)
        try:
            if size:
                await writer.truncate(size)
            if staged is None or len(staged.dirty) == 1:
                await writer.save()
        finally:
            writer.close()

    async def remove(self, key: str) -> None:
        """Remove a file."""
        await self._hold(key)
        self._opened.removed(key)
        self._promised.pop(key, None)
        self._directories.keep(key)
        await self._store.delete(key)

    async def rename(self, key: str, new: str, *, exclusive: bool) -> None:
        """Move a file, in place of what is there unless `exclusive`.

        Raises:
            Exists: `exclusive`, and there is one.
            OtherDirectory: it is a directory, or larger than a service copies by itself.
            Missing
        """
        if exclusive and self._here(new) is not None:
            raise Exists(f"{new} exists")
        await self._hold(new)
        staged = self._opened.staged(key)
        if staged is not None and await staged.save_as(new, exclusive=exclusive):
            version = staged.base
            await self._store.delete(key)
        elif key in self._promised:
            raise OtherDirectory(f"{key} is being written; copy it, remove the old one")
        else:
            version = await self._move(key, new, exclusive=exclusive)
        self._opened.moved(key, new, version)
        if staged is not None:
            staged.base = version
        self._directories.keep(key)

    # directories

    def make_directory(self, key: str) -> None:
        """Make a directory, without `/` at its end, that is remembered here."""
        self._directories.add(key)

    async def remove_directory(self, key: str) -> None:
        """Remove an empty directory; raises NotEmpty."""
        prefix = f"{key}/"
        if (
            any(self._opened.below(prefix))
            or any(it.startswith(prefix) for it in self._promised)
            or any(True for _ in self._directories.below(prefix))
            or not await self._holds_nothing(prefix)
        ):
            raise NotEmpty(f"{key} still has something in it")
        self._directories.drop(key)
        self._directories.keep(key)

    async def _holds_nothing(self, prefix: str) -> bool:
        if not await self._store.any_under(prefix):
            return True
        names, entries = await self._store.list_dir(prefix)
        if names or any(entry.key != prefix for entry in entries):
            return False
        await self._store.delete(prefix)  # what stands for an empty directory with other tools
        return True

    # inside

    def settled(self, key: str) -> None:
        """One who made a file by `>>` has stored it, or has given up."""
        left = self._promised.get(key, 0) - 1
        if left > 0:
            self._promised[key] = left
        else:
            self._promised.pop(key, None)

    async def _hold(self, key: str) -> None:
        """Let who writes there go on after it is removed, if it is not too much to be fetched."""
        staged = self._opened.staged(key)
        if staged is not None and staged.size <= MERGED:
            await staged.load()
        elif staged is not None:
            await staged.quiet()

    def _here(self, key: str) -> Found | None:
        staged = self._opened.staged(key)
        if staged is not None:
            return Found(staged.size, staged.modified)
        return Found(0, 0) if key in self._promised else None

    async def _head(self, key: str) -> Entry | None:
        try:
            return await self._store.head(key)
        except NotFound:
            return None

    async def _append_large(self, key: str, content: bytes) -> None:
        await _append_at_once(await self.open_at_end(key), content)

    async def _move(self, key: str, new: str, *, exclusive: bool) -> Reading:
        entry = await self._head(key)
        if entry is None:
            if await self.any_under(f"{key}/"):
                raise OtherDirectory(f"{key} is a directory; copy it, then remove the old one")
            raise Missing(f"{key} does not exist")
        if entry.size > COPIED:
            raise OtherDirectory(f"{key} is too large to be renamed; copy it, remove the old one")
        if exclusive:
            await self._reserve(key, new, entry)
        for _ in range(_ATTEMPTS):
            etag = await self._store.copy(key, new)
            try:
                guard = entry.etag if self._store.capabilities.delete else None
                await self._store.delete(key, if_match=guard)
            except PreconditionFailed:
                newer = await self._head(key)
                if newer is None:
                    break  # somebody removed what was copied: it is gone from there, as asked
                entry = newer
            else:
                break
        else:
            raise PreconditionFailed(f"{key} kept changing; {new} has a copy of it, try again")
        return Reading(self._store, new, etag, entry.size, entry.modified)

    async def _reserve(self, key: str, new: str, entry: Entry) -> None:
        """Take a name that must be free: with the file itself, if it is small."""
        body = b""
        if 0 < entry.size <= MERGED:
            body = (await self._store.get_range(key, 0, entry.size)).body
        try:
            await self._store.put(new, body, if_absent=True)
        except AlreadyExists:
            raise Exists(f"{new} exists") from None


async def _append_at_once(writer: Writer, content: bytes) -> None:
    try:
        await writer.append(content)
        await writer.save()
    except BaseException:
        writer.discard()
        raise
    finally:
        writer.close()


def _found(entry: Entry) -> Found:
    return Found(entry.size, entry.modified)
