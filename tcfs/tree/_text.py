"""Files that are text: read whole when they are opened, or gathered and stored as one document."""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, final

from tcfs.project.errors import NotAllowed, Refused, ViewOnly
from tcfs.tree._base import FRESH, Attributes, Caller, File, Handle, Keep, OpenMode

NEVER: Final = 1 << 62  # bytes: a size that no limit lets pass
LINE: Final = 1 << 16  # bytes: `echo` writes less at once, and what copies a file writes more


@final
class Text(NamedTuple):
    """What a text file holds now, and since when, in nanoseconds since 1970."""

    content: bytes
    modified: int = 0


@final
class Snapshot(Handle):
    """Reads what the file held when it was opened."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self, offset: int, size: int) -> bytes:
        """Return a slice of the snapshot."""
        return self._content[offset : offset + size]


@final
class TextView(File):
    """A read-only file whose text is made when it is asked for.

    `sized` is whether `stat` makes the text to tell its size; else it says 0, and readers read to
    the end.
    """

    __slots__ = ("_make", "_sized", "keep")

    def __init__(
        self,
        path: str,
        make: Callable[[Caller | None], Awaitable[Text]],
        *,
        sized: bool = True,
        keep: Keep = FRESH,
    ) -> None:
        super().__init__(path)
        self._make = make
        self._sized = sized
        self.keep = keep

    async def attributes(self) -> Attributes:
        """Return the size of the text as it is now."""
        if not self._sized:
            return Attributes(writable=False)
        text = await self._make(None)
        return Attributes(len(text.content), text.modified, writable=False)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading; a write is refused."""
        if mode.write:
            raise ViewOnly(f"{self.path} is a view; it cannot be written")
        return Snapshot((await self._make(caller)).content)

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this where opening was refused."""
        raise ViewOnly(f"{self.path} is a view; it cannot be changed")


@final
class Exact(File):
    """`<name>.json`: the exact object behind a file, read-only and unlisted."""

    __slots__ = ("_body",)

    def __init__(self, path: str, body: Callable[[], Awaitable[Text]]) -> None:
        super().__init__(path)
        self._body = body

    async def attributes(self) -> Attributes:
        """Return the object's size."""
        text = await self._body()
        return Attributes(len(text.content), text.modified, writable=False)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading; a write is refused."""
        if mode.write:
            raise self._refusal()
        return Snapshot((await self._body()).content)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Refuse."""
        raise self._refusal()

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this where opening was refused."""
        raise self._refusal()

    def _refusal(self) -> NotAllowed:
        return NotAllowed(f"{self.path} shows an object as it is; write the file without .json")


@final
class Draft(Handle):
    """Gathers one document and stores it whole.

    `store` is given all of it. The first write is stored at once if it ends in a newline, so that
    the exit code of `echo` is true; what follows is stored when the opener lets go.
    """

    __slots__ = ("_content", "_dirty", "_least", "_limit", "_store", "_writes")

    def __init__(
        self,
        store: Callable[[bytes], Awaitable[None]],
        limit: Callable[[int], None],
        content: bytes = b"",
        *,
        dirty: bool,
    ) -> None:
        """Begin with `content`; `dirty` is whether that is to be stored even if nothing follows.

        `limit` is given every size the document would grow to, and raises if it may not.
        """
        self._store = store
        self._limit = limit
        self._content = bytearray(content)
        self._dirty = dirty
        self._least = 0  # what any size counts for, since one was refused
        self._writes = 0

    async def read(self, offset: int, size: int) -> bytes:
        """Return what was gathered so far."""
        return bytes(self._content[offset : offset + size])

    async def write(self, offset: int, data: bytes) -> int:
        """Put `data` at `offset`, filling a gap with NULs as any file does."""
        end = offset + len(data)
        self._check(end)
        if offset > len(self._content):
            self._content.extend(bytes(offset - len(self._content)))
        self._content[offset:end] = data
        self._dirty = True
        self._writes += 1
        if self._writes == 1 and is_line(data):
            await self.commit()
        return len(data)

    async def truncate(self, size: int) -> None:
        """Cut or extend what is gathered."""
        if not size:
            self._least = 0  # nothing is left of what was refused
        self._check(size)
        del self._content[size:]
        self._content.extend(bytes(size - len(self._content)))
        self._dirty = True

    def _check(self, size: int) -> None:
        try:
            self._limit(max(size, self._least))
        except Refused:
            self._dirty = False  # half of it is not what was meant, nor with what follows
            self._least = NEVER
            raise

    def size(self) -> int | None:
        """Return how much is gathered."""
        return len(self._content)

    async def commit(self) -> None:
        """Store what is not stored."""
        if self._dirty:
            self._dirty = False  # a failure is told once; the text is not stored behind its back
            await self._store(bytes(self._content))

    async def sync(self) -> None:
        """Obey `fsync`."""
        await self.commit()

    def discard(self) -> None:
        """Forget what is not stored."""
        self._dirty = False


@final
class Addition(Handle):
    """Gathers what is added to the end of a document, and adds it.

    Offsets mean nothing here: what is written comes after whatever is there by then.
    """

    __slots__ = (
        "_add", "_at_once", "_before", "_created", "_limit", "_taken", "_text", "_writes",
    )  # fmt: skip

    def __init__(
        self,
        add: Callable[[bytes], Awaitable[None]],
        limit: Callable[[int], None],
        *,
        before: bytes = b"",
        at_once: bool = True,
        created: bool = False,
    ) -> None:
        """Add to `before`, which is for those who read as well.

        `at_once` is whether a first write that ends in a newline is added without waiting;
        `created` whether the document is to be there even if nothing is written (`: >> new`).
        """
        self._before = before
        self._add = add
        self._limit = limit
        self._at_once = at_once
        self._created = created
        self._text = bytearray()
        self._taken = 0  # bytes, added or not
        self._writes = 0

    async def read(self, offset: int, size: int) -> bytes:
        """Return what there was when the file was opened."""
        return self._before[offset : offset + size]

    async def write(self, offset: int, data: bytes) -> int:
        """Gather `data`."""
        try:
            self._limit(self._taken + len(data))
        except Refused:
            self.discard()  # half of it is not what was meant
            self._taken = NEVER
            raise
        self._text += data
        self._taken += len(data)
        self._writes += 1
        if self._at_once and self._writes == 1 and is_line(data):
            await self.commit()
        return len(data)

    async def truncate(self, size: int) -> None:
        """Take note of a cut that means nothing here: what is there stays."""

    async def commit(self) -> None:
        """Add what is gathered."""
        if self._text or self._created:
            self._created = False
            text, self._text = bytes(self._text), bytearray()
            await self._add(text)

    async def sync(self) -> None:
        """Obey `fsync` where a part may be stored on its own; mail is one message whatever."""
        if self._at_once:
            await self.commit()

    def discard(self) -> None:
        """Forget what is not added."""
        self._created = False
        self._text.clear()


def is_line(data: bytes) -> bool:
    """Tell whether a first write is what `echo` makes: it is then stored at once."""
    return data.endswith(b"\n") and len(data) < LINE
