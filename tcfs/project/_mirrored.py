"""What a mirror makes of a session's meta: where to go on, and whether that can be trusted.

Pure: no requests. The reference rewrites meta whole and without a condition, from what it read a
while ago, and merges whatever parts are listed. So nothing it left is believed that does not add
up; where it does not, the source is mirrored anew, as another generation.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, Final, final

from tcfs.wire.sessions import Owner, Part, SessionMeta

FIRST: Final = 1  # generation


@final
@dataclass(frozen=True, slots=True)
class Begun:
    """Where the reference's mirror stopped, in whatever its harness counts in."""

    position: int


@final
@dataclass(frozen=True, slots=True)
class Standing:
    """Meta as the next write of it begins from, and where the source is read on.

    `cursor` is the source's own, or None for its beginning. `anew`: the next lines begin another
    generation.
    """

    meta: SessionMeta
    cursor: Any | Begun
    anew: bool


def standing(meta: SessionMeta) -> Standing:
    """Return where to go on from meta, of which nothing is known but what it says."""
    if not meta.parts:
        return Standing(meta, None, anew=False)
    if _is_sound(meta):
        return Standing(meta, meta.cursor, anew=False)
    begun = _begun(meta)
    return Standing(meta, begun, anew=begun is None)


def standing_after(meta: SessionMeta, known: SessionMeta) -> Standing:
    """Return where to go on from `meta`, which came after, or instead of, `known`, all of it ours.

    Parts that surely belonged, and that another tool left out as it rewrote meta, are added again.
    """
    theirs, ours = Owner.of(meta.owner), Owner.of(known.owner)
    same_owner = theirs is not None and ours is not None and theirs.id == ours.id
    if not same_owner or meta.parts is None or generation_of(meta) != generation_of(known):
        return standing(meta)
    left_out = _left_out(meta.parts, known.parts or ())
    if left_out is None:
        return standing(meta)
    mended = replace(
        meta,
        parts=meta.parts + left_out,
        cursor=known.cursor,
        nonce=known.nonce,
        total_source_bytes=known.total_source_bytes,
        total_uploaded_bytes=known.total_uploaded_bytes,
        redaction_counts=known.redaction_counts,
    )
    return standing(mended)


def _left_out(there: tuple[Part, ...], known: tuple[Part, ...]) -> tuple[Part, ...] | None:
    """Return the last parts of `known` whose bytes are not in `there`; None if nobody can tell.

    Those of `there` hold the bytes of the first of `known`, merged or not: their lengths say so.
    """
    if len({it.generation for it in known}) > 1:
        return None
    ordered = sorted(known, key=lambda it: it.seq)
    ends = [0, *accumulate(it.uploaded_bytes or 0 for it in ordered)]
    length = uploaded(there)
    if length not in ends:
        return None
    rest = tuple(ordered[ends.index(length) :])
    named = {(it.seq, it.uuid) for it in there}
    return None if any((it.seq, it.uuid) in named for it in rest) else rest


def _is_sound(meta: SessionMeta) -> bool:
    """Tell whether the cursor is that of the parts: every write of ours leaves it so."""
    if meta.nonce is None or meta.cursor is None or not _adds_up(meta):
        return False
    # What the reference merged is of all generations: it takes what is listed.
    merged = any(it.generation is None for it in meta.parts or ())
    return not merged or generation_of(meta) == FIRST


def _begun(meta: SessionMeta) -> Begun | None:
    """Return where a session stands that only the reference ever mirrored."""
    parts = meta.parts or ()
    ours = meta.cursor is not None or any(it.generation is not None for it in parts)
    if ours or not _adds_up(meta):
        return None
    ranges = [it.cursor_range for it in sorted(parts, key=lambda it: it.seq)]
    if None in ranges[1:]:
        return None
    known = [it for it in ranges if it is not None]
    if not all(_is_range(it) for it in known) or not known:
        return None
    # Its mirror begins at 0 when it lost its place, and then all is there twice.
    if any(one[1] != next[0] for one, next in pairwise(known)):
        return None
    return Begun(known[-1][1]) if ranges[0] is None or known[0][0] == 0 else None


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(it) is int for it in value)


def _adds_up(meta: SessionMeta) -> bool:
    return uploaded(meta.parts or ()) == meta.total_uploaded_bytes


def uploaded(parts: Iterable[Part]) -> int:
    """Return the bytes of some parts."""
    return sum(it.uploaded_bytes or 0 for it in parts)


def generation_of(meta: SessionMeta) -> int:
    """Return the newest generation of a session."""
    named = [it.generation for it in meta.parts or () if it.generation is not None]
    return max([meta.generation or FIRST, *named])


def next_seq(meta: SessionMeta) -> int:
    """Return the number of the next part."""
    return max((it.seq + 1 for it in meta.parts or ()), default=0)


def with_part(
    at: Standing, part: Part, *, cursor: Any, restarted: bool, counts: dict[str, int]
) -> SessionMeta:
    """Return meta with one more part, whose generation is given here."""
    meta, generation = at.meta, generation_of(at.meta)
    # What the reference wrote has none, which would mean: of the newest.
    before = tuple(
        it if it.generation is not None else replace(it, generation=generation)
        for it in meta.parts or ()
    )
    if before and (restarted or at.anew):
        generation += 1
    after = (*before, replace(part, generation=generation))
    return replace(
        meta,
        parts=after,
        cursor=cursor,
        generation=generation,
        total_source_bytes=meta.total_source_bytes + (part.source_bytes or 0),
        total_uploaded_bytes=uploaded(after),
        redaction_counts=added(meta.redaction_counts, counts),
    )


def added(one: Any, other: Any) -> dict[str, int]:
    """Return the sums of two counts by name."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
