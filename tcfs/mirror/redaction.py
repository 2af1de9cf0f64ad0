"""Takes secrets out of transcripts before they leave the machine, line by line.

A line is seen as it is and as it decodes; what the rules find in any of these views is replaced by
`[REDACTED:<rule>]` where it stands in the line, and no other byte changes. This room knows nothing
of where lines come from or go to. Everything takes time and memory in proportion to the line.
"""

import base64
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final
from urllib.parse import quote

from tcfs.mirror import _named, _pem
from tcfs.mirror._chance import is_random
from tcfs.mirror._rules import RULES, Rule
from tcfs.mirror._seen import Seen
from tcfs.mirror._views import Span, View, hides, splits_escape, views

SLICE: Final = 256 << 10  # bytes for one visit to a worker thread: `re` holds the GIL meanwhile
SHORTEST_LITERAL: Final = 4  # bytes; what is shorter is no secret, and stands everywhere

_Starts = Sequence[tuple[bytes, int]]  # and the rule's place in the table

_STARTS: Final = tuple((start, place) for place, rule in enumerate(RULES) for start in rule.starts)
_KEY_LINES: Final = 40  # bytes; shorter pieces of a key are too short to be known again
_JOINED: Final = re.compile(rb"(?:\\{1,64}[nrt]|\s)*")
_OPEN: Final = "open:"  # what stands for a key that goes on, among the digests

# Which rule gives its name to what several found; those of the table lie between.
_LITERAL, _PEM, _NAMED, _SEEN = -1, 1000, 1001, 1002


@final
@dataclass(frozen=True, slots=True, order=True)
class _Found:
    span: Span
    order: int
    rule: str


@final
class Redactor:
    """Redacts one session. Calls may come from any thread, one at a time and in the lines' order.

    `literals` are always replaced, with their forms in URLs and base64: the mount's credentials.
    `seen` is what `digests` gave when the session was last redacted, with the same `key`; without
    a key of the caller's the digests are of no use to another process.
    """

    __slots__ = ("_counts", "_literals", "_patience", "_seen")

    def __init__(
        self, *, literals: Iterable[str] = (), seen: Iterable[str] = (), key: bytes = b""
    ) -> None:
        self._literals: dict[bytes, None] = {}  # in each form
        self._seen = Seen(key or secrets.token_bytes(32))
        self._counts: Counter[str] = Counter()
        self._patience = 0  # lines for which a private key that was cut may still go on
        self.remember(seen)
        self.replace_always(literals)

    def replace_always(self, literals: Iterable[str]) -> None:
        """Take more literals: credentials are refreshed. Those of before stay."""
        for it in literals:
            # Half a character (an environment may have one) is in no line either.
            literal = it.encode(errors="surrogateescape")
            if literal not in self._literals:
                self._literals |= dict.fromkeys(_forms(literal))

    @property
    def counts(self) -> Mapping[str, int]:
        """How many replacements there were since this was made, by rule."""
        return MappingProxyType(self._counts)

    def digests(self) -> tuple[str, ...]:
        """Return what another `Redactor` with the same key needs to go on; it holds no secret."""
        going_on = (f"{_OPEN}{self._patience}",) if self._patience else ()
        return self._seen.digests() + going_on

    def remember(self, digests: Iterable[str]) -> None:
        """Take what `digests` gave; raises ValueError for what is none."""
        known = []
        for digest in digests:
            if digest.startswith(_OPEN):
                self._patience = int(digest.removeprefix(_OPEN))
            else:
                known.append(digest)
        self._seen.remember(known)

    def lines(self, lines: Iterable[bytes]) -> list[bytes]:
        """Return the lines, redacted."""
        return [self.line(it) for it in lines]

    def line(self, raw: bytes) -> bytes:
        """Return a whole line, with its newline or without, redacted."""
        found = _merged(raw, self._find(raw))
        if self._patience or _pem.MARK in raw:
            self._patience = _pem.left_open(raw, self._patience)
        if not found:
            return raw
        parts: list[bytes] = []
        done = 0
        for it in found:
            start, end = it.span
            parts += (raw[done:start], b"[REDACTED:%s]" % it.rule.encode())
            done = end
            self._counts[it.rule] += 1
        return b"".join((*parts, raw[done:]))

    def _find(self, raw: bytes) -> list[_Found]:
        hidden = hides(raw)
        starts = [it for it in _STARTS if it[0] in raw]
        if not (
            starts
            or hidden
            or self._patience
            or _pem.MARK in raw
            or self._has_literal(raw)
            or _named.may_hold(raw)
            or self._seen.may_be_in(raw)
        ):
            return []
        seen_as = views(raw)
        # What begins a rule needs no escape, so it shows in the line as it is, if nothing hides.
        found = [list(self._first(it.text, _STARTS if hidden else starts)) for it in seen_as]
        found[0] += self._members(raw)
        for view, its in zip(seen_as, found, strict=True):
            its += [_Found(span, _SEEN, rule) for span, rule in self._seen.find(view.text)]
        return [
            _Found(span, it.order, it.rule)
            for view, its in zip(seen_as, found, strict=True)
            for it, span in _lifted(view, its)
        ]

    def _first(self, text: bytes, starts: _Starts) -> Iterator[_Found]:
        """Return what a view shows by itself, and remember what would be known again."""
        for literal in self._literals:
            for span in _all(text, literal):
                self._seen.add(literal, "credential")  # though it be another by the next start
                yield _Found(span, _LITERAL, "credential")
        for start, place in starts:
            rule = RULES[place]
            for span in _matches(text, start, rule):
                self._remember(text[slice(*span)], rule.name, sure=rule.check is None)
                yield _Found(span, place, rule.name)
        if _pem.MARK in text or self._patience:
            for start_, end in _pem.find(text, self._patience > 0):
                if end - start_ >= _KEY_LINES and not text.startswith(b"--", start_):
                    self._remember(text[start_:end], "private-key", sure=True)
                yield _Found((start_, end), _PEM, "private-key")
        for named in _named.find(text):
            self._remember(named.value, named.rule, sure=named.sure)
            yield _Found(named.span, _NAMED, named.rule)

    def _members(self, raw: bytes) -> Iterator[_Found]:
        for named in _named.find_members(raw):
            self._remember(named.value, named.rule, sure=named.sure)
            yield _Found(named.span, _NAMED, named.rule)

    def _remember(self, secret: bytes, rule: str, *, sure: bool) -> None:
        # What a person may have chosen can be a word: replaced wherever it shows it would do harm.
        if sure or is_random(secret):
            self._seen.add(secret, rule)

    def _has_literal(self, raw: bytes) -> bool:
        return any(it in raw or (b"\\" in raw and not it.isalnum()) for it in self._literals)


def slices(lines: Iterable[bytes], size: int = SLICE) -> Iterator[list[bytes]]:
    """Return the lines in groups of at most `size` bytes, or one line: work for one thread visit.

    `for some in slices(lines): done += await in_thread(redactor.lines, some)` lets others run.
    """
    group: list[bytes] = []
    room = size
    for line in lines:
        if group and len(line) > room:
            yield group
            group, room = [], size
        group.append(line)
        room -= len(line)
    if group:
        yield group


def _matches(text: bytes, start: bytes, rule: Rule) -> Iterator[Span]:
    position = text.find(start)
    while position >= 0:
        after = position + len(start)
        match = rule.pattern.match(text, position)
        if match is not None:
            group = 1 if match.re.groups else 0
            if rule.check is None or rule.check(match[group]):
                yield match.span(group)
                after = match.end(group)
        position = text.find(start, after)


def _all(text: bytes, wanted: bytes) -> Iterator[Span]:
    position = text.find(wanted)
    while position >= 0:
        yield position, position + len(wanted)
        position = text.find(wanted, position + len(wanted))


def _lifted(view: View, found: Iterable[_Found]) -> Iterator[tuple[_Found, Span]]:
    """Return where in the line that is which a view shows.

    What would cut an escape in two is none: the `n` of a line's end, before `pm_` and so on. The
    next view has it right.
    """
    whole = [
        it for it in found if not any(splits_escape(view.text, position) for position in it.span)
    ]
    yield from zip(whole, view.lift([it.span for it in whole]), strict=True)


def _merged(raw: bytes, found: Iterable[_Found]) -> list[_Found]:
    """Return what is to be replaced: no two overlap, and the lines of a key are one."""
    merged: list[_Found] = []
    for it in sorted(found):
        last = merged[-1] if merged else None
        if last is None or not _touch(raw, last, it):
            merged.append(it)
            continue
        first = min(last, it, key=lambda each: each.order)
        span = (last.span[0], max(last.span[1], it.span[1]))
        merged[-1] = _Found(span, first.order, first.rule)
    return merged


def _touch(raw: bytes, last: _Found, it: _Found) -> bool:
    if it.span[0] < last.span[1]:
        return True
    both = last.rule == it.rule == "private-key"
    return both and _JOINED.fullmatch(raw, last.span[1], it.span[0]) is not None


def _forms(literal: bytes) -> Iterator[bytes]:
    """Return how a literal may be written: as it is, in a URL, and in base64 at any place."""
    if len(literal) < SHORTEST_LITERAL:
        return
    yield literal
    yield quote(literal, safe="").encode()
    if len(literal) < 2 * SHORTEST_LITERAL:
        return
    for before in range(3):
        # Only those characters that are of nothing but the literal's own bits.
        coded = base64.b64encode(bytes(before) + literal)
        first, last = (before * 8 + 5) // 6, (before + len(literal)) * 8 // 6
        yield coded[first:last]
