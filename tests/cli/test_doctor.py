"""`tcfs doctor`: a line a check, ok or what to do."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tcfs.cli._failure import Exit
from tests import proxy
from tests.mounts import Mount, credentials
from tests.proxy import Proxy
from tests.servers import Account, boto3_client
from tests.stores import scripted

Tcfs = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def service(seaweed: Account) -> Iterator[Proxy]:
    with Proxy(seaweed) as made:
        yield made


@pytest.fixture
def examine(tcfs: Tcfs, service: Proxy, project: str) -> Tcfs:
    def examine(*options: str, **environ: str) -> "CompletedProcess[str]":
        url = f"s3://{service.account.bucket}/{project}"
        given = credentials(service.account) | environ
        return tcfs("doctor", url, "--endpoint", service.account.endpoint, *options, **given)

    return examine


def trouble(done: "CompletedProcess[str]") -> list[str]:
    """Return the names of the checks that are not ok, but for mounts, whoever's they are."""
    assert done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith(("ok  ", "NOT ")) for line in lines)
    return [
        line[4:].partition(":")[0]
        for line in lines
        if line.startswith("NOT ") and line[4:10] != "mount:"
    ]


def test_all_is_well_on_an_honest_service(examine: Tcfs, service: Proxy, seaweed: Account) -> None:
    done = examine()
    assert trouble(done) == []
    assert done.returncode == Exit.DONE
    for line in (
        "ok  /dev/fuse: open to this user",
        "ok  credentials: as boto3 finds them: a key pair",
        f"ok  store: {service.account.endpoint} answers",
        "ok  bucket: there, and can be listed",
        "ok  reading: allowed",
        "ok  writing: allowed",
        "ok  create if absent: 5 of 5 rounds had one winner among 8 writers",
        "ok  delete if unchanged: a stale ETag was refused and the current one accepted",
    ):
        assert line in done.stdout
    assert "ok  clock: within " in done.stdout
    assert seaweed.secret_key not in done.stdout


def test_it_leaves_nothing_in_the_store(examine: Tcfs, seaweed: Account, project: str) -> None:
    assert examine().returncode == 0
    found = boto3_client(seaweed).list_objects_v2(Bucket=seaweed.bucket, Prefix=project)
    assert found.get("Contents", []) == []


def test_json_has_the_same(examine: Tcfs) -> None:
    said = json.loads(examine("--json").stdout)
    assert said["ok"] is True
    assert {"name": "writing", "ok": True, "text": "allowed"} in said["checks"]


def test_a_store_that_decides_no_race_is_told_of(examine: Tcfs, service: Proxy) -> None:
    service.rules = (proxy.ignoring_conditions,)
    done = examine()
    assert done.returncode == Exit.FAILED
    assert trouble(done) == ["create if absent", "replace if unchanged"]
    assert "tcfs mount --claims=best-effort has them all the same" in done.stdout
    assert "ok  delete if unchanged: no (" in done.stdout


def test_read_only_credentials_are_told_of(examine: Tcfs, service: Proxy) -> None:
    service.rules = (proxy.taking_no_writes,)
    done = examine()
    assert trouble(done) == ["writing"]
    assert "403 AccessDenied; check the credentials" in done.stdout


def test_wrong_credentials_are_told_of(examine: Tcfs) -> None:
    done = examine(AWS_SECRET_ACCESS_KEY="not this one")
    assert trouble(done) == ["bucket"]
    assert "403 SignatureDoesNotMatch; check the credentials" in done.stdout
    assert "not this one" not in done.stdout


def test_missing_credentials_are_told_of(examine: Tcfs) -> None:
    done = examine(
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert trouble(done) == ["credentials"]
    assert "set AWS_ACCESS_KEY_ID" in done.stdout


def test_missing_bucket_is_told_of(tcfs: Tcfs, seaweed: Account) -> None:
    done = tcfs("doctor", "s3://nowhere/p", "--endpoint", seaweed.endpoint, **credentials(seaweed))
    assert trouble(done) == ["bucket"]
    assert "there is no bucket nowhere; `tcfs init` makes it" in done.stdout


def test_server_that_is_down_is_told_of(tcfs: Tcfs) -> None:
    with scripted.refusing() as account:
        url = f"s3://{account.bucket}/p"
        done = tcfs("doctor", url, "--endpoint", account.endpoint, **credentials(account))
    assert trouble(done) == ["store"]
    assert "check the network and the endpoint" in done.stdout


def test_clock_that_is_off_is_told_of(examine: Tcfs, service: Proxy) -> None:
    def yesterday(request: proxy.Request) -> proxy.Answer:
        said = request.forward()
        said.headers["Date"] = "Sat, 22 Nov 2025 00:00:00 GMT"
        return said

    service.rules = (yesterday,)
    done = examine()
    assert trouble(done) == ["clock"]
    assert "s off the store's; set this host's clock" in done.stdout


def test_local_store_is_well_and_said_to_be_local(tcfs: Tcfs, tmp_path: Path) -> None:
    done = tcfs("doctor", tmp_path / "store")
    assert (trouble(done), done.returncode) == ([], 0)
    assert "ok  store: a directory of this host; not shared between hosts" in done.stdout
    assert not (tmp_path / "store").exists()


def test_directories_open_to_others_are_told_of(tcfs: Tcfs, tmp_path: Path, home: Path) -> None:
    cache = home / ".cache" / "tcfs"
    cache.mkdir(parents=True)
    cache.chmod(0o755)
    done = tcfs("doctor", tmp_path / "store")
    assert trouble(done) == ["cache directory"]
    assert f"run: chmod 700 {cache}" in done.stdout


def test_mounts_that_do_not_answer_are_told_of(tcfs: Tcfs, tmp_path: Path) -> None:
    with Mount(tmp_path, str(tmp_path / "store"), "me") as mount:
        assert f"{mount.path} " not in tcfs("doctor", tmp_path / "store").stdout
        mount.process.send_signal(signal.SIGSTOP)
        try:
            done = tcfs("doctor", tmp_path / "store")
        finally:
            mount.process.send_signal(signal.SIGCONT)
    assert done.returncode == Exit.FAILED
    says = f"NOT mount: {mount.path} does not answer; run: tcfs umount --lazy {mount.path}\n"
    assert says in done.stdout


def test_commands_without_a_mount_obey_what_was_found(
    tcfs: Tcfs, examine: Tcfs, service: Proxy, project: str
) -> None:
    service.rules = (proxy.ignoring_conditions,)
    assert examine().returncode == Exit.FAILED
    url = f"s3://{service.account.bucket}/{project}"
    where = ("--store", url, "--endpoint", service.account.endpoint)
    given = credentials(service.account)
    done = tcfs("complete", "x", *where, **given)
    assert done.returncode == Exit.FAILED
    assert "this store cannot decide who is first" in done.stderr
    done = tcfs("status", url, *where[2:], **given)
    assert "claims are refused; .tcfs/capabilities says why" in done.stdout


def test_an_agent_is_made_known_where_nothing_is_conditional(
    tcfs: Tcfs, service: Proxy, project: str
) -> None:
    service.rules = (proxy.without_conditions,)
    account = service.account
    where = ("--endpoint", account.endpoint, "--bucket", account.bucket, "--project", project)
    done = tcfs("init", *where, "--agent", "designer", **credentials(account))
    assert done.returncode == 0, done.stderr
    assert "designer" in tcfs("status", **credentials(account)).stdout


# what a mount says of the same


def mounting(
    tcfs: Tcfs, where: str, endpoint: str, place: Path, **environ: str
) -> "CompletedProcess[str]":
    return tcfs("mount", where, place, "--endpoint", endpoint, **environ)


def test_mount_fails_at_once_and_says_why(tcfs: Tcfs, seaweed: Account, tmp_path: Path) -> None:
    """A mount that cannot read its store fails at once: wrong credentials, no bucket, no server."""
    good = credentials(seaweed)
    with scripted.refusing() as nobody:
        for url, endpoint, environ, says in (
            (
                f"s3://{seaweed.bucket}/p",
                seaweed.endpoint,
                good | {"AWS_SECRET_ACCESS_KEY": "wrong"},
                "403 SignatureDoesNotMatch; check the credentials",
            ),
            (
                f"s3://{seaweed.bucket}/p",
                seaweed.endpoint,
                {"AWS_EC2_METADATA_DISABLED": "true"},
                f"there are no credentials for bucket {seaweed.bucket}",
            ),
            ("s3://nowhere/p", seaweed.endpoint, good, "there is no bucket nowhere; `tcfs init`"),
            ("s3://bucket/p", nobody.endpoint, good, "check the network and the endpoint"),
        ):
            done = mounting(tcfs, url, endpoint, tmp_path / "place", **environ)
            assert done.returncode == Exit.FAILED, done
            assert done.stdout == ""
            assert says in done.stderr
            assert done.stderr.startswith("tcfs: ")
            assert done.stderr.count("\n") == 1
            assert not (tmp_path / "place").exists()
