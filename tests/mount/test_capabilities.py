"""What a store proved decides what a mount of it does (docs/semantics.md, The store)."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import proxy
from tests.mounts import Mount, credentials, until
from tests.proxy import Proxy
from tests.servers import Account


@pytest.fixture
def service(seaweed: Account) -> Iterator[Proxy]:
    """Yield an honest service; a test gives it rules before it mounts."""
    with Proxy(seaweed) as made:
        yield made


def mounted(home: Path, service: Proxy, project: str, *options: str) -> Mount:
    account = service.account
    where = ("--endpoint", account.endpoint, *options)
    environment = credentials(account)
    return Mount(home, f"s3://{account.bucket}/{project}", "me", *where, environment=environment)


def probes(service: Proxy) -> int:
    return sum("/.tcfs/probe/" in key and method == "PUT" for method, key in service.asked)


def test_capabilities_say_what_the_store_proved(remote: Mount) -> None:
    """`.tcfs/capabilities` says what the store proved, and what a mixed fleet can rely on."""
    assert "capabilities" in remote.out("ls .tcfs").split()
    said = remote.out("cat .tcfs/capabilities").splitlines()
    assert said[0].startswith("create if absent: yes, 5 of 5 rounds had one winner among 8 writers")
    assert "probed 20" in said[0]
    assert said[1].startswith("replace if unchanged: yes")
    assert "claims: atomic, one agent wins whatever host or tool the others use" in said
    assert any(line.startswith("mixed fleet: `complete`") for line in said)
    assert not any("marked as released" in line for line in said)
    assert json.loads(remote.out("cat status.json"))["claims"] == "atomic"
    assert remote.out("ls -a .tcfs/raw; ls -a").find("probe") == -1


def test_a_local_store_needs_no_probe(mount: Mount) -> None:
    said = mount.out("cat .tcfs/capabilities")
    assert said.startswith("create if absent: yes, link(2) lets one writer win\n")
    assert "reach: this host only" in said


@pytest.mark.parametrize("rule", [proxy.ignoring_conditions, proxy.racing(), None])
def test_claims_are_refused_where_the_store_decides_no_race(
    home: Path, service: Proxy, project: str, rule: proxy.Rule | None
) -> None:
    """Where the store decides no race, claims are refused with Operation not supported."""
    service.rules = (rule or proxy.without_conditions,)
    with mounted(home, service, project) as mount:
        assert "claims are refused; .tcfs/capabilities says why" in mount.log
        for act in (
            "echo > steps/x/claim",
            "mkdir steps/x/claim",
            "echo complete > steps/x/status",
            "set -C; echo v > memory/once",
        ):
            done = mount.sh(act)
            assert done.returncode != 0, act
            assert "Operation not supported" in done.stderr, (act, done.stderr)
        assert "this store cannot decide who is first (create if absent: " in mount.errors()
        assert "`tcfs mount --claims=best-effort` goes on without" in mount.errors()
        assert mount.out("ls steps; cat steps/x/status") == "pending\n"
        mount.out("echo v > memory/k; echo hi >> messages/me/inbox")
        assert mount.out("cat memory/k") == "v\n"
        assert "claims are refused" in mount.out("head -3 status")
        assert "create if absent: NO, " in mount.out("cat .tcfs/capabilities")


def test_appends_are_refused_where_the_store_compares_nothing(
    home: Path, service: Proxy, project: str
) -> None:
    """Where the store replaces without comparing, `>>` to memory is refused so, too."""
    service.rules = (proxy.ignoring_if_match,)
    with mounted(home, service, project) as mount:
        mount.out("echo one > memory/k")
        done = mount.sh("echo two >> memory/k")
        assert "Operation not supported" in done.stderr
        assert "replace if unchanged: a stale ETag was accepted" in mount.errors()
        assert mount.out("cat memory/k") == "one\n"


def test_best_effort_claims_say_so(home: Path, service: Proxy, project: str) -> None:
    """`--claims=best-effort` claims all the same, and says so in every claim and in `status`."""
    service.rules = (proxy.ignoring_conditions,)
    with mounted(home, service, project, "--claims", "best-effort") as mount:
        mount.out("echo mine > steps/x/claim")
        assert "File exists" in mount.sh("echo again > steps/x/claim").stderr
        assert json.loads(mount.out("cat steps/x/claim.json"))["best_effort"] is True
        assert "best effort: " in mount.out("cat steps/x/claim")
        assert "BEST EFFORT claims" in mount.out("head -3 status")
        assert json.loads(mount.out("cat status.json"))["claims"] == "best-effort"
        assert "claims: BEST EFFORT" in mount.out("cat .tcfs/capabilities")
        mount.out("echo one > memory/k; echo two >> memory/k; echo complete > steps/x/status")
        assert mount.out("cat memory/k steps/x/status") == "one\ntwo\ncomplete\n"


def test_a_step_is_given_back_without_conditional_delete(
    home: Path, service: Proxy, project: str
) -> None:
    """Without conditional delete a claim that is given back stays, marked as released."""
    service.rules = (proxy.deleting_always,)
    with mounted(home, service, project) as mount:
        assert "marked as released" in mount.out("cat .tcfs/capabilities")
        mount.out("echo > steps/x/claim; rm steps/x/claim")
        assert mount.sh("cat steps/x/claim").returncode != 0
        raw = json.loads(mount.out("cat .tcfs/raw/steps/x/claim.json"))
        assert raw["released"] is True
        mount.out("echo > steps/x/claim")
        assert mount.out("cat steps/x/owner") == "me\n"


def test_what_was_found_is_kept_for_a_day(home: Path, service: Proxy, project: str) -> None:
    """What the store proved is kept for a day; `--probe` tries it out anew."""
    with mounted(home, service, project):
        first = probes(service)
        assert first > 40
        kept = home / "cache" / "tcfs" / "probes"
        until(lambda: any(kept.glob("*.json")), "the findings to be kept")
    (file,) = kept.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert service.account.secret_key not in file.read_text()
    service.rules = (proxy.ignoring_conditions,)
    with mounted(home, service, project) as again:
        assert "claims: atomic" in again.out("cat .tcfs/capabilities")
        assert probes(service) == first
    with mounted(home, service, project, "-o", "probe") as anew:
        assert "claims: refused" in anew.out("cat .tcfs/capabilities")
        assert probes(service) > first


def test_read_only_credentials_read(home: Path, service: Proxy, project: str) -> None:
    """With credentials that may not write a project is read, and writes are Permission denied."""
    with mounted(home, service, project) as first:
        first.out("echo v > memory/k; echo > steps/x/claim")
    service.rules = (proxy.taking_no_writes,)
    with mounted(home, service, project, "--probe") as mount:
        assert mount.out("cat memory/k steps/x/owner") == "v\nme\n"
        for act in ("echo w > memory/k", "echo > steps/y/claim", "echo w >> memory/k"):
            done = mount.sh(act)
            assert done.returncode != 0, act
            assert "Permission denied" in done.stderr, (act, done.stderr)
        for path in ("/memory/k EACCES", "/steps/y/claim EACCES"):
            assert path in mount.errors(), mount.errors()
        assert "not probed: " in mount.out("cat .tcfs/capabilities")
        assert "403 AccessDenied" in mount.out("cat .tcfs/capabilities")


def test_read_only_mount_probes_nothing(home: Path, service: Proxy, project: str) -> None:
    with mounted(home, service, project, "--read-only") as mount:
        assert "not probed: the mount is read-only" in mount.out("cat .tcfs/capabilities")
    assert not [key for method, key in service.asked if method not in ("GET", "HEAD")]
