"""Values that are secret by their name: `password: …`, `"token": "…"`, `--api-key …`.

In a text the name is not enough: programs are full of `token = self.next()`. There only what looks
random is taken; in a file of variables, and under a key of real JSON, less is asked for.
"""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from tcfs.mirror._chance import is_random, is_real, is_stand_in
from tcfs.mirror._views import DEPTH, UNESCAPE, Span, unescape

# What to search for in lower case; the pattern then says whether it is a name.
_STEMS: Final = (
    b"passw", b"passphrase", b"secret", b"token", b"_pass", b"_pwd", b"api_key", b"apikey",
    b"api-key", b"access_key", b"access-key", b"accesskey",
)  # fmt: skip
_WORD: Final = rb"""(?i:
    (?P<password>passw(?:or)?d|passphrase|_pass|_pwd)
  | (?P<secret>secret(?:[ _-]?access)?(?:[ _-]?key)?|access[_-]?key)
  | (?P<token>token)
  | (?P<api_key>api[_-]?key)
)(?![A-Za-z])"""
_LOOSE: Final = re.compile(_WORD + rb"""(?:[^A-Za-z0-9_=:>]{0,64}[=:>]|[ ])""", re.VERBOSE)
_ASSIGNED: Final = re.compile(
    _WORD
    + rb"""
    (?:[ ]\[[^\]\n]{0,24}\])?                       # `aws configure` shows what there was
    ["'`\])]{0,3}
    (?P<sign>[ \t]{0,8}(?:=>|:=|=(?!=)|:|>)[ \t]{0,8}|[ ]{1,2})
    (?:[bru]?["'`](?P<quoted>[^"'`\\\s]{6,2048})
      |(?P<bare>[^\s"'`\\,;<>(){}\[\]&|]{6,2048})(?![(\[{]))
    """,
    re.VERBOSE,
)
_KEY: Final = re.compile(rb".{0,128}?" + _WORD + rb"[0-9_]{0,3}", re.VERBOSE | re.DOTALL)
_MEMBER: Final = re.compile(rb'"[ \t\r\n]{0,64}:[ \t\r\n]{0,64}"')
_VARIABLE: Final = re.compile(rb"(?:^|[\s;\"'])(?:export[ ])?[A-Z][A-Z0-9_]{0,63}$")
# Tokens that are nobody's secret.
_HARMLESS: Final = re.compile(
    rb"""(?i:next|page|pagination|continuation|lock|change|idempotency|request|client|sync|start
        |cancell?ation|publickey|starting|output|input|eos|bos|pad|unk|sep|cls|mask)[_-]?$""",
    re.VERBOSE,
)
# `AWS::IAM::AccessKey` is a type, and `arn:aws:secretsmanager:eu-west-1:1:secret:name` a name.
_ANOTHERS: Final = re.compile(rb"::[A-Za-z0-9_]{0,64}$|(?<=[A-Za-z0-9*]):$")
_OPTION: Final = re.compile(rb"--[a-z][a-z-]{0,31}$|--$")
_AWS_SECRET: Final = re.compile(rb"(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9/+]{40}")
_SYMBOL: Final = re.compile(rb"[0-9!@#^*?~%]")


@final
@dataclass(frozen=True, slots=True)
class Named:
    """A value that its name gives away: where it is, what it is, and by which rule."""

    span: Span
    value: bytes
    rule: str
    sure: bool = False  # nothing else looks like it


def may_hold(line: bytes) -> bool:
    """Tell whether `line`, as it is, shows a name with a value; false only if no view has one."""
    return any(
        _LOOSE.match(line, position) is not None or line[position - 2 : position] == b"--"
        for position in _stems(line)
    )


def find(text: bytes) -> Iterator[Named]:
    """Return what is assigned to such names in a text."""
    for position in _stems(text):
        match = _ASSIGNED.match(text, position)
        if match is None:
            continue
        group = "quoted" if match["quoted"] is not None else "bare"
        value = match[group].rstrip(b".:")
        sign = match["sign"]
        before = text[max(0, position - 72) : position]
        if _is_harmless(before, match) or not (sign.strip() or _OPTION.search(before)):
            continue
        is_variable = sign == b"=" and _VARIABLE.search(before + text[position : position + 1])
        if (is_random(value) and len(value) >= 8) or (is_variable and _is_weak_secret(value)):
            start = match.start(group)
            yield Named((start, start + len(value)), value, _rule(match))
        elif match["secret"] is not None and _AWS_SECRET.fullmatch(value) and is_real(value):
            yield Named(match.span(group), value, "aws-secret", sure=True)


def find_members(text: bytes, depth: int = 0) -> Iterator[Named]:
    """Return the values under such keys where `text` is JSON, and in its strings that are.

    A text counts as JSON by its brackets; no parser is asked, so depth and size do not matter.
    """
    stripped = text.strip()
    if stripped[:1] not in (b"{", b"[") or stripped[-1:] not in (b"}", b"]"):
        return
    # Same length, and every quote that is left begins or ends a string.
    quotes = text.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    done = 0
    for position in _stems(text):
        if position < done:
            continue
        start = quotes.rfind(b'"', 0, position) + 1
        end = quotes.find(b'"', position)
        if end < 0:
            return
        done = end
        content = text[start:end]
        if content[:1] in (b"{", b"[") or content[:64].lstrip(b"\\nrt ")[:1] in (b"{", b"["):
            yield from _inside(content, start, depth)
            continue
        member = _MEMBER.match(quotes, end)
        name = _KEY.fullmatch(content) if member and len(content) <= 160 else None
        if member is None or name is None:
            continue
        value_end = quotes.find(b'"', member.end())
        done = value_end if value_end >= 0 else len(text)
        value = unescape(text[member.end() : done])
        if _is_member_secret(value, name):
            yield Named((member.end(), done), value, _rule(name))
        elif value[:1] in (b"{", b"["):
            yield from _inside(text[member.end() : done], member.end(), depth)


def _inside(content: bytes, offset: int, depth: int) -> Iterator[Named]:
    if depth >= DEPTH:
        return
    found = list(find_members(unescape(content), depth + 1))
    lifted = UNESCAPE.lift(content, [it.span for it in found])
    for it, (start, end) in zip(found, lifted, strict=True):
        yield Named((offset + start, offset + end), it.value, it.rule)


def _stems(text: bytes) -> Iterator[int]:
    """Return where names may be, in order."""
    lower = text.lower()
    return heapq.merge(*(_places(lower, stem) for stem in _STEMS))


def _places(text: bytes, wanted: bytes) -> Iterator[int]:
    position = text.find(wanted)
    while position >= 0:
        yield position
        position = text.find(wanted, position + len(wanted))


def _rule(match: re.Match[bytes]) -> str:
    for name in ("password", "secret", "token"):
        if match[name] is not None:
            return name
    return "api-key"


def _is_harmless(before: bytes, name: re.Match[bytes]) -> bool:
    return (name["token"] is not None and _HARMLESS.search(before) is not None) or _ANOTHERS.search(
        before
    ) is not None


def _is_weak_secret(value: bytes) -> bool:
    """Tell whether a variable's value is a secret that a person may have chosen."""
    return (
        _SYMBOL.search(value) is not None
        and value.lower() != value.upper()
        and not value.startswith((b"/", b"./", b"~", b"http"))
        and not is_stand_in(value)
    )


def _is_member_secret(value: bytes, name: re.Match[bytes]) -> bool:
    """Tell the same of a value in JSON: `"token": "the"` is what language models write."""
    least = 8 if name["token"] is not None else 6
    if not least <= len(value) <= 4096 or len(value.split()) != 1 or is_stand_in(value):
        return False
    word = max(name.start(group) for group in ("password", "secret", "token", "api_key"))
    if _is_harmless(name.string[:word], name):
        return False
    return is_random(value) or _is_weak_secret(value)
