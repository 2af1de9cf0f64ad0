"""What somebody hostile can put where tcfs looks, and whether it got through."""

import json
import socket
from pathlib import Path
from typing import Final

TERMINAL: Final = (
    "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.exe\u2066\u200f\u061c\u2028forged: line\r\x00"
)
MARKUP: Final = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
COMMANDS: Final = (
    *("\x1b", "\x9b", "\x07", "\r", "\x00"),
    *("\u202e", "\u2028", "\u2066", "\u200f", "\u061c"),
)

DEEP: Final = b'{"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BODIES: Final = {
    "deep": DEEP,
    "deep enough to be read": b'{"value": ' + b'{"a":' * 300 + b"1" + b"}" * 301,
    "twice": b'{"agent": "a", "agent": "\\u001b[2J", "value": 1, "value": "\\u001b[2J"}',
    "huge": b'{"value": 1e400, "generation": 1e400, "lease": {"seconds": 1e400}}',
    "digits": b'{"value": %s, "lease": {"seconds": %s}}' % (b"9" * 5000, b"9" * 5000),
    "long": b'{"generation": 18446744073709551615, "lease": {"seconds": 18446744073709551615}}',
    "negative": b'{"generation": -9223372036854775808, "lease": {"seconds": -9223372036854775808}}',
    "surrogates": b'{"agent": "\\ud800", "value": "\\udfff", "\\udc00": 1, "message": "\\ud800"}',
    "no UTF-8": b'{"agent": "\xff\xfe", "value": "\xc3\x28"}',
    "NaN": b'{"value": NaN, "heartbeat": NaN, "generation": Infinity}',
    "types": json.dumps(
        {
            name: [{"a": None}]
            for name in (
                *("agent", "value", "status", "claim", "message", "from", "sent_at", "to"),
                *("heartbeat", "id", "seen", "direct", "watermark", "parts", "lease", "note"),
            )
        }
    ).encode(),
    "dates": json.dumps(
        {
            name: when
            for when in ("9999-12-31T23:59:59.999999-23:59",)
            for name in ("heartbeat", "claimed_at", "sent_at", "set_at", "renewed_at", "id")
        }
        | {"value": 1, "status": "active", "agent": "a", "from": "a", "message": "m"}
    ).encode(),
    "before": json.dumps(
        {
            name: when
            for when in ("0001-01-01T00:00:00+23:59",)
            for name in ("heartbeat", "claimed_at", "sent_at", "set_at", "renewed_at", "id")
        }
        | {"value": 1, "status": "active", "agent": "a", "from": "a", "message": "m"}
    ).encode(),
    "ids": json.dumps(
        {"agent": "../../x", "id": "../../../x", "nonce": "../x", "value": "x", "mount": "../x"}
    ).encode(),
}
"""Bodies of documents, by what is wrong with them."""


def places(name: str) -> tuple[str, ...]:
    """Return a key of every kind of document, all of whose names hold `name`."""
    return (
        f"agents/{name}.json",
        f"memory/{name}.json",
        f"memory/_history/{name}/1700000000000000000_x_00000000.json",
        f"steps/{name}/claim.json",
        f"steps/{name}/status.json",
        f"steps/{name}/handoff.json",
        f"steps/{name}/after.json",
        f"locks/{name}.json",
        f"messages/designer/1700000000000000000_{name}_00000000.json",
        f"messages/{name}/_cursor.json",
        f"sessions/claude-code/{name}/meta.json",
    )


def commands_in(text: str) -> list[str]:
    """Return what in a text a terminal would obey, or a reader would take for another line."""
    return [it for it in COMMANDS if it in text]


def traps(directory: Path, outside: Path) -> None:
    """Put into a directory what is no file: a FIFO, a socket, links to itself and to `outside`."""
    import os

    directory.mkdir(parents=True, exist_ok=True)
    os.mkfifo(directory / "fifo.json")
    with socket.socket(socket.AF_UNIX) as made:
        # The name of a socket is short, wherever it lies.
        here = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        made.bind(f"/proc/self/fd/{here}/socket.json")
        os.close(here)
    (directory / "loop").symlink_to(directory)
    (directory / "round.json").symlink_to("round.json")
    (directory / "out").symlink_to(outside)
    (directory / "secret.json").symlink_to(outside / "secret.json")
