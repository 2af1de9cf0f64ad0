"""One line seen as a reader would see it: escapes decoded, level by level, and colours taken out.

JSON in JSON in JSON is a text whose escapes were escaped, so decoding the whole line again and
again shows every level, wherever in it the JSON lies and whether or not it parses. Every view can
say which bytes of the line a piece of it came from; so what is found is replaced there, and no
other byte changes. Nothing recurses, so depth costs nothing but another view.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

DEPTH: Final = 8  # levels of escapes; deeper ones are scanned as they are

Span = tuple[int, int]

# Those by which a code unit or a byte is written: JSON's, and Python's, JavaScript's and shells'.
_CODED: Final = rb"""
        u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}
      | u[0-9a-fA-F]{4}
      | x[0-9a-fA-F]{2}
      | 033
      | e(?=\[)
"""
_RARE: Final = re.compile(rb"\\(?:" + _CODED + rb")", re.VERBOSE)
_ESCAPE: Final = re.compile(rb"""\\(?:["\\/bfnrt]|""" + _CODED + rb")", re.VERBOSE)
_SIMPLE: Final = {
    b"\\n": b"\n",
    b'\\"': b'"',
    b"\\t": b"\t",
    b"\\r": b"\r",
    b"\\/": b"/",
    b"\\b": b"\b",
    b"\\f": b"\f",
}
_NAMED: Final = {**_SIMPLE, b"\\\\": b"\\"}
# No byte of UTF-8: one of them stands for a decoded backslash while the others are decoded.
_FOREIGN: Final = tuple(bytes([byte]) for byte in range(0xFF, 0xF7, -1))
# ECMA-48 control sequences and strings, and how `cat -v` shows the first.
_COLOUR: Final = re.compile(
    rb"""
      \x1b\[ [0-?]{0,64} [ -/]{0,8} [@-~]
    | \x1b\] [^\x07\x1b]{0,2048} (?:\x07|\x1b\\)
    | \x1b [@-Z^_]
    | \^\[\[ [0-9;]{0,32} [A-Za-z]
    """,
    re.VERBOSE,
)
# What can hide a plain character from a search in the line as it is.
_HIDING: Final = re.compile(rb"\\u00[0-7]|\\x[0-7]|\\033|\\e\[|\\/|\x1b|\^\[\[")


@final
@dataclass(frozen=True, slots=True)
class View:
    """A text and how it was made of another; the line itself was made of none."""

    text: bytes
    parent: "View | None" = None
    step: "Step | None" = None

    def lift(self, spans: Sequence[Span]) -> list[Span]:
        """Return where in the line the bytes of `spans` of this view came from."""
        view = self
        lifted = list(spans)
        while view.parent is not None and view.step is not None:
            lifted = view.step.lift(view.parent.text, lifted)
            view = view.parent
        return lifted


@final
@dataclass(frozen=True, slots=True)
class Step:
    """One way to make a text of another, and back."""

    pattern: re.Pattern[bytes]
    replacement: Callable[[bytes], bytes]

    def lift(self, parent: bytes, spans: Sequence[Span]) -> list[Span]:
        """Return the spans of `parent` that `spans` of what was made of it came from."""
        points = sorted({point for start, end in spans for point in (start, end - 1)})
        origin = dict(zip(points, self._origins(parent, points), strict=True))
        return [(origin[start][0], origin[end - 1][1]) for start, end in spans]

    def _origins(self, parent: bytes, points: Sequence[int]) -> Iterator[Span]:
        """Return for each of the sorted `points` the span of `parent` that became its byte."""
        waiting = iter(points)
        point = next(waiting, None)
        before = after = 0  # how far we are in the parent, and in what was made of it
        for match in self.pattern.finditer(parent):
            gap = match.start() - before
            while point is not None and point < after + gap:
                yield before + point - after, before + point - after + 1
                point = next(waiting, None)
            after += gap
            size = len(self.replacement(match[0]))
            while point is not None and point < after + size:
                yield match.span()
                point = next(waiting, None)
            if point is None:
                return
            after += size
            before = match.end()
        while point is not None:
            yield before + point - after, before + point - after + 1
            point = next(waiting, None)


def views(line: bytes) -> list[View]:
    """Return the line and what it decodes to, each level once."""
    made = [view := View(line)]
    for _ in range(DEPTH):
        if b"\x1b" in view.text or b"^[[" in view.text:
            plain = _COLOUR.sub(b"", view.text)
            if plain != view.text:
                # The coloured one stays among the views: taking a colour out can glue words.
                made.append(view := View(plain, view, _UNCOLOUR))
        decoded = unescape(view.text)
        if decoded == view.text:
            break
        made.append(view := View(decoded, view, UNESCAPE))
    return made


def hides(line: bytes) -> bool:
    """Tell whether plain characters may be written in `line` in another way than as themselves."""
    return _HIDING.search(line) is not None


def unescape(text: bytes) -> bytes:
    """Return `text` with one level of escapes decoded; what is none stays."""
    if b"\\" not in text:
        return text
    mark = next((byte for byte in _FOREIGN if byte not in text), None)
    if mark is None:  # not UTF-8 at all
        return _ESCAPE.sub(lambda match: _decoded(match[0]), text)
    # Pairs of backslashes first, from the left, as a decoder reads them. This is some 30 times as
    # fast as a pattern with a function, which matters as most lines are mostly text.
    text = text.replace(b"\\\\", mark)
    for escape, plain in _SIMPLE.items():
        text = text.replace(escape, plain)
    if b"\\" in text:
        text = _RARE.sub(lambda match: _decoded(match[0]), text)
    return text.replace(mark, b"\\")


def splits_escape(text: bytes, position: int) -> bool:
    """Tell whether a cut at `position` would go through an escape."""
    back = text.rfind(b"\\", max(0, position - 11), position)
    if back < 0:
        return False
    before = text[max(0, back - 4096) : back + 1]
    # Backslashes pair from the left, so the last of an odd run begins an escape of its own.
    odd = (len(before) - len(before.rstrip(b"\\"))) % 2
    match = _ESCAPE.match(text, back if odd else back - 1)
    return match is not None and match.end() > position


def _decoded(escape: bytes) -> bytes:
    plain = _NAMED.get(escape)
    if plain is not None:
        return plain
    match escape[1:2]:
        case b"u":
            units = b"".join(bytes.fromhex(it.decode()) for it in escape.split(b"\\u")[1:])
            return units.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")
        case b"x":
            return bytes.fromhex(escape[2:].decode())
        case _:
            return b"\x1b"


UNESCAPE: Final = Step(_ESCAPE, _decoded)
_UNCOLOUR: Final = Step(_COLOUR, lambda _: b"")
