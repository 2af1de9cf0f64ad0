"""Where a mount goes."""

from pathlib import Path

import pytest

from tcfs.cli import _mountpoint
from tcfs.cli._failure import Failure


def test_place_that_is_not_there_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert _mountpoint.prepare(path) == _mountpoint.Place(path, made=True)
    assert _mountpoint.prepare(path) == _mountpoint.Place(path, made=False)


def test_place_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match="is not empty"):
        _mountpoint.prepare(tmp_path)
    with pytest.raises(Failure, match="is not a directory"):
        _mountpoint.prepare(tmp_path / "file")
    with pytest.raises(Failure, match=r"cannot be made: Not a directory"):
        _mountpoint.prepare(tmp_path / "file" / "below")


def test_kernel_s_list_is_read_with_its_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "36 35 98:0 / /mnt/with\\040space\\134 rw,noatime master:1 - fuse.tcfs s3://b/p rw\n"
        "37 35 98:0 / /mnt/\u00e9 rw shared:1 master:2 - ext4 /dev/root rw\n"
        "38 35 98:0 / /mnt/\u00e9 rw - fuse.tcfs s3://b/p rw\n"
    )
    monkeypatch.setattr(_mountpoint, "_MOUNTS", mounts)
    assert _mountpoint.kind_of_mount(Path("/mnt/with space\\")) == "fuse.tcfs"
    assert _mountpoint.kind_of_mount(Path("/mnt/\u00e9")) == "fuse.tcfs"  # the upper one counts
    assert _mountpoint.kind_of_mount(Path("/mnt")) is None


def test_mount_of_ours_is_left_to_whoever_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "steps").mkdir()
    monkeypatch.setattr(_mountpoint, "kind_of_mount", lambda path: _mountpoint.KIND)
    assert _mountpoint.prepare(tmp_path) == _mountpoint.Place(tmp_path, made=False)


def test_usual_place_is_mnt_where_that_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(_mountpoint, "USUAL", tmp_path / "mnt" / "tracecraft")
    assert _mountpoint.choose() == tmp_path / "tracecraft"
    (tmp_path / "mnt").mkdir()
    assert _mountpoint.choose() == tmp_path / "mnt" / "tracecraft"


def test_letting_others_in_needs_the_system_s_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "fuse.conf"
    monkeypatch.setattr(_mountpoint, "_FUSE_CONF", conf)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Failure, match="needs the line user_allow_other"):
        _mountpoint.check_others_allowed()
    conf.write_text("# user_allow_other\n")
    with pytest.raises(Failure, match="needs the line user_allow_other"):
        _mountpoint.check_others_allowed()
    conf.write_text("user_allow_other\n")
    _mountpoint.check_others_allowed()
