"""A listing as it is given out."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Self, final

from tcfs.stores._base import Entry


@final
class Pages:
    """Yields pages until an empty one.

    No async generator: one that is left before its end has to be closed by whoever left it, and
    a listing holds nothing to close.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Sequence[Entry]]]) -> None:
        self._fetch = fetch

    def __aiter__(self) -> Self:
        """Return itself: a listing is gone through once."""
        return self

    async def __anext__(self) -> Sequence[Entry]:
        """Return the next page."""
        page = await self._fetch()
        if not page:
            raise StopAsyncIteration
        return page
