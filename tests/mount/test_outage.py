"""A server that goes away under a mount, and comes back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounts import Mount, credentials, family, is_reading, until
from tests.servers import SeaweedFS

DEADLINE = 2.0  # seconds, for `--deadline`: the subject here is that it is kept


@pytest.fixture
def server(home: Path) -> Iterator[SeaweedFS]:
    (home / "weed").mkdir()
    with SeaweedFS(home / "weed") as made:
        yield made


@pytest.fixture
def mounted(home: Path, server: SeaweedFS) -> Iterator[Mount]:
    account = server.account
    options = ("--endpoint", account.endpoint, "--deadline", str(DEADLINE))
    store = f"s3://{account.bucket}/outage"
    with Mount(home, store, "designer", *options, environment=credentials(account)) as made:
        yield made


def test_nothing_hangs_and_everything_works_afterwards(mounted: Mount, server: SeaweedFS) -> None:
    """No operation takes longer than the mount's deadline, but a read that waits on purpose."""
    mounted.out("echo before > memory/k; echo > steps/x/claim; echo hi >> messages/designer/inbox")
    server.kill()
    for script in (
        "cat memory/k",
        "echo v > memory/k",
        "echo v >> memory/k",
        "ls memory",
        "ls -l steps",
        "cat steps/x/status",
        "echo > steps/y/claim",
        "echo complete > steps/x/status",
        "cat messages/designer/inbox",
        "echo hi > messages/designer/note",
        "ls agents",
        "cat agents/designer",
        "cat status",
        "ls .tcfs/raw",
    ):
        begin = time.monotonic()
        done = mounted.sh(script)
        took = time.monotonic() - begin
        assert done.returncode != 0, (script, done.stdout)
        assert "Connection timed out" in done.stderr or "Input/output error" in done.stderr, (
            script,
            done.stderr,
        )
        assert took < DEADLINE * 2 + 1, (script, took)  # at most a look-up and the act itself
    assert mounted.sh("echo v > memory/k || echo failed").stdout == "failed\n"
    assert "tcp connect error; check the network" in mounted.errors()
    assert mounted.out("ls; cat README .tcfs/version") != ""
    server.start()
    _writes_again(mounted)
    assert mounted.out("cat memory/k; cat steps/x/status") == "before\nin_progress\n"
    mounted.out("echo after > memory/k; echo complete > steps/x/status; echo > steps/y/claim")
    assert mounted.out("cat memory/k steps/x/status steps/y/owner") == "after\ncomplete\ndesigner\n"
    assert "Traceback" not in mounted.log


def test_a_wait_outlasts_an_outage(mounted: Mount, server: SeaweedFS) -> None:
    with mounted.popen("cat steps/x/wait") as waiting:
        until(lambda: any(is_reading(it, "wait") for it in family(waiting.pid)), "cat to block")
        server.kill()
        assert mounted.sh("cat memory/k").returncode != 0
        server.start()
        _writes_again(mounted)
        mounted.out("echo complete > steps/x/status")
        assert waiting.communicate(timeout=20)[0] == "complete\n"


def _writes_again(mount: Mount) -> None:
    """Wait until the server writes as fast as ever: its first volumes take it a while."""

    def at_once() -> bool:
        begin = time.monotonic()
        done = mount.sh("echo v > memory/warm && echo v >> memory/warm")
        return done.returncode == 0 and time.monotonic() - begin < DEADLINE / 4

    until(at_once, "the server to write")
