"""Transcripts through a real mount, while another tool writes them."""

import json
import subprocess
from pathlib import Path
from typing import Final, final

import pytest

from tcfs.project.sessions import Session
from tests.mounts import Mount, until
from tests.project.mirrored import HERE, mirror, named, part_key, write_meta

FOLDER: Final = str(HERE)
TRANSCRIPT: Final = f"{FOLDER}/transcript.jsonl"


@final
class Outside:
    """Another tool, which writes below the directory that is the store."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, key: str, body: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        part = self.root.parent / "outside.part"
        part.write_bytes(body)
        part.rename(path)

    def remove(self, key: str) -> None:
        (self.root / key).unlink()


@pytest.fixture
def outside(home: Path, mount: Mount) -> Outside:
    """Return a tool that writes where the mount's store is."""
    return Outside(home / "store")


def line(number: int) -> str:
    return json.dumps({"type": "user", "number": number, "text": f"é {number}"}) + "\n"


def test_a_transcript_is_its_parts_joined(mount: Mount, outside: Outside) -> None:
    """A transcript is the parts that `meta.json` names, in their order, byte for byte."""
    lines = [line(it) for it in range(300)]
    mirror(outside, *lines)
    outside.place(part_key(7, "ffffffff"), b"an orphan\n")
    content = "".join(lines)
    assert mount.out(f"cat {TRANSCRIPT}") == content
    assert mount.out(f"wc -l < {TRANSCRIPT}").strip() == "300"
    assert mount.out(f"stat -c %s {TRANSCRIPT}").strip() == str(len(content.encode()))
    assert mount.out(f"tail -n 2 {TRANSCRIPT}") == "".join(lines[-2:])
    assert mount.out(f"head -n 1 {TRANSCRIPT}") == lines[0]
    assert mount.out(f"grep -c '\"number\": 29' {TRANSCRIPT}").strip() == "11"
    begin = content.index('"number": 150')
    cut = f"dd if={TRANSCRIPT} bs=1 skip={begin} count=13 status=none"
    assert mount.out(cut) == '"number": 150'
    program = f"import json; print(sum(json.loads(it)['number'] for it in open('{TRANSCRIPT}')))"
    assert mount.out(f'python3 -c "{program}"').strip() == str(sum(range(300)))
    mount.out(
        f"cp {TRANSCRIPT} {outside.root.parent}/copy; cmp {TRANSCRIPT} {outside.root}/../copy"
    )


def test_what_is_listed_and_its_sizes(mount: Mount, outside: Outside) -> None:
    lines = [line(it) for it in range(3)]
    mirror(outside, *lines)
    mirror(outside, "x\n", session=Session("codex", "other"))
    outside.place(f"{FOLDER}/junk.txt", b"junk")
    outside.place(f"{FOLDER}/sub/part-00000-0123abcd.jsonl", b"junk")
    outside.place("sessions/junk", b"junk")
    assert mount.out("ls sessions sessions/*") == (
        f"sessions:\nclaude-code\ncodex\n\nsessions/claude-code:\n{HERE.id}\n\n"
        "sessions/codex:\nother\n"
    )
    assert mount.out(f"ls {FOLDER}") == "meta.json\nparts\ntranscript.jsonl\n"
    assert mount.out(f"cat {FOLDER}/parts/*") == "".join(lines)
    assert mount.out(f"cmp {FOLDER}/meta.json {outside.root}/{FOLDER}/meta.json") == ""
    sizes = mount.out(f"stat -c '%n %s' {FOLDER}/*.json* {FOLDER}/parts/*").splitlines()
    assert len(sizes) == 5
    for it in sizes:
        name, size = it.split()
        assert mount.out(f"wc -c < {name}").strip() == size
    mount.out("grep -rq user sessions; find sessions | xargs stat > /dev/null")
    assert "SESSIONS (2): 0.0 MB" in mount.out("cat status")


def test_sessions_are_read_only(mount: Mount, outside: Outside) -> None:
    """`sessions/` is read-only."""
    mirror(outside, "one\n")
    for script in (
        f"echo x > {TRANSCRIPT}",
        f"echo x >> {TRANSCRIPT}",
        f"echo x > {FOLDER}/meta.json",
        f"echo x > {FOLDER}/new",
        f"rm {TRANSCRIPT}",
        f"rm {FOLDER}/parts/*",
        f"rmdir {FOLDER}/parts",
        "mkdir sessions/new",
        f"mv {TRANSCRIPT} {FOLDER}/x",
        f"truncate -s 0 {TRANSCRIPT}",
        f"touch {TRANSCRIPT}",
        f"touch {FOLDER}/meta.json",
        f"touch {FOLDER}/parts/*",
        f"cp README {FOLDER}/",
    ):
        done = mount.sh(script)
        assert done.returncode != 0
        assert "Read-only file system" in done.stderr, script
    assert mount.out(f"cat {TRANSCRIPT}") == "one\n"
    assert "what was mirrored" in mount.errors()


def test_tail_follows_a_live_session(mount: Mount, outside: Outside) -> None:
    """`tail -f` follows a session that goes on, through a compaction as well."""
    mirror(outside, line(0), line(1))
    output = outside.root.parent / "followed"
    follower = mount.popen(f"exec tail -n 1 -f {TRANSCRIPT} > {output}")
    try:
        until(lambda: output.exists() and output.read_text() == line(1), "the last line")
        mirror(outside, line(2), line(3), since=2)
        until(lambda: output.read_text() == "".join(map(line, (1, 2, 3))), "two more lines")
        merged = "".join(map(line, range(4)))
        outside.place(part_key(0, "aaaaaaaa"), merged.encode())
        write_meta(outside, [named(0, "aaaaaaaa", compacted_from=4)])
        for seq in range(4):
            outside.remove(part_key(seq))
        outside.place(part_key(1), line(4).encode())
        write_meta(outside, [named(0, "aaaaaaaa", compacted_from=4), named(1)])
        until(lambda: output.read_text() == "".join(map(line, (1, 2, 3, 4))), "the next line")
        assert follower.poll() is None
    finally:
        follower.terminate()
        _, error = follower.communicate()
    assert error == ""


def test_an_open_reader_goes_on_after_a_compaction(mount: Mount, outside: Outside) -> None:
    lines = [line(it) for it in range(10)]
    mirror(outside, *lines)
    with (mount.path / TRANSCRIPT).open("rb", buffering=0) as reader:
        first = reader.read(50)
        outside.place(part_key(0, "aaaaaaaa"), "".join(lines).encode())
        write_meta(outside, [named(0, "aaaaaaaa", compacted_from=10)])
        for seq in range(10):
            outside.remove(part_key(seq))
        assert first + reader.read() == "".join(lines).encode()


def test_a_missing_part_is_left_out(mount: Mount, outside: Outside) -> None:
    """A part that is lost is left out; whoever was reading is told ESTALE."""
    mirror(outside, "one\n", "two\n", "three\n")
    with (mount.path / TRANSCRIPT).open("rb", buffering=0) as reader:
        assert reader.read(4) == b"one\n"
        outside.remove(part_key(1))
        with pytest.raises(OSError, match="Stale file handle"):
            reader.read(100)
    assert mount.out(f"cat {TRANSCRIPT}; stat -c %s {TRANSCRIPT}") == "one\nthree\n10\n"
    assert "open it again" in mount.errors()


def test_a_session_without_meta_is_read_by_its_parts(mount: Mount, outside: Outside) -> None:
    """Where `meta.json` is missing or cannot be read, all parts are, by number."""
    for seq in (2, 0, 1):
        outside.place(part_key(seq), line(seq).encode())
    expected = "".join(map(line, range(3)))
    assert mount.out(f"cat {TRANSCRIPT}; ls {FOLDER}") == expected + "parts\ntranscript.jsonl\n"
    outside.place(f"{FOLDER}/meta.json", b"\xff junk")
    assert mount.out(f"cat {TRANSCRIPT}; wc -c < {FOLDER}/meta.json") == expected + "6\n"


def test_only_the_newest_generation_shows(mount: Mount, outside: Outside) -> None:
    """Of a transcript whose source was rewritten, the newest generation shows."""
    outside.place(part_key(0), b"old\n")
    outside.place(part_key(1), b"new\n")
    parts = [named(0, generation=0), named(1, generation=1)]
    write_meta(outside, parts[:1], generation=0, nonce="n1")
    assert mount.out(f"cat {TRANSCRIPT}") == "old\n"
    write_meta(outside, parts, generation=1, nonce="n2")
    assert mount.out(f"cat {TRANSCRIPT}; cat {FOLDER}/parts/*") == "new\nold\nnew\n"


def test_a_large_transcript_is_read_whole_and_by_its_end(mount: Mount, outside: Outside) -> None:
    part = "".join(json.dumps({"n": it, "pad": "x" * 1000}) + "\n" for it in range(3000))
    mirror(outside, part, part, part)
    size = 3 * len(part)
    done = mount.out(f"tail -n 1 {TRANSCRIPT} | cut -c 1-10; wc -lc < {TRANSCRIPT}").split()
    assert done[-2:] == ["9000", str(size)]
    joined = subprocess.run(
        ["cmp", "-", str(mount.path / TRANSCRIPT)], input=(part * 3).encode(), check=False
    )
    assert joined.returncode == 0
