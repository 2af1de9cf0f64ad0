"""Whether a value looks as if chance had made it, as a key, and not a person or a compiler."""

import re
from typing import Final

_RUN: Final = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^A-Za-z0-9]")
_SEPARATOR: Final = re.compile(rb"[_.\-/]")
_HEX: Final = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
# What documentation and templates put where a secret goes.
_STAND_IN: Final = re.compile(
    rb"""
      [$%<{&*].* | .*(?:\$\{|\{\{|\$\(|%\().*
    | .*(?:example|placeholder|changeme|change[_-]me|redacted|dummy|fake|sample|your[_-]?|insert
          |replace|foobar|xxxx|\*\*\*|\.\.\.|1234567|abcdef|qwerty|\xe2\x80\xa6).*
    | (?:my|the|some|test|a)?[_-]?(?:password|passwd|passw|pass|pwd|secret|token|api[_-]?key|key
          |user|username|string|value|none|null|true|false|foo|bar|baz|test|hidden|required
          |optional)(?:[_-]?(?:here|value|\d{1,3}))?
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_DIGIT: Final = re.compile(rb"[0-9]")
_SHORT: Final = 12  # bytes
_LONG: Final = 24  # bytes
_HEAD: Final = 512  # bytes of a value that are looked at


def is_stand_in(value: bytes) -> bool:
    """Tell whether `value` only says where a secret would go."""
    value = value[:_HEAD]
    return len(set(value)) < 4 or _STAND_IN.fullmatch(value) is not None


def is_real(value: bytes) -> bool:
    """Tell whether `value` may be a secret that somebody uses."""
    return not is_stand_in(value)


def is_hex(value: bytes) -> bool:
    """Tell whether `value` is written in hexadecimal digits of one case, as digests are."""
    return _HEX.fullmatch(value) is not None


def is_varied(value: bytes) -> bool:
    """Tell whether `value` has a digit and is real: enough to ask where a prefix says the rest."""
    return _DIGIT.search(value) is not None and not is_stand_in(value)


def is_random(value: bytes) -> bool:
    """Tell whether `value` changes between kinds of characters as often as chance would have it.

    A run of one kind, or a word with its capital, is 2.1 long on average where letters and digits
    are drawn at random, and 4 and more in names and words. The longer, the less it strays to both.
    """
    value = value[:_HEAD]
    if _DIGIT.search(value) is None:
        return False
    runs = _RUN.findall(_SEPARATOR.sub(b"", value))
    longest = 2.6 if len(value) < _SHORT else 2.9 if len(value) < _LONG else 3.2
    by_chance = bool(runs) and len(value) / len(runs) <= longest
    return (by_chance or (len(value) >= _LONG and is_hex(value))) and not is_stand_in(value)
