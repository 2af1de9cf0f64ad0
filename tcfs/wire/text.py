"""Text from the bucket, made fit for a terminal: whoever can write there must not command it."""

import re
from typing import Final

CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""C0 and C1; Unicode's own ends of lines, at which many a reader splits; and what turns the order
of the letters around it (Unicode's Bidi_Control), so that a text reads as another."""
_IN_TEXT: Final = re.compile(f"(?![\t\n]){CONTROL.pattern}")


def escaped(text: str) -> str:
    """Return `text` with control characters as `\\x1b` or `\\u202e`; tabs and newlines stay."""
    return _IN_TEXT.sub(_as_escape, text)


def on_one_line(text: str) -> str:
    """Return `text` with control characters and newlines escaped."""
    return escaped(text).replace("\n", "\\x0a")


def shown(data: bytes) -> bytes:
    """Return `data` as `escaped` has it; what is no UTF-8 is escaped, too."""
    return escaped(data.decode(errors="backslashreplace")).encode()


def in_json(text: str) -> str:
    """Return JSON with its control characters, which only strings have, as `\\u202e`."""
    return _IN_TEXT.sub(lambda it: f"\\u{ord(it[0]):04x}", text)


def _as_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
