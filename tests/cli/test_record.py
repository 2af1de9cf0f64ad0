"""One mount a mount point, and who serves it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcfs.cli import _record
from tcfs.cli._failure import Failure
from tcfs.cli._places import slug

PLACE = Path("/mnt/tracecraft")
RECORD = _record.Record(str(PLACE), os.getpid(), "s3://b/p", "designer", "/x/log")


@pytest.fixture
def other(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """Another process that holds the mount point until its stdin ends."""
    script = (
        "import sys; from pathlib import Path; from tcfs.cli import _record\n"
        f"hold = _record.take(Path({str(PLACE)!r}), Path(sys.argv[1]))\n"
        f"hold.write(_record.{RECORD!r})\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with process:
        yield process
        process.kill()


def test_mount_point_is_taken_once(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    with pytest.raises(Failure, match="has s3://b/p as agent designer mounted already; run: tcfs"):
        _record.take(PLACE, tmp_path)
    _record.take(Path("/mnt/other"), tmp_path).release()


def test_who_serves_it_can_be_looked_up(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    assert _record.look(PLACE, tmp_path) == RECORD
    assert _record.look(Path("/mnt/other"), tmp_path) is None


def test_end_of_process_lets_go_however_it_ends(
    tmp_path: Path, other: "subprocess.Popen[str]"
) -> None:
    other.kill()
    other.wait()
    assert _record.look(PLACE, tmp_path) is None
    _record.take(PLACE, tmp_path).release()


def test_release_leaves_nothing(tmp_path: Path) -> None:
    _record.take(PLACE, tmp_path).release()
    assert list((tmp_path / "mounts").iterdir()) == []


def test_slugs_tell_paths_apart() -> None:
    assert slug(Path("/a/b-c")) != slug(Path("/a-b/c")) != slug(Path("/b/b-c"))
    assert slug(Path("/mnt/tracecraft")).startswith("tracecraft-")
    assert slug(Path("/")).startswith("root-")
