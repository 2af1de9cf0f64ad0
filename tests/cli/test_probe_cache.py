"""What a store was found to do is believed for so long, and only if this user alone wrote it."""

import time
from pathlib import Path

import pytest

import tcfs
from tcfs.cli import _probe_cache
from tcfs.stores.probe import Finding, Findings
from tcfs.wire.times import iso


def found(age: float = 0.0, *, sure: bool = True) -> Findings:
    yes = Finding(True, "seen")
    taken = iso(time.time_ns() - int(age * 1_000_000_000))
    return Findings(taken, Finding(True, "seen", sure), yes, yes, yes, yes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return _probe_cache.path_of("https://s3 bucket", {"XDG_CACHE_HOME": str(tmp_path / "cache")})


def test_what_was_found_is_read_again(path: Path) -> None:
    assert _probe_cache.read(path) is None
    kept = found()
    _probe_cache.write(path, kept)
    assert _probe_cache.read(path) == kept
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [it.name for it in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("age", [86_401.0, -60.0])
def test_yesterday_and_tomorrow_are_not_believed(path: Path, age: float) -> None:
    _probe_cache.write(path, found(age))
    assert _probe_cache.read(path) is None


def test_what_is_not_sure_is_believed_for_an_hour(path: Path) -> None:
    for age, is_kept in ((3_599.0, True), (3_601.0, False)):
        kept = found(age, sure=False)
        _probe_cache.write(path, kept)
        assert (_probe_cache.read(path) == kept) is is_kept


def test_what_others_may_write_is_not_believed(path: Path) -> None:
    _probe_cache.write(path, found())
    path.chmod(0o622)
    assert _probe_cache.read(path) is None


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"taken": "x", "create": {"held": 1}}'])
def test_what_is_no_finding_is_not_believed(path: Path, text: bytes) -> None:
    _probe_cache.write(path, found())
    path.write_bytes(text)
    assert _probe_cache.read(path) is None


def test_another_service_bucket_or_version_is_another_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert _probe_cache.path_of("https://s3 other", environ) != path
    monkeypatch.setattr(tcfs, "__version__", "99")
    assert _probe_cache.path_of("https://s3 bucket", environ) != path
