"""Who adds to the end of files in this mount: `>>`, all at once when it lets go.

What is added is gathered in memory and joined to what is stored by then (`_appends`). Above
`MERGED` it goes through the local disk (`_opened`), and so it does where somebody here writes the
file, who is to see it.
"""

from collections.abc import Iterator
from typing import Final, final

from tcfs.project._appends import MERGED, Appends
from tcfs.project._opened import Opened, Writer
from tcfs.project.errors import Missing
from tcfs.stores import OutcomeUnknown, Store, StoreError


@final
class Adder:
    """Somebody adds to the end of a file. `key` is None once that was removed.

    `created` is whether the file is made even if nothing is added.
    """

    __slots__ = ("_adders", "_text", "_writer", "created", "key")

    def __init__(self, adders: "Adders", key: str, *, created: bool) -> None:
        self.key: str | None = key
        self.created = created
        self._adders = adders
        self._text = bytearray()
        self._writer: Writer | None = None

    async def write(self, data: bytes) -> int:
        """Gather `data`, or share it with who is writing there; raises OSError ENOSPC."""
        if self.key is None:
            return len(data)  # to a file that was removed, and that nobody can read
        if self._writer is None and not self._text:
            self._writer = self._adders.join(self.key)
        if self._writer is not None:
            await self._writer.append(data)
        elif len(self._text) + len(data) <= MERGED:
            self._text += data
        else:
            self._writer = await self._adders.spool(self.key, bytes(self._text) + data)
            self._text.clear()
        return len(data)

    async def save(self) -> None:
        """Add what was gathered; raises as `Adders.append` does."""
        if self._writer is not None:
            await self._writer.save()
            self.created = False
        elif self.key is not None and (self._text or self.created):
            text, self._text = bytes(self._text), bytearray()
            try:
                await self._adders.append(self.key, text)
            except OutcomeUnknown:
                raise  # whoever is told looks; added once more it might be there twice
            except (StoreError, OSError):
                self._text[:0] = text
                raise
            self.created = False

    async def truncate(self, size: int) -> None:
        """Add what was gathered, and cut the file."""
        await self.save()
        if self.key is not None:
            await self._adders.cut(self.key, size)

    def discard(self) -> None:
        """Add nothing of what was gathered since."""
        self._text.clear()
        self.created = False
        if self._writer is not None:
            self._writer.discard()

    def close(self) -> None:
        """Let go of it."""
        self._adders.closed(self)
        if self._writer is not None:
            self._writer.close()
            self._writer = None


@final
class Adders:
    """All of them."""

    def __init__(self, store: Store, opened: Opened) -> None:
        self._opened: Final = opened
        self._appends: Final = Appends(store, self._append_large)
        self._by_key: Final[dict[str, set[Adder]]] = {}

    def add(self, key: str, *, created: bool) -> Adder:
        """Open a file for adding to its end; `created`: it did not look up."""
        adder = Adder(self, key, created=created)
        self._by_key.setdefault(key, set()).add(adder)
        return adder

    def promises(self, key: str) -> bool:
        """Tell whether a file resolves here that is stored when whoever made it lets go."""
        return any(adder.created for adder in self._by_key.get(key, ()))

    def promised(self, prefix: str) -> Iterator[str]:
        """Return the keys of such files under a prefix."""
        return (key for key in self._by_key if key.startswith(prefix) and self.promises(key))

    async def save(self, key: str) -> None:
        """Store what is promised there."""
        for adder in [it for it in self._by_key.get(key, ()) if it.created]:
            await adder.save()

    def removed(self, key: str) -> None:
        """What is added to a file that was removed is not stored."""
        for adder in self._by_key.pop(key, ()):
            adder.key = None
            adder.created = False

    def moved(self, key: str, new: str) -> None:
        """What is added to a file goes where that was moved."""
        adders = self._by_key.pop(key, set())
        self.removed(new)
        for adder in adders:
            adder.key = new
        if adders:
            self._by_key[new] = adders

    def closed(self, adder: Adder) -> None:
        """One has let go of its file."""
        adders = self._by_key.get(adder.key, set()) if adder.key is not None else set()
        adders.discard(adder)
        if not adders and adder.key is not None:
            self._by_key.pop(adder.key, None)

    # What adders do it with

    def join(self, key: str) -> Writer | None:
        """Open for writing what others are writing here, None where nobody is."""
        staged = self._opened.staged(key)
        return self._opened.join(staged) if staged else None

    async def spool(self, key: str, content: bytes) -> Writer:
        """Open for adding what is too large to be merged, and add `content`."""
        try:
            writer = await self._opened.write(key, truncate=False)
        except Missing:
            writer = await self._opened.create(key, truncate=False, exclusive=False)
        try:
            await writer.append(content)
        except BaseException:
            writer.discard()
            writer.close()
            raise
        return writer

    async def append(self, key: str, content: bytes) -> None:
        """Add to the end of a file; raises as `Appends.add` does."""
        if self._opened.staged(key) is not None:
            await self._append_large(key, content)
        else:
            await self._appends.add(key, content)

    async def cut(self, key: str, size: int) -> None:
        """Cut a file; raises as `Opened.cut` does."""
        await self._opened.cut(key, size)

    async def _append_large(self, key: str, content: bytes) -> None:
        writer = await self.spool(key, content)
        try:
            await writer.save()
        except BaseException:
            writer.discard()
            raise
        finally:
            writer.close()
