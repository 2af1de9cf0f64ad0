"""What a project is reached with never shows in what is mirrored, whoever knows it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Account, boto3_client

Tcfs = Callable[..., "subprocess.CompletedProcess[str]"]
ID = "5ca1ab1e-0000-4000-8000-000000000001"


def says(home: Path, work: Path, text: str) -> None:
    folder = home / ".claude" / "projects" / "any"
    folder.mkdir(parents=True, exist_ok=True)
    line = {"type": "user", "sessionId": ID, "cwd": str(work), "message": text}
    with (folder / f"{ID}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def stored(account: Account, project: str) -> str:
    client = boto3_client(account)
    listed = client.list_objects_v2(Bucket=account.bucket, Prefix=f"{project}/sessions/")
    return "".join(
        client.get_object(Bucket=account.bucket, Key=it["Key"])["Body"].read().decode()
        for it in listed["Contents"]
    )


def test_what_only_a_profile_knows_is_taken_out(
    tcfs: Tcfs, home: Path, work: Path, seaweed: Account, project: str
) -> None:
    """So is what the project is reached with, also where only a profile or a role knows it."""
    secret = seaweed.secret_key
    (home / "aws").write_text(
        f"[ours]\naws_access_key_id = {seaweed.access_key}\naws_secret_access_key = {secret}\n"
    )
    says(home, work, f"plainly {secret} and no more")
    store = f"s3://{seaweed.bucket}/{project}"
    where = ("--store", store, "--endpoint", seaweed.endpoint, "--profile", "ours")
    done = tcfs("mirror", *where, AWS_SHARED_CREDENTIALS_FILE=str(home / "aws"))
    assert (done.returncode, done.stderr) == (0, "")
    assert secret not in stored(seaweed, project)
    assert "plainly [REDACTED:credential] and no more" in stored(seaweed, project)


@pytest.mark.parametrize("member", ["secret_key", "session_token", "hf_token"])
def test_what_the_configuration_has_is_taken_out(
    tcfs: Tcfs, home: Path, work: Path, member: str
) -> None:
    says(home, work, "plainly open.sesame and no more")
    found = {"backend": "file", "bucket": "store", "project": "p", member: "open.sesame"}
    (work / ".tracecraft.json").write_text(json.dumps(found))
    done = tcfs("mirror")
    assert (done.returncode, done.stderr) == (0, "")
    (part,) = (work / "store" / "p" / "sessions").rglob("part-*.jsonl")
    assert "plainly [REDACTED:credential] and no more" in part.read_text()
