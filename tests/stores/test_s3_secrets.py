"""What requests to a bucket are signed with is known, wherever boto3 found it."""

import json
import sys
from pathlib import Path

import pytest

from tcfs.stores._s3_account import Clients, account

PROCESS = """\
import datetime, json, pathlib
count = pathlib.Path(__file__).with_name("count")
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
# So soon that it is asked for anew before each use, and never too late.
ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
print(json.dumps({
    "Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": f"secret-{number}",
    "SessionToken": f"token-{number}", "Expiration": ends.isoformat(),
}))
"""


@pytest.fixture(autouse=True)
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of AWS clients with nothing in it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


def clients(profile: str | None = None, **keys: str | None) -> Clients:
    pair = {"access_key": None, "secret_key": None} | keys
    where = account("bucket", endpoint=None, region=None, profile=profile, timeout=1, **pair)
    return Clients(where)


def test_a_key_pair_that_is_given_is_known() -> None:
    assert clients(access_key="AKID", secret_key="given").secrets() == {"given"}


def test_a_key_pair_of_the_environment_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the environment")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "its token")
    assert clients().secrets() == {"of the environment", "its token"}


@pytest.mark.parametrize("named", [True, False], ids=["named", "default"])
def test_what_a_profile_has_is_known(aws: Path, named: bool) -> None:
    profile = "ours" if named else "default"
    (aws / "credentials").write_text(
        f"[{profile}]\naws_access_key_id = AKID\naws_secret_access_key = of a profile\n"
        "aws_session_token = and its token\n"
    )
    assert clients("ours" if named else None).secrets() == {"of a profile", "and its token"}


def test_what_was_refreshed_stays_known_and_all_clients_share_it(aws: Path) -> None:
    process = aws / "process.py"
    process.write_text(PROCESS)
    (aws / "config").write_text(
        f"[profile ours]\ncredential_process = {json.dumps(sys.executable)} {process}\n"
    )
    ours = clients("ours")
    ours.prepare()
    assert (aws / "count").read_text() == "1"  # not once a client
    first = ours.secrets()
    second = ours.secrets()
    assert first < second
    for number in range(2, int((aws / "count").read_text()) + 1):
        assert {f"secret-{number}", f"token-{number}"} <= second
    ours.close()


def test_without_credentials_nothing_is_known() -> None:
    assert clients().secrets() == frozenset()
