"""Adding to the end of objects: `>>`, which loses no line whoever else adds.

An append is conditional on the version it was based on, and repeated where another came first.
What several tasks of this mount add while a write is under way goes into the next one together:
each write carries the whole object.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, final

import trio

from tcfs.project._joined import Joined
from tcfs.project._locks import Locks
from tcfs.stores import (
    AlreadyExists,
    Conflict,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    Range,
    Store,
    Unavailable,
)
from tcfs.stores.backoff import another, pauses
from tcfs.stores.deadline import remaining, within

MERGED: Final = 8 << 20  # bytes: tree.md; what is larger is not read to be added to
HURRY: Final = 5.0  # seconds: how old a base may be tried first; the condition decides
_KNOWN: Final = 16 << 20  # bytes of bases kept
_BASES: Final = 1000  # of them, however small


@final
class Appends:
    """The appends of one mount. `large` adds to an object that is too large to be merged."""

    def __init__(self, store: Store, large: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._store = store
        self._large = large
        self._joined = Joined(Locks())
        self._known: OrderedDict[str, tuple[Range, float]] = OrderedDict()
        self._held = 0  # bytes of them

    async def add(self, key: str, content: bytes) -> None:
        """Add to the end of an object, which is made where there is none.

        Raises:
            OutcomeUnknown: it may have been added.
            PreconditionFailed: it is larger than `MERGED`, and another wrote it meanwhile.
            Unavailable, Denied, ReadOnly, StoreFull, Unsupported
        """
        await self._joined.add(key, "", content, partial(self._add, key))

    async def _add(self, key: str, content: bytes) -> None:
        with within(remaining()):  # the same one for all attempts
            small = await self._add_small(key, content)
        if not small:
            await self._large(key, content)

    async def _add_small(self, key: str, content: bytes) -> bool:
        """Add to an object, if it can be merged; tell whether it could."""
        found = self._recent(key)
        for pause in pauses():
            try:
                found = found or await self._read(key)
                if found is not None and not content:
                    return True  # made by somebody else just now, and nothing to add
                if found is not None and found.size + len(content) > MERGED:
                    return False
                joined = b"".join((found.body, content)) if found else content
                base = found.etag if found else None
                etag = await self._store.put(key, joined, if_absent=base is None, if_match=base)
            except OutcomeUnknown:
                raise OutcomeUnknown(
                    f"it is unknown whether {key} was added to; read it, and add what is missing"
                ) from None
            except (AlreadyExists, PreconditionFailed, Conflict, Unavailable) as error:
                # Somebody added to it in between: theirs is kept, ours comes after.
                found = None
                if not await another(pause):
                    raise Unavailable(f"{key} kept changing; nothing was added") from error
            else:
                self._remember(key, Range(joined, etag, 0, len(joined)))
                return True
        raise AssertionError("the pauses never end")

    async def _read(self, key: str) -> Range | None:
        try:
            return await self._store.get_range(key, 0, MERGED)
        except NotFound:
            return None

    def _recent(self, key: str) -> Range | None:
        found, when = self._known.pop(key, (None, 0.0))
        self._held -= len(found.body) if found else 0
        return found if trio.current_time() - when <= HURRY else None

    def _remember(self, key: str, found: Range) -> None:
        self._known[key] = (found, trio.current_time())
        self._held += len(found.body)
        while self._held > _KNOWN or len(self._known) > _BASES:
            _, (oldest, _) = self._known.popitem(last=False)
            self._held -= len(oldest.body)
