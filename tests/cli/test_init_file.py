"""What `tcfs init` writes, and where."""

from pathlib import Path
from typing import Any

import pytest

from tcfs.cli import _config_file
from tcfs.cli._failure import Failure
from tcfs.cli.init import merge

NOTHING: dict[str, str | None] = dict.fromkeys(
    ("backend", "bucket", "project", "agent_id", "endpoint", "access_key", "secret_key")
)
WORK = Path("/home/ada/apollo")


def given(**values: str) -> dict[str, str | None]:
    return NOTHING | values


def test_defaults_are_those_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert merge({}, given(bucket="fleet"), WORK) == {
        "backend": "s3",
        "bucket": "fleet",
        "project": "apollo",
        "agent_id": "ada",
    }


def test_members_it_does_not_know_are_kept() -> None:
    before = {"bucket": "fleet", "project": "p", "agent_id": "a", "colour": {"of": "magic"}}
    after = merge(before, given(agent_id="b"), WORK)
    assert after == before | {"backend": "s3", "agent_id": "b"}


def test_keys_stay_with_their_bucket() -> None:
    before: dict[str, Any] = {"bucket": "fleet", "access_key": "k", "secret_key": "s"}
    assert merge(before, given(project="p"), WORK)["secret_key"] == "s"
    assert "secret_key" not in merge(before, given(bucket="other"), WORK)
    assert "access_key" not in merge(before, given(endpoint="http://other"), WORK)
    new = merge(before, given(bucket="other", access_key="k2", secret_key="s2"), WORK)
    assert new["secret_key"] == "s2"


def test_keys_of_the_environment_are_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert not {"access_key", "secret_key"} & merge({}, given(bucket="fleet"), WORK).keys()


def test_bucket_is_needed_where_there_are_buckets() -> None:
    with pytest.raises(Failure, match="use --bucket NAME, or --backend file"):
        merge({}, given(project="p"), WORK)
    assert "bucket" not in merge({}, given(backend="file"), WORK)


def test_directory_is_stored_absolute() -> None:
    assert merge({}, given(backend="file", bucket="../x"), WORK)["bucket"] == "/home/ada/x"


def test_file_is_its_owners_only_even_if_it_was_not(work: Path) -> None:
    path = work / ".tracecraft.json"
    path.write_text("{}")
    path.chmod(0o644)
    _config_file.write(path, {"bucket": "fleet"})
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == '{\n  "bucket": "fleet"\n}\n'
    assert list(work.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_file(work: Path) -> None:
    path = work / ".tracecraft.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="not writable as JSON"):
        _config_file.write(path, {"bucket": "\ud800"})
    assert path.read_text() == "{}"
    assert list(work.iterdir()) == [path]


def test_file_of_another_kind_is_not_overwritten(work: Path) -> None:
    path = work / ".tracecraft.json"
    path.write_text("not JSON")
    with pytest.raises(Failure, match="correct or remove it"):
        _config_file.read(path)


def test_git_is_told_to_ignore_it_once(work: Path) -> None:
    (work / ".git").mkdir()
    (work / ".gitignore").write_text("*.pyc")
    assert _config_file.keep_out_of_git(work) == work / ".gitignore"
    assert (work / ".gitignore").read_text() == "*.pyc\n.tracecraft.json\n"
    assert _config_file.keep_out_of_git(work) is None


def test_git_is_told_in_a_directory_of_a_checkout(work: Path) -> None:
    (work / ".git").write_text("gitdir: elsewhere")  # as a worktree has it
    below = work / "below"
    below.mkdir()
    assert _config_file.keep_out_of_git(below) == below / ".gitignore"
    assert not (work / ".gitignore").exists()


def test_checkout_that_ignores_it_is_left_alone(work: Path) -> None:
    (work / ".git").mkdir()
    (work / ".gitignore").write_text("/.tracecraft.json\n.tracecraft.json\n")
    below = work / "below"
    below.mkdir()
    assert _config_file.keep_out_of_git(below) is None


def test_without_git_nothing_is_written(work: Path) -> None:
    assert _config_file.keep_out_of_git(work) is None
    assert not (work / ".gitignore").exists()
