"""No credential is in anything that is shown, logged or kept, whatever goes wrong."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.mounts import SOURCE, Mount, children, credentials, until
from tests.proxy import UNANSWERED, Answer, Proxy, Request, Rule
from tests.servers import Account, boto3_client

ACCESS: Final = "AKIADISTINCTIVE00000"
SECRET: Final = "Distinctive/Secret+Key0123456789abcdefgh"
TOKEN: Final = "DistinctiveSessionToken0123456789//=="
SIGNED: Final = ("AWS4-HMAC-SHA256", "Signature=", "SignedHeaders")


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tcfs-"))
    yield path
    shutil.rmtree(path)


def quoting(status: int, code: str) -> Rule:
    """Answer as services do that tell in full what they were sent."""

    def rule(request: Request) -> Answer:
        headers = "".join(f"{name}: {value}\n" for name, value in request.headers.items())
        said = f"<Error><Code>{code}</Code><Message>{request.method} {headers}</Message></Error>"
        return Answer(status, said.encode(), {"x-amz-request-id": headers.replace("\n", " ")[:500]})

    return rule


TROUBLES: Final[dict[str, Rule]] = {
    "403": quoting(403, "SignatureDoesNotMatch"),
    "400": quoting(400, "AuthorizationHeaderMalformed"),
    "500": quoting(500, "InternalError"),
    "no XML": lambda request: Answer(200, str(request.headers).encode()),
    "half of one": lambda request: Answer(200, b"<ListBucketResult><Contents><Key>"),
    "away": lambda _: UNANSWERED,
    "redirect": lambda request: Answer(
        301, b"", {"location": f"http://{request.headers.get('host')}/x?X-Amz-Credential={ACCESS}"}
    ),
}


def command(home: Path, *arguments: str, **environ: str) -> str:
    """Run a command, and return all that it says."""
    done = subprocess.run(
        [sys.executable, "-m", "tcfs.cli", *arguments],
        cwd=home,
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(SOURCE)} | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def everything_below(*directories: Path) -> str:
    files = [it for top in directories for it in top.rglob("*") if it.is_file()]
    return "".join(f"{it}\n{it.read_bytes().decode(errors='replace')}\n" for it in files)


def leaks(text: str, *secrets: str) -> list[str]:
    return [
        text[max(0, at - 200) : at + 60] for it in (*secrets, *SIGNED) if (at := text.find(it)) >= 0
    ]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_commands_say_no_credential_whatever_the_service_says(
    home: Path, moto: Account, trouble: str
) -> None:
    with Proxy(replace(moto, access_key=ACCESS, secret_key=SECRET), TROUBLES[trouble]) as proxy:
        given = ("--endpoint", proxy.account.endpoint, "--deadline", "1.5")
        environ = {
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": TOKEN,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        store = f"s3://{moto.bucket}/project"
        said = command(home, "mount", store, str(home / "mnt"), *given, **environ)
        assert "tcfs: " in said
    assert leaks(said + everything_below(home), ACCESS, SECRET, TOKEN) == []
    assert "Traceback" not in said


def test_a_mount_shows_no_credential_through_all_troubles(
    home: Path, seaweed: Account, project: str
) -> None:
    """`.tcfs/store` and `.tcfs/config` say where everything comes from, without a secret."""
    secret = seaweed.secret_key
    with Proxy(seaweed) as proxy:
        where = proxy.account
        store = f"s3://{where.bucket}/{project}"
        options = ("--endpoint", where.endpoint, "--deadline", "1.5")
        with Mount(home, store, "designer", *options, environment=credentials(where)) as mount:
            mount.out("echo v > memory/k; echo > steps/x/claim; echo hi >> messages/designer/inbox")
            said = mount.out("cat status status.json board.html README .tcfs/* 2>&1; ls -lR .tcfs")
            for rule in TROUBLES.values():
                proxy.rules = (rule,)
                said += _all_of(mount.sh("echo w > memory/k; ls steps"))
            proxy.rules = ()
            mount.process.send_signal(signal.SIGUSR1)
            until(lambda: "stacks of all tasks" in mount.log, "the stacks")
            said += mount.out("cat .tcfs/errors .tcfs/metrics .tcfs/outbox status")
            for pid in (mount.process.pid, *children(mount.process.pid)):
                said += Path(f"/proc/{pid}/cmdline").read_bytes().decode()
                said += Path(f"/proc/{pid}/comm").read_text()
        with closing(boto3_client(seaweed)) as client:
            listed = client.list_objects_v2(Bucket=seaweed.bucket, Prefix=f"{project}/")
            for found in listed["Contents"]:
                got = client.get_object(Bucket=seaweed.bucket, Key=found["Key"])
                said += found["Key"] + got["Body"].read().decode(errors="replace")
    said += everything_below(home)
    assert "memory/k" in said
    assert "tcfs.fuse" in said  # the log is in it
    assert leaks(said, secret) == []


def _all_of(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "endpoint",
    [
        f"http://{ACCESS}:{SECRET}@localhost:1",
        f"http://:{SECRET}@localhost:1",
        f"http://localhost:1/?token={TOKEN}",
        f"http://localhost:1/#{TOKEN}",
    ],
)
def test_an_endpoint_with_credentials_is_refused_and_not_repeated(
    home: Path, endpoint: str
) -> None:
    """An endpoint is in many texts; so nothing secret may be in it."""
    (home / ".tracecraft.json").write_text(
        f'{{"bucket": "b", "project": "p", "endpoint": "{endpoint}", "access_key": "{ACCESS}", '
        f'"secret_key": "{SECRET}"}}'
    )
    said = command(home, "doctor")
    assert "an endpoint looks like" in said, said
    (home / ".tracecraft.json").unlink()
    said += command(home, "ls", "--store", "s3://b/p", AWS_ENDPOINT_URL=endpoint)
    assert said.count("an endpoint looks like") == 2, said
    assert leaks(said, SECRET, TOKEN) == []


@pytest.mark.parametrize("scheme", ["s3", "https", "file", "hf"])
def test_a_store_with_credentials_is_refused_and_not_repeated(home: Path, scheme: str) -> None:
    said = command(home, "mount", f"{scheme}://{ACCESS}:{SECRET}@bucket/project", str(home / "m"))
    assert "a STORE holds no credentials" in said
    assert leaks(said, ACCESS, SECRET) == []
    assert leaks(everything_below(home), ACCESS, SECRET) == []
