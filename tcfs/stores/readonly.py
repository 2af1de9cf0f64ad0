"""A store that nothing is written to, whoever asks: what `--read-only` promises.

The kernel refuses the writes of a read-only mount; this is for what a mount would write by
itself: marking mail as read, mending a status, a heartbeat.
"""

from collections.abc import AsyncIterable
from typing import NoReturn, final

from tcfs.stores._base import Buffer, Dated, ETag
from tcfs.stores._errors import ReadOnly
from tcfs.stores._wrapper import Wrapper


@final
class Reading(Wrapper):
    """`store`, to be read only."""

    async def put(
        self, key: str, body: Buffer, *, if_absent: bool = False, if_match: ETag | None = None
    ) -> ETag:
        """Refuse."""
        self._refuse(key)

    async def put_dated(self, key: str, body: bytes, *, if_match: ETag | None = None) -> Dated:
        """Refuse."""
        self._refuse(key)

    async def delete(self, key: str, *, if_match: ETag | None = None) -> None:
        """Refuse."""
        self._refuse(key)

    async def upload(
        self,
        key: str,
        parts: AsyncIterable[bytes],
        *,
        if_absent: bool = False,
        if_match: ETag | None = None,
    ) -> ETag:
        """Refuse."""
        self._refuse(key)

    async def copy(self, source: str, target: str) -> ETag:
        """Refuse."""
        self._refuse(target)

    def _refuse(self, key: str) -> NoReturn:
        raise ReadOnly(f"{key!r} is not written: this mount is read-only; mount it without")
