"""`board.html`: the overview as a page (tree.md, root)."""

from typing import final

from tcfs.board import snapshot, to_html
from tcfs.project.errors import ViewOnly
from tcfs.tree._base import HOUR, Attributes, Caller, File, Handle, Keep, OpenMode
from tcfs.tree._text import Snapshot
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
        """Return the size that it had when it was last opened: a listing must not read all.

        A browser opens a file, asks how large it is, and reads so much.
        """
        return Attributes(self._view.local.board_size, writable=False)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading; a write is refused."""
        if mode.write:
            raise self._refusal()
        page = to_html(await snapshot(self._view.project)).encode()
        self._view.local.board_size = len(page)
        return Snapshot(page)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Refuse."""
        raise self._refusal()

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this where opening was refused."""
        raise self._refusal()

    def _refusal(self) -> ViewOnly:
        return ViewOnly(f"{self.path} is a view; it cannot be changed")
