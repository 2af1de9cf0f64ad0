"""Reading files: whole lines, and cursors that prove themselves."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tcfs.mirror.sources import Session, Unavailable, file
from tcfs.mirror.sources._lines import PIECE, QUIET, WINDOW, read_lines, read_text, resume_lines
from tests.mirror.homes import append, compress, dump, read_all, write

LINES = [dump({"n": n, "text": "é" * (n * 37 % 4001)}) for n in range(200)]
assert sum(map(len, LINES)) > 4 * WINDOW


@pytest.fixture(params=["plain", "zst"])
def transcript(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = write(tmp_path / "a" / "t.jsonl", b"".join(LINES))
    return compress(path) if request.param == "zst" else path


@pytest.mark.parametrize("limit", [1, 1000, WINDOW - 1, WINDOW, 1 << 20])
def test_reading_in_steps_equals_reading_at_once(transcript: Path, limit: int) -> None:
    source = file(transcript, Path("/"))
    [session] = source.sessions()
    lines, cursor = read_all(source, session, limit=limit)
    assert lines == LINES
    assert cursor["at"] == len(b"".join(LINES))


@pytest.mark.parametrize("limit", [1, 1000, WINDOW])
def test_a_batch_is_no_longer_than_asked_for_but_one_line_at_least(
    transcript: Path, limit: int
) -> None:
    cursor = None
    while (batch := read_lines(transcript, cursor, limit)).lines:
        assert len(batch.lines) == 1 or sum(map(len, batch.lines)) <= limit
        cursor = batch.cursor


def test_an_unterminated_tail_waits(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", b'{"n":1}\n{"n":')
    first = read_lines(path, None)
    assert first.lines == [b'{"n":1}\n']
    assert read_lines(path, first.cursor).lines == []
    append(path, b"2}\n")
    second = read_lines(path, first.cursor)
    assert (second.lines, second.restarted) == ([b'{"n":2}\n'], False)


def test_an_unterminated_tail_longer_than_the_limit_waits(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", b"x" * 5000)
    assert read_lines(path, None, 1000).lines == []
    append(path, b"\n")
    assert read_lines(path, None, 1000).lines == [b"x" * 5000 + b"\n"]


def test_what_was_appended_follows(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", b"".join(LINES[:50]))
    cursor = read_lines(path, None).cursor
    append(path, b"".join(LINES[50:]))
    batch = read_lines(path, cursor)
    assert (batch.lines, batch.restarted) == (LINES[50:], False)


def _truncate(path: Path) -> None:
    path.write_bytes(LINES[0])


def _rewrite_the_tail_in_place(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    with path.open("r+b") as held:
        held.write(data)


def _recreate(path: Path) -> None:
    path.unlink()
    write(path, b"".join(LINES[::-1]))


def _replace_with_a_longer_one(path: Path) -> None:
    path.with_name("new").write_bytes(b"".join(LINES[1:] + LINES[:20]))
    path.with_name("new").rename(path)


@pytest.mark.parametrize(
    "change", [_truncate, _rewrite_the_tail_in_place, _recreate, _replace_with_a_longer_one]
)
def test_a_source_that_changed_is_read_from_the_start(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = write(tmp_path / "t.jsonl", b"".join(LINES))
    cursor = read_lines(path, None).cursor
    change(path)
    batch = read_lines(path, cursor)
    assert batch.restarted
    assert b"".join(batch.lines) == path.read_bytes()
    again = read_lines(path, batch.cursor)
    assert (again.lines, again.restarted) == ([], False)


def test_an_emptied_source_begins_a_new_generation_once(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", LINES[3])
    cursor = read_lines(path, None).cursor
    path.write_bytes(b"")
    emptied = read_lines(path, cursor)
    assert (emptied.lines, emptied.restarted) == ([], True)
    append(path, LINES[4])
    batch = read_lines(path, emptied.cursor)
    assert (batch.lines, batch.restarted) == ([LINES[4]], False)


def test_a_moved_copied_or_compressed_file_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", b"".join(LINES))
    cursor = read_lines(path, None, 100_000).cursor
    rest = b"".join(LINES)[cursor["at"] :]
    moved = path.rename(tmp_path / "moved.jsonl")
    copied = write(tmp_path / "copied.jsonl", moved.read_bytes())
    packed = compress(write(tmp_path / "packed.jsonl", moved.read_bytes()))
    for now in (moved, copied, packed):
        batch = read_lines(now, cursor)
        assert not batch.restarted
        assert b"".join(batch.lines) == rest


@pytest.mark.parametrize(
    "cursor",
    [
        {},
        {"at": 10},
        {"at": "10", "sha256": ""},
        {"at": -1, "sha256": ""},
        {"at": True, "sha256": ""},
        {"at": 1 << 62, "sha256": ""},
        {"at": 1 << 70, "sha256": ""},
        {"generation": "a6688089bcfb46e497e6c68aa4d1155b", "at": 0, "sha256": None},
    ],
)
def test_a_cursor_of_another_kind_proves_nothing(
    transcript: Path, cursor: dict[str, object]
) -> None:
    batch = read_lines(transcript, cursor)
    assert (batch.restarted, batch.lines) == (True, LINES)


def test_a_cursor_is_json_and_names_device_inode_and_offset(transcript: Path) -> None:
    cursor = read_lines(transcript, None).cursor
    found = transcript.stat()
    assert json.loads(json.dumps(cursor)) == cursor
    assert (cursor["device"], cursor["inode"]) == (found.st_dev, found.st_ino)


def test_a_session_that_another_tool_began_is_resumed_where_a_line_ends(transcript: Path) -> None:
    at = len(b"".join(LINES[:70]))
    cursor = resume_lines(transcript, at)
    assert cursor == read_lines(transcript, None, at).cursor
    batch = read_lines(transcript, cursor)
    assert (batch.lines, batch.restarted) == (LINES[70:], False)
    assert resume_lines(transcript, at + 3) is None
    assert resume_lines(transcript, 1 << 40) is None
    assert resume_lines(transcript, 0) is not None


def test_what_cannot_be_read_now_is_unavailable(tmp_path: Path) -> None:
    broken = write(tmp_path / "t.jsonl.zst", b"no frame at all")
    for path in (tmp_path / "gone.jsonl", broken, tmp_path):
        with pytest.raises(Unavailable):
            read_lines(path, None)
        with pytest.raises(Unavailable):
            resume_lines(path, 1)


def test_a_session_of_the_file_harness_belongs_where_it_was_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "logs" / "agent.log", dump({"timestamp": "2026-11-22T10:00:00Z"}))
    source = file(path, tmp_path / "project")
    [session] = source.sessions(tmp_path / "project")
    assert (session.harness, session.cwd) == ("file", str(tmp_path / "project"))
    assert session.started_at == "2026-11-22T10:00:00Z"
    assert source.sessions(tmp_path / "logs") == []
    assert source.directories() == {path.parent}


def test_files_of_one_name_are_two_sessions(tmp_path: Path) -> None:
    paths = [write(tmp_path / it / "log.jsonl", LINES[1]) for it in ("a", "b")]
    [first], [second] = (file(it, tmp_path).sessions() for it in paths)
    assert first.id != second.id
    assert first.id.startswith("log-")


def test_a_file_that_is_not_there_yet_is_found_later(tmp_path: Path) -> None:
    source = file(tmp_path / "log.jsonl", tmp_path)
    assert source.sessions() == []
    write(tmp_path / "log.jsonl", LINES[1])
    assert len(source.sessions()) == 1


# texts


def _said(path: Path, cursor: object = None) -> tuple[list[str], dict[str, object]]:
    pieces: list[str] = []
    while (batch := read_text(path, cursor)).lines:  # type: ignore[arg-type] - from JSON
        [line] = batch.lines
        said = json.loads(line)
        assert said["offset"] == batch.cursor["at"] - len(said["text"].encode())
        pieces.append(said["text"])
        cursor = json.loads(json.dumps(batch.cursor))
    return pieces, dict(batch.cursor)


def _age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_a_text_is_lines_of_json_cut_at_newlines(tmp_path: Path) -> None:
    whole = "".join(f"{n} café \x1b[31m\n" for n in range(60_000))
    path = write(tmp_path / "out.txt", whole.encode())
    pieces, _ = _said(path)
    assert "".join(pieces) == whole
    assert len(pieces) > 3
    assert all(it.endswith("\n") and len(it.encode()) <= PIECE for it in pieces)


def test_a_text_without_a_last_newline_ends_when_it_is_quiet(tmp_path: Path) -> None:
    path = write(tmp_path / "out.txt", b"one\ntwo")
    pieces, cursor = _said(path)
    assert pieces == ["one\n"]
    _age(path, QUIET + 1)
    assert _said(path, cursor)[0] == ["two"]


def test_a_private_key_is_not_cut(tmp_path: Path) -> None:
    key = "-----BEGIN " + "TEST KEY-----\n" + "QUJD\n" * 20 + "-----END " + "TEST KEY-----\n"
    filler = "x" * 99 + "\n"
    whole = filler * (PIECE // 100 - 1) + key + filler * 40
    path = write(tmp_path / "out.txt", whole.encode())
    pieces, _ = _said(path)
    assert "".join(pieces) == whole
    assert len(pieces) == 2
    assert key in pieces[1]


def test_a_key_that_never_ends_holds_nothing_up(tmp_path: Path) -> None:
    whole = "-----BEGIN " + "TEST KEY-----\n" + "QUJD\n" * (PIECE // 4)
    path = write(tmp_path / "out.txt", whole.encode())
    assert "".join(_said(path)[0]) == whole


def test_a_line_of_a_text_longer_than_a_piece_is_not_cut(tmp_path: Path) -> None:
    whole = "y" * (PIECE + 12345) + "\n" + "z\n"
    path = write(tmp_path / "out.txt", whole.encode())
    assert _said(path)[0] == ["y" * (PIECE + 12345) + "\n", "z\n"]


def test_sources_name_a_session_for_people(tmp_path: Path) -> None:
    assert Session("file", "a", Path("/x/a.jsonl")).source == "/x/a.jsonl"
    assert Session("hermes", "a", Path("/x/state.db"), "a").source == "/x/state.db#a"
