"""`board.html`: the overview as a page (tree.md, root)."""

from typing import final

from tcfs.board import snapshot, to_html
from tcfs.project.errors import ViewOnly
from tcfs.tree._base import HOUR, Attributes, Caller, File, Handle, Keep, OpenMode
from tcfs.tree._view import View


@final
class BoardFile(File):
    """The page, made when it is opened."""

    __slots__ = ("_view",)
    keep = Keep(entry=HOUR)

    def __init__(self, path: str, view: View) -> None:
        super().__init__(path)
        self._view = view

    async def attributes(self) -> Attributes:
        """Return the size while it is open: a listing must not read all.

        A browser opens a file, asks how large it is, and reads so much.
        """
        return Attributes(max(self._view.local.boards, default=0), writable=False)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading; a write is refused."""
        if mode.write:
            raise self._refusal()
        page = to_html(await snapshot(self._view.project)).encode()
        return Board(page, self._view.local.boards)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Refuse."""
        raise self._refusal()

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this where opening was refused."""
        raise self._refusal()

    def _refusal(self) -> ViewOnly:
        return ViewOnly(f"{self.path} is a view; it cannot be changed")


@final
class Board(Handle):
    """A page that is open; `sizes` has those of all that are."""

    __slots__ = ("_page", "_sizes")

    def __init__(self, page: bytes, sizes: list[int]) -> None:
        self._page = page
        self._sizes = sizes
        sizes.append(len(page))

    async def read(self, offset: int, size: int) -> bytes:
        """Return a slice of the page."""
        return self._page[offset : offset + size]

    async def release(self) -> None:
        """Show no size any more."""
        self._sizes.remove(len(self._page))
