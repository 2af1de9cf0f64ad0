"""Reading a growing file in whole lines, with a cursor that proves itself.

A cursor holds device, inode, the offset (`at`, of the plain bytes where a file is compressed), and
the SHA-256 of up to 64 KiB before it. Only the bytes prove: a file that was moved, copied or
compressed is the same session, one that was rewritten in its place is not.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import zstandard

from tcfs.mirror.sources._base import LIMIT, Batch, Cursor, Unavailable
from tcfs.wire import json

WINDOW: Final = 64 << 10  # bytes before the offset that prove it
PIECE: Final = 256 << 10  # bytes of a text in one line
QUIET: Final = 60.0  # seconds after which a text with no newline at its end has ended
_PEM_BEGIN: Final = b"-----BEGIN "
_PEM_END: Final = b"-----END "


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be read forwards as plain bytes, `.zst` too; raises OSError."""
    with path.open("rb") as file:
        if path.suffix != ".zst":
            yield file
            return
        plain = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        with plain:
            yield cast(BinaryIO, plain)


def read_lines(path: Path, cursor: Cursor | None, limit: int = LIMIT) -> Batch:
    """Return the whole lines after `cursor`, as `Source.read` does; raises Unavailable."""
    data, after, restarted = _read(path, cursor, lambda file: _whole_lines(file, limit))
    return Batch([line + b"\n" for line in data.split(b"\n")[:-1]], after, restarted)


def read_text(path: Path, cursor: Cursor | None) -> Batch:
    """Return what follows in a text that is not JSON as one line of JSON; raises Unavailable.

    A line of a text is no unit in which a secret can be found (a key in PEM has many), so that a
    piece is as much as a line can well hold.
    """
    data, after, restarted = _read(path, cursor, _piece)
    if not data:
        return Batch([], after, restarted)
    said = data.decode(errors="replace")
    start = after["at"] - len(data)
    line = json.dump_line({"type": "text", "file": path.name, "offset": start, "text": said})
    return Batch([line.encode() + b"\n"], after, restarted)


def resume_lines(path: Path, at: int) -> Cursor | None:
    """Return a cursor for the offset, None where no line ends; raises Unavailable."""
    with _readable(path), opened(path) as file:
        before = _window(file, at)
        if before is None or (before and not before.endswith(b"\n")):
            return None
        return _cursor(path, at, before)


def is_quiet(modified: float) -> bool:
    """Tell whether a text that was modified then has ended, newline or not."""
    return time.time() - modified > QUIET


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, zstandard.ZstdError) as error:
        raise Unavailable(f"{path}: {error}") from error


def _read(
    path: Path, cursor: Cursor | None, take: Callable[[BinaryIO], bytes]
) -> tuple[bytes, Cursor, bool]:
    with _readable(path):
        with opened(path) as file:
            before = b"" if cursor is None else _proof(file, cursor)
            if before is not None:
                data = take(file)
                at = (0 if cursor is None else cursor["at"]) + len(data)
                return data, _cursor(path, at, (before + data)[-WINDOW:]), False
        # From the start: a compressed file only runs forwards.
        with opened(path) as file:
            data = take(file)
            return data, _cursor(path, len(data), data[-WINDOW:]), True


def _proof(file: BinaryIO, cursor: Cursor) -> bytes | None:
    """Return the bytes before the cursor, the file standing at it; None: it proves nothing."""
    at: Any = cursor.get("at")
    if not isinstance(at, int) or isinstance(at, bool) or at < 0 or "sha256" not in cursor:
        return None
    before = _window(file, at)
    same = before is not None and hashlib.sha256(before).hexdigest() == cursor["sha256"]
    return before if same else None


def _window(file: BinaryIO, at: int) -> bytes | None:
    start = max(0, at - WINDOW)
    try:
        file.seek(start)
    except (OSError, ValueError, OverflowError):  # further than any file goes
        return None
    before = file.read(at - start)
    return before if len(before) == at - start else None


def _cursor(path: Path, at: int, before: bytes) -> Cursor:
    found = path.stat()
    proof = hashlib.sha256(before).hexdigest()
    return {"device": found.st_dev, "inode": found.st_ino, "at": at, "sha256": proof}


def _whole_lines(file: BinaryIO, limit: int) -> bytes:
    data = file.read(limit)
    if (end := data.rfind(b"\n") + 1) or len(data) < limit:
        return data[:end]
    line, ended = _rest_of_line(file)
    return data + line if ended else b""


def _rest_of_line(file: BinaryIO) -> tuple[bytes, bool]:
    """Return what is left of a line longer than was asked for, and whether it has its newline."""
    parts: list[bytes] = []
    while more := file.read(LIMIT):
        if end := more.find(b"\n") + 1:
            return b"".join([*parts, more[:end]]), True
        parts.append(more)
    return b"".join(parts), False


def _piece(file: BinaryIO) -> bytes:
    data = file.read(PIECE)
    if len(data) < PIECE and is_quiet(os.fstat(file.fileno()).st_mtime):
        return data
    if not (end := data.rfind(b"\n") + 1):
        # Cut nowhere but at newlines: half a secret is none that anybody would find.
        rest, ended = _rest_of_line(file)
        return data + rest if ended or is_quiet(os.fstat(file.fileno()).st_mtime) else b""
    begun = data.rfind(_PEM_BEGIN, 0, end)
    if begun > data.rfind(_PEM_END, 0, end):
        # Nor inside a private key, unless it is all there is.
        end = data.rfind(b"\n", 0, begun) + 1 or end
    return data[:end]
