"""Open directories: one listing an open, with the attributes of every entry.

The kernel asks by readdirplus only, so each name needs attributes. They are gathered ahead of
the reply, many at a time.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final, final

import trio

from tcfs.project.errors import Missing
from tcfs.stores import NotFound
from tcfs.tree._base import Attributes, Caller, Directory, Node

AT_ONCE: Final = 64  # attributes asked for at the same time: architecture.md
AHEAD: Final = 1000  # entries whose attributes are gathered before the first is shown


@final
class Listing:
    """One open directory. `inode` is its number, `node` its node."""

    __slots__ = ("_attributes", "_entries", "_known", "inode", "node", "shown_once")

    def __init__(self, inode: int, node: Directory) -> None:
        self.inode = inode
        self.node = node
        self.shown_once = False
        self._entries: Sequence[tuple[str, Node]] = ()
        self._attributes: dict[int, Attributes] = {}
        self._known = 0  # entries up to here were asked for their attributes

    async def read(self, caller: Caller) -> None:
        """List the directory, anew if it was listed before."""
        self._entries = await self.node.entries(caller)
        self._attributes = {}
        self._known = 0

    async def shown(self, start: int) -> "Iterator[tuple[int, str, Node, Attributes]]":
        """Return what is to be shown from the entry of that index on, as far as is known.

        Nothing is returned only at the end. What was removed since it was listed is left out.
        """
        if start < self._known:
            if any(index in self._attributes for index in range(start, self._known)):
                return self._known_from(start)
            start = self._known
        while start < len(self._entries):
            end = min(start + AHEAD, len(self._entries))
            await self._gather(iter(range(start, end)), end - start)
            self._known = end
            if any(index in self._attributes for index in range(start, end)):
                return self._known_from(start)
            start = end
        return iter(())

    def _known_from(self, start: int) -> Iterator[tuple[int, str, Node, Attributes]]:
        for index in range(start, self._known):
            attributes = self._attributes.get(index)
            if attributes is not None:
                name, node = self._entries[index]
                yield index, name, node, attributes

    async def _gather(self, indexes: Iterator[int], number: int) -> None:
        if number == 1:
            await self._ask(indexes)
            return
        async with trio.open_nursery() as nursery:
            for _ in range(min(AT_ONCE, number)):
                nursery.start_soon(self._ask, indexes)

    async def _ask(self, indexes: Iterator[int]) -> None:
        # All share the iterator, so one that never has to wait takes all there is.
        for index in indexes:
            node = self._entries[index][1]
            try:
                self._attributes[index] = node.listed or await node.attributes()
            except (Missing, NotFound):
                continue


@final
class Listings:
    """The open directories of a mount, by the number the kernel has for each."""

    def __init__(self) -> None:
        self._fresh = count(1)
        self._open: dict[int, Listing] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __getitem__(self, fh: int) -> Listing:
        return self._open[fh]

    def get(self, fh: int) -> Listing | None:
        """Return an open directory, None for a number that is not in use."""
        return self._open.get(fh)

    def add(self, listing: Listing) -> int:
        """Enter an open directory; return its number."""
        fh = next(self._fresh)
        self._open[fh] = listing
        return fh

    def remove(self, fh: int) -> None:
        """Take an open directory out of the table."""
        self._open.pop(fh, None)
