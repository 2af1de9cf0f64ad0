"""Transcripts through both doors (tree.md, sessions)."""

import os
from collections.abc import Callable
from errno import ENOENT, EROFS, ESTALE

import pytest

from tcfs.project.sessions import Session
from tcfs.wire import keys
from tests.doors.denied import denied
from tests.doors.hands import Bucket, Door
from tests.doors.shell import Mounts
from tests.mounts import until
from tests.project.mirrored import mirror, named, part_key, write_meta

MERGED = "aaaaaaaa"

held_open = pytest.mark.mount_only("a command reads to the end and lets go")


@pytest.fixture
def here(x: str) -> Session:
    """Return a session that no other test uses."""
    return Session("claude-code", x)


def transcript(here: Session) -> str:
    return f"{here}/transcript.jsonl"


def leaf(key: str) -> str:
    return key.rpartition("/")[2]


def compact(bucket: Bucket, here: Session, text: str, parts: int) -> None:
    """Merge parts as the reference does: merged part, meta, then the old parts."""
    bucket.place(part_key(0, MERGED, here), text.encode())
    write_meta(bucket, [named(0, MERGED, compacted_from=parts)], here)
    for seq in range(parts):
        bucket.remove(part_key(seq, session=here))


def test_transcript_is_its_parts_in_their_order(door: Door, here: Session) -> None:
    """A transcript is the parts that `meta.json` names, in their order, byte for byte."""
    body = write_meta(door.bucket, [named(0), named(1)], here)
    for seq, text in enumerate(("one\n", "two\n")):
        door.bucket.place(part_key(seq, session=here), text.encode())
    door.bucket.place(part_key(9, session=here), b"orphan\n")
    door.bucket.place(f"{here}/junk", b"")
    assert "sessions" in door.designer.ls(".")
    assert "claude-code" in door.designer.ls("sessions")
    assert here.id in door.designer.ls("sessions/claude-code")
    assert door.designer.ls(str(here)) == ["transcript.jsonl", "parts", "meta.json"]
    names = [leaf(part_key(seq, session=here)) for seq in (0, 1, 9)]
    assert door.designer.ls(f"{here}/parts") == names
    assert door.designer.read(transcript(here)) == "one\ntwo\n"
    assert door.designer.stat(transcript(here)).size == 8
    assert door.designer.read_bytes(f"{here}/meta.json") == body
    assert door.designer.stat(f"{here}/meta.json").size == len(body)
    assert door.designer.read(f"{here}/parts/{names[2]}") == "orphan\n"
    assert door.designer.read(f"as/developer/{transcript(here)}") == "one\ntwo\n"


def test_session_without_meta_is_read_by_its_parts(door: Door, here: Session) -> None:
    """Where `meta.json` is missing or cannot be read, all parts are, by number."""
    for seq in (1, 0):
        door.bucket.place(part_key(seq, session=here), b"%d\n" % seq)
    assert door.designer.ls(str(here)) == ["transcript.jsonl", "parts"]
    assert door.designer.read(transcript(here)) == "0\n1\n"


def test_what_is_not_there_is_enoent(door: Door, here: Session) -> None:
    mirror(door.bucket, "one\n", session=here)
    odd = f"sessions/codex/{here.id}"
    door.bucket.place(f"{odd}/junk", b"")
    assert door.designer.ls(odd) == []
    for path in (
        *("sessions/none", "sessions/a\udcff", "sessions/codex/none", f"{here}/junk"),
        *(f"{odd}/transcript.jsonl", f"{odd}/meta.json"),
        *(f"{here}/parts/junk", f"{here}/parts/part-00007-0123abcd.jsonl"),
    ):
        for act in (door.designer.stat, door.designer.read):
            with denied(ENOENT):
                act(path)


def test_sessions_take_no_writes(door: Door, here: Session) -> None:
    """`sessions/` is read-only."""
    mirror(door.bucket, "one\n", session=here)
    before = door.bucket.keys("sessions/")
    part = f"{here}/parts/{leaf(part_key(0, session=here))}"
    for path in (transcript(here), f"{here}/meta.json", part, f"{here}/new", "sessions/new"):
        for write in (door.designer.write, door.designer.append):
            with denied(EROFS):
                write(path, "x\n")
    for path in ("sessions", "sessions/claude-code", str(here), f"{here}/parts"):
        with denied(EROFS):
            door.designer.mkdir(f"{path}/new")
    for path in (transcript(here), f"{here}/meta.json", part):
        with denied(EROFS):
            door.designer.rm(path)
    with denied(EROFS):
        door.designer.rm_tree(str(here))
    assert door.bucket.keys("sessions/") == before


@pytest.mark.mount_only("no command touches, truncates, links or renames")
def test_sessions_are_not_changed_otherwise(mounted: Mounts, here: Session) -> None:
    mirror(mounted.bucket, "one\n", session=here)
    hand, path = mounted.designer, transcript(here)
    changes: list[Callable[[], object]] = [
        lambda: hand.touch(path),
        lambda: hand.touch(f"{here}/new"),
        lambda: hand.truncate(path, 0),
        lambda: hand.symlink(f"{here}/link", "target"),
        lambda: hand.rename(path, f"{here}/new"),
        lambda: hand.rmdir(f"{here}/parts"),
    ]
    for change in changes:
        with denied(EROFS):
            change()


def test_part_that_is_lost_is_left_out(door: Door, here: Session) -> None:
    mirror(door.bucket, "one\n", "two\n", "three\n", session=here)
    door.bucket.remove(part_key(1, session=here))
    assert door.designer.read(transcript(here)) == "one\nthree\n"
    assert door.designer.stat(transcript(here)).size == 10


def test_transcript_goes_on_after_a_compaction(door: Door, here: Session) -> None:
    mirror(door.bucket, "one\n", "two\n", session=here)
    assert door.designer.read(transcript(here)) == "one\ntwo\n"
    compact(door.bucket, here, "one\ntwo\n", 2)
    until(lambda: door.designer.ls(f"{here}/parts") == [leaf(part_key(0, MERGED))], "the merge")
    assert door.designer.read(transcript(here)) == "one\ntwo\n"


def test_newest_generation_shows(door: Door, here: Session) -> None:
    """Of a transcript whose source was rewritten, the newest generation shows."""
    old, new = named(0, generation=0), named(1, generation=1)
    door.bucket.place(part_key(0, session=here), b"old and longer\n")
    door.bucket.place(part_key(1, session=here), b"new\n")
    write_meta(door.bucket, [old, new], here, generation=1, nonce="n2")
    assert door.designer.read(transcript(here)) == "new\n"
    assert door.designer.stat(transcript(here)).size == 4


@held_open
def test_reader_at_the_end_sees_growth(mounted: Mounts, here: Session) -> None:
    """`tail -f` follows a session that goes on, through a compaction as well."""
    mirror(mounted.bucket, "one\n", session=here)
    with mounted.designer.opened(transcript(here), os.O_RDONLY) as reader:
        assert reader.read(100) == b"one\n"
        assert reader.read(100, 4) == b""
        mirror(mounted.bucket, "two\n", "three\n", session=here, since=1)
        until(lambda: reader.size() == 14, "the size")
        assert reader.read(100, 4) == b"two\nthree\n"
        compact(mounted.bucket, here, "one\ntwo\nthree\nfour\n", 3)
        until(lambda: reader.read(100, 14) == b"four\n", "what came after")


@held_open
def test_reader_that_meets_a_part_gone_goes_on_at_its_offset(
    mounted: Mounts, here: Session
) -> None:
    """A part that is lost is left out; whoever was reading is told ESTALE."""
    mirror(mounted.bucket, "one\n", "two\n", "three\n", "four\n", session=here)
    with mounted.designer.opened(transcript(here), os.O_RDONLY) as reader:
        assert reader.read(6) == b"one\ntw"
        compact(mounted.bucket, here, "one\ntwo\nthree\nfour\n", 4)
        assert reader.read(5, 6) == b"o\nthr"
        assert reader.read(100, 11) == b"ee\nfour\n"
        mounted.bucket.remove(part_key(0, MERGED, here))
        mounted.bucket.remove(keys.session_meta(*here))
        with denied(ESTALE, "open it again"):
            reader.read(100)


@held_open
def test_part_that_is_lost_while_it_is_read_is_said(mounted: Mounts, here: Session) -> None:
    mirror(mounted.bucket, "one\n", "two\n", "three\n", session=here)
    with mounted.designer.opened(transcript(here), os.O_RDONLY) as reader:
        assert reader.read(4) == b"one\n"
        mounted.bucket.remove(part_key(1, session=here))
        with denied(ESTALE, "open it again"):
            reader.read(100, 4)


@held_open
def test_new_generation_is_read_from_its_start(mounted: Mounts, here: Session) -> None:
    """What `tail -f` does with a file that became shorter."""
    mounted.bucket.place(part_key(0, session=here), b"old and longer\n")
    write_meta(mounted.bucket, [named(0, generation=0)], here, generation=0, nonce="n1")
    with mounted.designer.opened(transcript(here), os.O_RDONLY) as reader:
        assert reader.read(100) == b"old and longer\n"
        mounted.bucket.place(part_key(1, session=here), b"new\n")
        parts = [named(0, generation=0), named(1, generation=1)]
        write_meta(mounted.bucket, parts, here, generation=1, nonce="n2")
        until(lambda: reader.size() == 4, "the size")
        assert reader.read(100) == b"new\n"
