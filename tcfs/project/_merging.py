"""Merging the parts of a session: fewer objects, the same bytes.

The merged parts are written first, then meta, then the old parts are deleted: whatever happens in
between, meta names parts that are there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, groupby
from typing import Any, Final, final

from tcfs.project._mirrored import added, generation_of
from tcfs.project._together import all_of
from tcfs.project.errors import Missing
from tcfs.stores import NotFound, Store
from tcfs.wire import keys
from tcfs.wire.sessions import Part, SessionMeta

LARGEST: Final = 8 << 20  # bytes of a merged part: it is held in memory
LARGE: Final = LARGEST // 2  # a part of this size is merged no more, or all was copied each time
AT_ONCE: Final = 2  # parts read at the same time

PartKey = Callable[[Part], str]


@final
@dataclass(frozen=True, slots=True)
class Merged:
    """Meta as it is to be, what was written for that, and what nobody needs once it is so."""

    meta: SessionMeta
    written: tuple[str, ...]
    spare: tuple[str, ...]


def groups(meta: SessionMeta, keep_tail: int = 0) -> list[tuple[Part, ...]]:
    """Return the parts of a session in their order, those together that are to be one."""
    current = generation_of(meta)
    parts = sorted(meta.parts or (), key=lambda it: it.seq)
    end = max(0, len(parts) - keep_tail)
    found: list[tuple[Part, ...]] = []
    for _, same in groupby(parts[:end], key=lambda it: it.generation or current):
        found.extend(_filled(tuple(same)))
    return found + [(it,) for it in parts[end:]]


def _filled(parts: Sequence[Part]) -> Iterator[tuple[Part, ...]]:
    group: list[Part] = []
    room = LARGEST
    for part in parts:
        size = part.uploaded_bytes
        alone = size is None or size >= LARGE
        if group and (alone or (size or 0) > room):
            yield tuple(group)
            group, room = [], LARGEST
        group.append(part)
        room = -1 if alone else room - (size or 0)
    if group:
        yield tuple(group)


async def merge(
    store: Store, key: PartKey, unique: Callable[[], str], now: str, meta: SessionMeta, tail: int
) -> Merged | None:
    """Write the merged parts, all but the last `tail` in them; None if there is nothing to merge.

    Raises:
        Missing: a part is not what meta says of it.
        Denied, Unavailable, OutcomeUnknown: what was written is swept by the next owner.
    """
    parts: list[Part] = []
    written: list[str] = []
    spare: list[str] = []
    for group in groups(meta, tail):
        if len(group) == 1:
            parts.append(group[0])
            continue
        merged = await _written(store, key, unique(), now, group)
        parts.append(merged)
        written.append(key(merged))
        spare += map(key, group)
    if not written:
        return None
    return Merged(replace(meta, parts=tuple(parts)), tuple(written), tuple(spare))


async def _written(store: Store, key: PartKey, uuid: str, now: str, group: Sequence[Part]) -> Part:
    """Write what a group is to be, and let go of the bytes; raises as `merge` does."""
    sizes = [it.uploaded_bytes or 0 for it in group]
    ends = list(accumulate(sizes))
    body = memoryview(bytearray(ends[-1]))  # each part is let go of as soon as it is in its place
    places = [body[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    await all_of(
        [partial(_read, store, key(it), to) for it, to in zip(group, places, strict=True)], AT_ONCE
    )
    merged = _merged(group, uuid, now, len(body))
    # No other write is ever to this key, so a repeated one changes nothing.
    await store.put(key(merged), body)
    return merged


async def _read(store: Store, key: str, to: memoryview) -> None:
    size = len(to)
    try:
        found = await store.get_range(key, 0, size + 1)
    except NotFound:
        raise Missing(f"{key} is gone; its session is not merged") from None
    if len(found.body) != size:
        raise Missing(f"{key} is not what meta.json says of it; its session is not merged")
    to[:] = found.body


def _merged(group: Sequence[Part], uuid: str, now: str, size: int) -> Part:
    first, last = group[0].cursor_range, group[-1].cursor_range
    counts: dict[str, int] = {}
    for part in group:
        counts = added(counts, part.redactions or {})
    return Part(
        seq=group[0].seq,
        uuid=uuid,
        cursor_range=_range(first, last),
        source_bytes=sum(it.source_bytes or 0 for it in group),
        uploaded_bytes=size,
        redactions=counts,
        uploaded_at=now,
        compacted_from=sum(it.compacted_from or 1 for it in group),
        generation=group[0].generation,
    )


def _range(first: Any, last: Any) -> Any:
    both = isinstance(first, list) and isinstance(last, list) and len(first) == len(last) == 2
    return [first[0], last[1]] if both else None


def part_key(prefix: str, part: Part) -> str:
    """Return the key of a part."""
    return f"{prefix}{keys.PartLeaf(part.seq, part.uuid)}"
