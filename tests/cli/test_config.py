"""Which project, as whom, and how that was decided (cli.md; wire.md, Configuration)."""

import json
from pathlib import Path
from typing import Any

import pytest

from tcfs.cli._failure import Failure
from tcfs.cli.config import Asked, Bucket, Local, Settings, settle

FILE = {
    "backend": "s3",
    "bucket": "fleet",
    "project": "apollo",
    "agent_id": "designer",
    "endpoint": "http://localhost:9000",
    "access_key": "AKIDEXAMPLE",
    "secret_key": "SECRETEXAMPLE",
}


@pytest.fixture
def decide(home: Path, work: Path) -> Any:
    def decide(environ: dict[str, str] | None = None, **asked: str) -> Settings:
        environ = {"XDG_DATA_HOME": str(home / "data")} | (environ or {})
        return settle(Asked("tcfs mount", **asked), environ, work, home)

    return decide


@pytest.fixture
def configured(work: Path) -> Path:
    path = work / ".tracecraft.json"
    path.write_text(json.dumps(FILE))
    return path


def test_store_argument_names_bucket_and_project(decide: Any) -> None:
    store = decide(store="s3://fleet/apollo/").store
    assert store == Bucket("fleet", "apollo")
    assert store.url == "s3://fleet/apollo"


def test_project_may_have_slashes(decide: Any) -> None:
    assert decide(store="s3://fleet/team/apollo").store == Bucket("fleet", "team/apollo")


@pytest.mark.parametrize(
    ("text", "where"),
    [("file:///srv/fleet", "/srv/fleet"), ("/srv/fleet", "/srv/fleet"), ("../fleet", "fleet")],
)
def test_store_argument_names_directory(decide: Any, text: str, where: str, tmp_path: Path) -> None:
    store = decide(store=text).store
    assert store == Local(tmp_path / where)
    assert not store.embedded


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s3://fleet", "names no project; write s3://bucket/project"),
        ("s3:///apollo", "names no project"),
        ("file://fleet", "is not absolute; write file:///directory"),
        ("gs://fleet/apollo", "no store that tcfs knows"),
        ("hf://user/fleet/apollo", "does not mount hf:// yet"),
    ],
)
def test_store_that_cannot_be_meant_is_refused(decide: Any, text: str, says: str) -> None:
    with pytest.raises(Failure, match=says):
        decide(store=text)


def test_without_anything_it_is_embedded_store_of_this_directory(decide: Any, home: Path) -> None:
    settings = decide()
    assert settings.store == Local(home / "data/tcfs/work", embedded=True)
    assert settings.credentials_how == "none are needed"


def test_relative_xdg_directory_is_ignored(
    decide: Any, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("HOME", str(home))
    directory = decide({"XDG_DATA_HOME": "data"}).store.directory
    assert directory == home / ".local/share/tcfs/work"


def test_configuration_of_directory_is_used(decide: Any, configured: Path) -> None:
    settings = decide()
    assert settings.store == Bucket(
        "fleet",
        "apollo",
        endpoint="http://localhost:9000",
        access_key="AKIDEXAMPLE",
        secret_key="SECRETEXAMPLE",
    )
    assert settings.store_how == settings.credentials_how == f"in {configured}"
    assert (settings.agent, settings.agent_how) == ("designer", f"agent_id in {configured}")


@pytest.mark.parametrize("name", ["bucket", "endpoint", "access_key"])
@pytest.mark.parametrize("char", ["\0", "\n", "\x1b", "\x9b", "\u202e", " ", "é"], ids=ascii)
def test_what_no_request_can_hold_is_refused(
    decide: Any, configured: Path, name: str, char: str
) -> None:
    configured.write_text(json.dumps(FILE | {name: f"{FILE[name]}{char}x"}))
    with pytest.raises(Failure, match=f"the {name} of the store .*{configured.name}.*correct it"):
        decide()
    # Nor from the command line, whose keys are the file's where the bucket is the same.
    asked = {"store": "s3://fleet/apollo"}
    asked |= {"endpoint": f"http://host{char}:1"} if name == "endpoint" else {}
    asked["store"] = (
        asked["store"].replace("fleet", f"fleet{char}x") if name == "bucket" else asked["store"]
    )
    with pytest.raises(Failure, match=f"the {name} of the store"):
        decide(**asked)


def test_secret_key_may_be_any_text(decide: Any, configured: Path) -> None:
    configured.write_text(json.dumps(FILE | {"secret_key": "pass phrase é"}))
    assert decide().store.secret_key == "pass phrase é"


def test_directory_that_cannot_be_named_is_refused(decide: Any, configured: Path) -> None:
    file = {"backend": "file", "bucket": "a\0b", "project": "apollo"}
    configured.write_text(json.dumps(file))
    with pytest.raises(Failure, match=r"'a\\x00b' is no directory's name; correct 'bucket'"):
        decide()
    # All else can be, however strange.
    configured.write_text(json.dumps(file | {"bucket": "/srv/a\nb\u200f"}))
    assert decide().store == Local(Path("/srv/a\nb\u200f/apollo"))


def test_configuration_of_home_comes_second(decide: Any, home: Path, configured: Path) -> None:
    other = home / ".tracecraft" / "config.json"
    other.parent.mkdir()
    other.write_text(json.dumps(FILE | {"project": "gemini"}))
    assert decide().store.project == "apollo"
    configured.unlink()
    assert decide().store.project == "gemini"


def test_configuration_without_backend_is_s3(decide: Any, configured: Path) -> None:
    configured.write_text(json.dumps({"bucket": "fleet", "project": "apollo", "endpoint": None}))
    assert decide().store == Bucket("fleet", "apollo")


def test_configuration_of_local_store(decide: Any, configured: Path, home: Path) -> None:
    configured.write_text('{"backend": "file", "project": "apollo"}')
    assert decide().store == Local(home / "data/tcfs/apollo", embedded=True)
    configured.write_text('{"backend": "file", "bucket": "/srv/fleet", "project": "apollo"}')
    assert decide().store == Local(Path("/srv/fleet/apollo"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "a JSON object was expected"),
        ('{"bucket": "fleet"}', "names no project"),
        ('{"project": "apollo"}', "names no bucket"),
        ('{"bucket": 5, "project": "apollo"}', "'bucket' must be a text"),
        ('{"backend": "gs", "project": "apollo"}', "knows no backend 'gs'"),
        ('{"backend": "hf", "bucket": "u/b", "project": "apollo"}', "does not mount hf:// yet"),
        ('{"bucket": "fleet", "project": "apollo", "access_key": "a"}', "no secret_key"),
    ],
)
def test_configuration_that_cannot_be_used_is_refused(
    decide: Any, configured: Path, text: str, says: str
) -> None:
    configured.write_text(text)
    with pytest.raises(Failure, match=says) as refusal:
        decide()
    assert str(configured) in str(refusal.value)


def test_keys_go_to_the_bucket_they_were_configured_for_only(decide: Any, configured: Path) -> None:
    assert decide(store="s3://fleet/gemini").store.secret_key == "SECRETEXAMPLE"
    other = decide(store="s3://other/apollo")
    assert other.store == Bucket("other", "apollo")
    assert other.credentials_how == "as boto3 finds them"


def test_profile_takes_the_place_of_configured_keys(decide: Any, configured: Path) -> None:
    settings = decide(profile="work", region="eu-west-1", endpoint="http://other:1")
    assert settings.store == Bucket(
        "fleet", "apollo", endpoint="http://other:1", region="eu-west-1", profile="work"
    )
    assert settings.credentials_how == "of profile work (--profile)"


def test_directory_has_no_endpoint(decide: Any) -> None:
    with pytest.raises(Failure, match="has no endpoint"):
        decide(store="/srv/fleet", endpoint="http://localhost:9000")


def test_agent_is_that_of_option_environment_configuration_user(
    decide: Any, configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    environ = {"TRACECRAFT_AGENT": "developer"}

    def agent(**asked: str) -> tuple[str, str]:
        settings = decide(environ, **asked)
        return settings.agent, settings.agent_how

    assert agent(agent="tester") == ("tester", "--agent")
    by_environ = "TRACECRAFT_AGENT in the environment of tcfs mount"
    assert agent() == ("developer", by_environ)
    environ.clear()
    assert agent() == ("designer", f"agent_id in {configured}")
    configured.unlink()
    assert agent() == ("ada", "the user's name")


def test_agent_that_cannot_be_one_is_refused(decide: Any) -> None:
    with pytest.raises(Failure, match=r"may not begin with '_'.*this is --agent"):
        decide(agent="_broadcast")
    with pytest.raises(Failure, match="in the environment of tcfs mount"):
        decide({"TRACECRAFT_AGENT": "a/b"})


def test_description_holds_no_secret(decide: Any, configured: Path) -> None:
    configured.write_text(json.dumps(FILE | {"endpoint": "https://user:hunter2@host:9000/x"}))
    settings = decide()
    assert settings.describe() == (
        f"store s3://fleet/apollo (in {configured})",
        "endpoint https://host:9000/x",
        f"credentials in {configured}",
        f"agent designer (agent_id in {configured})",
    )
    for secret in ("SECRETEXAMPLE", "AKIDEXAMPLE", "hunter2"):
        assert secret not in "\n".join(settings.describe())
    assert "SECRETEXAMPLE" not in repr(settings)
