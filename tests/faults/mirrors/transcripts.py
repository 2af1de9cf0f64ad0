"""Coding agents whose transcripts grow, shrink, move and vanish at random, and what they ever were.

Each line has a number of its own, so that no two are the same. One in ten holds a secret.
"""

import itertools
import json
import os
import random
import re
from bisect import bisect_left
from pathlib import Path
from typing import Final, Protocol, final

import zstandard

from tests.mirror.homes import OpenClawDatabase

SECRET: Final = "sk-ant-api03-" + "aB3d" * 12
PLACEHOLDER: Final = re.compile(rb"\[REDACTED:[^\]]*\]")
WORDS: Final = ("green", "tests", "déjà", "vu", "\\n", '"', "a longer word than the others", "é")
LARGE: Final = 700  # lines that come to more than one part, of LONG words each
LONG: Final = 200

_numbers = itertools.count()


@final
class Told:
    """Every text that a transcript ever was: a tree of its lines, each seen at some moments."""

    def __init__(self) -> None:
        self._below: dict[tuple[int, bytes], int] = {}
        self._born = [0]
        self._gone: dict[int, int] = {}
        self._lines: list[bytes] = []
        self._nodes = [0]  # those of the lines that it has now, and before them the root
        self._moment = 0

    def becomes(self, text: bytes) -> None:
        """Take note of what it is now."""
        self._moment += 1
        lines = lines_of(text)
        same = _common(self._lines, lines)
        for node in self._nodes[same + 1 :]:
            self._gone[node] = self._moment
        del self._nodes[same + 1 :]
        for line in lines[same:]:
            self._nodes.append(self._next(self._nodes[-1], line))
        self._lines = lines

    def _next(self, node: int, line: bytes) -> int:
        found = self._below.get((node, line))
        if found is None:
            found = self._below[node, line] = len(self._born)
            self._born.append(self._moment)
        self._gone.pop(found, None)
        return found

    @property
    def text(self) -> bytes:
        """The complete lines of now, as `lines_of` gives them."""
        return b"".join(self._lines)

    def when(self, text: bytes) -> tuple[int, float]:
        """Return the first and the last moment at which it began with these lines, and no others.

        Raises AssertionError where it never did: a line is missing, torn, twice, or in the wrong
        place.
        """
        assert not text or text.endswith(b"\n"), f"a torn line: {text[-200:]!r}"
        node = 0
        for number, line in enumerate(lines_of(text)):
            found = self._below.get((node, line))
            assert found is not None, f"line {number} was never there: {line[:200]!r}"
            node = found
        return self._born[node], self._gone.get(node, float("inf"))


def _common(one: list[bytes], other: list[bytes]) -> int:
    """Return how many lines are the same at the beginning of both."""
    length = min(len(one), len(other))
    return bisect_left(range(1, length + 1), True, key=lambda it: one[:it] != other[:it])


def lines_of(text: bytes) -> list[bytes]:
    """Return the complete lines, with no difference between a secret and what is put for it."""
    return [_plain(it) + b"\n" for it in text.split(b"\n")[:-1]]


def _plain(line: bytes) -> bytes:
    plain = PLACEHOLDER.sub(b"?", line).replace(SECRET.encode(), b"?")
    if plain == line:
        return line
    try:
        return json.dumps(json.loads(plain)).encode()  # such a line may be written anew
    except ValueError:
        return plain


def said(chance: random.Random, words: int = 0) -> dict[str, object]:
    """Return what a line says: unlike any other."""
    text = [chance.choice(WORDS) for _ in range(words or chance.randrange(1, 40))]
    if chance.random() < 0.1:
        text.append(SECRET)
    return {"number": next(_numbers), "text": " ".join(text)}


class Transcript(Protocol):
    """One that is written at random."""

    @property
    def session(self) -> str:
        """`HARNESS/ID`."""

    @property
    def told(self) -> Told:
        """What it ever was."""

    def act(self) -> None:
        """Do something."""

    def finish(self) -> None:
        """Be there, with one more line."""


@final
class FileTranscript:
    """A file of JSON Lines. `places` are where it may lie; in those of `.zst` it is compressed."""

    def __init__(
        self,
        chance: random.Random,
        session: str,
        places: tuple[Path, ...],
        head: dict[str, object],
        each: dict[str, object],
        *,
        vanishes: bool = True,
    ) -> None:
        """`head` is in the first line, `each` in the others."""
        self.session = session
        self.told = Told()
        self._chance = chance
        self._places = places
        self._head = head
        self._each = each
        self._vanishes = vanishes
        self._path: Path | None = None
        self._text = b""
        self._rest = b""  # of a line of which only the beginning is written
        self._create()

    def act(self) -> None:
        acts = [self._append] * 8 + [self._half] * 2 + [self._truncate, self._rewrite]
        acts += [self._rewrite_end, self._replace, self._move]
        if self._vanishes:
            acts.append(self._remove)
        if self._path is None:
            self._create()
        elif self._path.suffix == ".zst":
            self._move()
        else:
            self._chance.choice(acts)()

    def finish(self) -> None:
        if self._path is None:
            self._create()
        elif self._path.suffix == ".zst":
            self._move()
        if self._rest:
            self._half()
        self._append()

    # acts

    def _create(self) -> None:
        """Make the file: with new lines, or as it was when it was removed."""
        if not self._text or self._chance.random() < 0.5:
            self._text = self._line(self._head) + self._some()
        self._rest = b""
        self._path = self._chance.choice([it for it in self._places if it.suffix != ".zst"])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.told.becomes(self._text)
        self._path.write_bytes(self._text)

    def _append(self) -> None:
        self._write(self._some())

    def _half(self) -> None:
        """Write half a line, or the other half."""
        if not self._rest:
            line = self._some(1)
            cut = self._chance.randrange(1, line.find(b'"text"'))
            line, self._rest = line[:cut], line[cut:]
            self._write(line)
        else:
            line, self._rest = self._rest, b""
            self._write(line)

    def _truncate(self) -> None:
        self._cut(self._some_end())

    def _rewrite(self) -> None:
        """Write it anew in its place."""
        self._cut(0)
        self._write(self._line(self._head))
        self._write(self._some())

    def _rewrite_end(self) -> None:
        """Take out lines at the end, and write others, as Claude Code does."""
        self._cut(self._some_end())
        self._write(self._some())

    def _replace(self) -> None:
        """Put another file in its place."""
        assert self._path is not None
        kept = self._text[: self._some_end()] if self._chance.random() < 0.5 else b""
        text = (kept or self._line(self._head)) + self._some()
        other = self._path.with_name(f"{self._path.name}.tmp")
        other.write_bytes(text)
        self._text, self._rest = text, b""
        self.told.becomes(text)
        other.rename(self._path)

    def _move(self) -> None:
        """Put it elsewhere, where it is the same session."""
        before = self._path
        assert before is not None
        self._path = self._chance.choice([it for it in self._places if it != before] or [before])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.suffix == ".zst":
            packed = self._path.with_suffix(".part")
            packed.write_bytes(zstandard.compress(self._text))
            packed.rename(self._path)
            before.unlink()
        elif before.suffix == ".zst":
            plain = self._path.with_suffix(".part")
            plain.write_bytes(self._text)
            plain.rename(self._path)
            before.unlink()
        else:
            before.rename(self._path)

    def _remove(self) -> None:
        assert self._path is not None
        self._path.unlink()
        self._path = None

    # inside

    def _line(self, members: dict[str, object], words: int = 0) -> bytes:
        document = members | said(self._chance, words)
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def _some(self, count: int = 0) -> bytes:
        large = not count and self._chance.random() < 0.01
        count = LARGE if large else count or self._chance.randrange(1, 6)
        return b"".join(self._line(self._each, words=LONG if large else 0) for _ in range(count))

    def _some_end(self) -> int:
        """Return an offset after the first line, mostly between lines, and in no secret."""
        first = self._text.find(b"\n") + 1
        at = self._chance.randrange(first, len(self._text) + 1) if first else 0
        begin = self._text.rfind(b"\n", 0, at) + 1
        if SECRET.encode() in self._text[begin : begin + 10_000] or self._chance.random() < 0.7:
            return begin
        return at

    def _write(self, data: bytes) -> None:
        assert self._path is not None
        with self._path.open("ab", buffering=0) as file:
            # Noted first: whoever reads may be quicker than we are.
            self._text += data
            self.told.becomes(self._text)
            file.write(data)

    def _cut(self, size: int) -> None:
        assert self._path is not None
        self._text, self._rest = self._text[:size], b""
        os.truncate(self._path, size)
        self.told.becomes(self._text)


@final
class OpenClawTranscript:
    """A session in an agent's database."""

    def __init__(self, chance: random.Random, database: OpenClawDatabase, name: str) -> None:
        self.session = f"openclaw/{database.agent}__{name}"
        self.told = Told()
        self._chance = chance
        self._database = database
        self._name = name
        database.session(name, "/srv/claw")
        self._note()

    def act(self) -> None:
        if self._chance.random() < 0.8:
            for _ in range(self._chance.randrange(1, 4)):
                self._add()
                self._note()
        else:
            self._rewrite()

    def finish(self) -> None:
        self._add()
        self._note()

    def _add(self) -> None:
        self._database.add(self._name, said(self._chance), packed=self._chance.random() < 0.3)

    def _rewrite(self) -> None:
        connection = self._database.connection
        connection.execute("BEGIN IMMEDIATE")
        where = "session_id = ? AND seq >= ?"
        last = len(self._rows())
        begin = self._chance.randrange(1, last + 1)
        connection.execute(f"DELETE FROM transcript_events WHERE {where}", (self._name, begin))
        for _ in range(self._chance.randrange(3)):
            self._add()
        self._database.rewritten(self._name, f"{self._chance.randrange(1 << 64):016x}")
        self._note()
        connection.execute("COMMIT")

    def _rows(self) -> list[bytes]:
        query = (
            "SELECT event_json, event_zstd FROM transcript_events WHERE session_id = ? ORDER BY seq"
        )
        rows = self._database.connection.execute(query, (self._name,)).fetchall()
        return [said.encode() if said else zstandard.decompress(packed) for said, packed in rows]

    def _note(self) -> None:
        self.told.becomes(b"".join(it + b"\n" for it in self._rows()))
