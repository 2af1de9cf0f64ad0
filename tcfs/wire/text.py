"""Text from the bucket, made fit for a terminal: whoever can write there must not command it."""

import re
from typing import Final

# C0 and C1; Unicode's own ends of lines, at which many a reader splits; and what turns the order
# of the letters that follow, so that a line reads as another.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    """Return `text` with control characters as `\\x1b` or `\\u202e`; tabs and newlines stay."""
    return _CONTROL.sub(_as_escape, text)


def on_one_line(text: str) -> str:
    """Return `text` with control characters and newlines escaped."""
    return escaped(text).replace("\n", "\\x0a")


def _as_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
