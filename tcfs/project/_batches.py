"""Many objects, some at a time: what is looked at in passing must not all be held."""

from collections.abc import Iterable, Iterator
from typing import Final

from tcfs.stores import Entry

AT_ONCE: Final = 32 << 20  # bytes of objects that are held to be looked at
MOST: Final = 1000  # of them, however small


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield what a listing showed, in its order, as many as may be held at once; one at least."""
    batch: list[Entry] = []
    held = 0
    for entry in entries:
        if batch and (held + entry.size > AT_ONCE or len(batch) == MOST):
            yield batch
            batch, held = [], 0
        batch.append(entry)
        held += entry.size
    if batch:
        yield batch
