"""Private keys in armour: whole, cut short at either end, and spread over strings and lines.

A key is not one match but a run of lines of base64 after a BEGIN or before an END, with whatever a
tool puts between them: escapes, quotes and commas, line numbers, the marks of a diff. Each line is
a piece of its own, so no piece reaches over the end of a JSON string.
"""

import re
from collections.abc import Iterator
from typing import Final

from tcfs.mirror._views import Span

MARK: Final = b"PRIVATE KEY"
PATIENCE: Final = 64  # lines that a key may go on in after the string it began in has ended
_REACH: Final = 64 << 10  # bytes, more than any key's

_KIND: Final = rb"[ ](?:[A-Z0-9]{2,12}[ ]){0,4}PRIVATE[ ]KEY(?:[ ]BLOCK)?[ ]?-{4,5}"
_BEGIN: Final = re.compile(rb"-{4,5}[ ]?BEGIN" + _KIND)
_END: Final = re.compile(rb"-{4,5}[ ]?END" + _KIND)
_GAP: Final = rb"""(?:\\{1,64}["'nrt]|[^A-Za-z0-9+/=\\]){0,40}"""
_NUMBER: Final = rb"(?:[0-9]{1,6}(?:\\{1,64}t|[^A-Za-z0-9+/=\\\n]){1,8})?"
_BETWEEN: Final = re.compile(_GAP + _NUMBER)
_HEADER: Final = re.compile(_GAP + rb"""[A-Z][A-Za-z-]{2,20}:[ ][^\n\\"']{1,120}""")
_PIECE: Final = re.compile(rb"[A-Za-z0-9+/]{1,16384}={0,2}|=[A-Za-z0-9+/]{4}")
_STRING_ENDS: Final = re.compile(rb"""(?:\\{1,64}[nrt]|\s){0,8}(?:\\{0,64}["']|\Z)""")
_GOES_ON: Final = re.compile(rb"""(?:^|["'\n]|\\[nr])[ \t]{0,16}([A-Za-z0-9+/]{24,}={0,2})""")
_ALONE: Final = re.compile(rb"\s*([A-Za-z0-9+/]+={0,2})\s*")


def find(text: bytes, open_: bool) -> Iterator[Span]:
    """Return the pieces of keys in `text`, their BEGIN and END lines too, in no order.

    `open_`: a key that began before this text goes on in it.
    """
    if open_:
        yield from _continued(text, 0, len(text))
    begins = list(_BEGIN.finditer(text))
    # Each is looked at up to the next one only, so that a text of nothing else takes linear time.
    limits = (*(begin.start() for begin in begins[1:]), len(text))
    for begin, limit in zip(begins, limits, strict=False):  # no BEGIN, one limit
        pieces, stop = _body(text, begin.end())
        if pieces:
            yield begin.span()
            yield from pieces
        if _is_open(text, stop, limit):
            yield from _continued(text, stop, limit)
    floor = 0
    for end in _END.finditer(text):
        pieces = _before(text, max(floor, end.start() - _REACH), end.start())
        floor = end.end()
        if pieces:
            yield end.span()
            yield from pieces


def left_open(line: bytes, patience: int) -> int:
    """Return for how many lines after this one a key may go on, given that number before it.

    Only the markers of the line as it is count, so what decodes it does not matter here.
    """
    begun, ended = line.rfind(b"BEGIN"), line.rfind(b"END")
    if MARK in line and begun >= 0 and begun > ended - 2:  # the END in BEGIN's place is none
        for begin in _BEGIN.finditer(line, max(0, begun - 8)):
            return PATIENCE if _is_open(line, _body(line, begin.end())[1], len(line)) else 0
    if MARK in line and _END.search(line) is not None:
        return 0
    if patience and not line.lstrip().startswith((b"{", b"[")):
        # Not JSON: the key itself lies over lines, and ends where they are no longer base64.
        return PATIENCE if not line.strip() or _continues(line) else 0
    return max(0, patience - 1)


def _continues(line: bytes) -> bool:
    return _ALONE.fullmatch(line) is not None or _HEADER.match(line) is not None


def _body(text: bytes, position: int) -> tuple[list[Span], int]:
    """Return the pieces that follow a BEGIN, and where what follows is no longer the key."""
    pieces: list[Span] = []
    limit = position + _REACH
    while position < limit:
        header = _HEADER.match(text, position)
        if header is not None and len(pieces) < 2:
            position = header.end()
            continue
        between = _BETWEEN.match(text, position)
        start = between.end() if between else position
        piece = _PIECE.match(text, start)
        if piece is None or not _belongs(text, piece, first=not pieces):
            break
        pieces.append(piece.span())
        position = piece.end()
    return pieces, position


def _belongs(text: bytes, piece: re.Match[bytes], *, first: bool) -> bool:
    """Tell whether base64 that follows a BEGIN or another piece is one, and no word of a text."""
    size = len(piece[0])
    if size >= 48 or (size >= 16 and not first):
        return True
    if size >= 8 and _is_mixed(piece[0]):
        return True
    if first:
        return False
    after = piece.end()
    between = _BETWEEN.match(text, after)
    ends = between is not None and _END.match(text, between.end() - _dashes(between[0])) is not None
    return ends or _STRING_ENDS.match(text, after) is not None


def _before(text: bytes, floor: int, position: int) -> list[Span]:
    """Return the pieces that end at an END, none of them before `floor`."""
    pieces: list[Span] = []
    found = list(_PIECE.finditer(text, floor, position))
    for piece in reversed(found):
        start, end = piece.span()
        # The letter of an escape is none of the key's: `\\nMIIE`.
        back = start
        while back > floor and text[back - 1] == 0x5C:
            back -= 1
        if back < start and text[start : start + 1] in b"nrt":
            start += 1
        if not _BETWEEN.fullmatch(text, end, position) or start == end:
            break
        if end - start < 16 and pieces and not _is_mixed(text[start:end]):
            break
        pieces.append((start, end))
        position = back
    # The last line of a key may be short; a text that only names the END has no other.
    return (
        pieces
        if any(end - start >= 24 and _is_mixed(text[start:end]) for start, end in pieces)
        else []
    )


def _is_open(text: bytes, position: int, limit: int) -> bool:
    """Tell whether the string ends where the key does not."""
    return _STRING_ENDS.match(text, position) is not None and not _END.search(text, position, limit)


def _continued(text: bytes, position: int, limit: int) -> Iterator[Span]:
    alone = _ALONE.fullmatch(text)
    if alone is not None:
        yield alone.span(1)
        return
    end = _END.search(text, position, limit)
    for piece in _GOES_ON.finditer(text, position, end.start() if end else limit):
        if _is_mixed(piece[1]):
            yield piece.span(1)


def _is_mixed(piece: bytes) -> bool:
    """Tell whether there are capitals, small letters and digits: no word and no digest in hex."""
    return piece.lower() != piece != piece.upper() and any(0x30 <= byte <= 0x39 for byte in piece)


def _dashes(between: bytes) -> int:
    return len(between) - len(between.rstrip(b"- "))
