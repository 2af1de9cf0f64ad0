"""Mail through an outage and a crash, on a real server and real mounts."""

import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounts import Mount, credentials, until
from tests.servers import SeaweedFS

SHELLS = 4
EACH = 25  # messages of each shell


@pytest.fixture
def server(home: Path) -> Iterator[SeaweedFS]:
    (home / "weed").mkdir()
    with SeaweedFS(home / "weed") as made:
        yield made


def mounted(home: Path, server: SeaweedFS, agent: str) -> Mount:
    account = server.account
    options = ("--endpoint", account.endpoint)
    store = f"s3://{account.bucket}/outbox"
    return Mount(home, store, agent, *options, environment=credentials(account))


def senders(one_agent: bool) -> list[str]:
    """Return what each shell writes to; all of them as one agent, or each as its own."""
    agents = ["sender"] * SHELLS if one_agent else [f"sender{it}" for it in range(SHELLS)]
    return [f"as/{agent}/messages/reader/inbox" for agent in agents]


def send(mount: Mount, paths: list[str]) -> None:
    script = "for i in $(seq {}); do echo {} $i >> {} || exit 1; done"
    shells = [mount.popen(script.format(EACH, it, path)) for it, path in enumerate(paths)]
    for shell in shells:
        out, err = shell.communicate(timeout=60)
        assert (shell.returncode, out, err) == (0, "", "")


def shown(unread: str) -> dict[str, list[int]]:
    found = defaultdict(list)
    for line in unread.splitlines():
        shell, number = line.rpartition(": ")[2].split()
        found[shell].append(int(number))
    return dict(found)


@pytest.mark.parametrize("one_agent", [True, False])
def test_mail_of_an_outage_outlives_a_crash(home: Path, server: SeaweedFS, one_agent: bool) -> None:
    """Mail that was accepted is delivered, once and in order of each sender, through outages and
    crashes."""
    expected = {str(it): list(range(1, EACH + 1)) for it in range(SHELLS)}
    with mounted(home, server, "sender") as mount, mounted(home, server, "reader") as reader:
        mount.out("ls messages/reader; cat .tcfs/outbox")
        server.kill()
        begin = time.monotonic()
        send(mount, senders(one_agent))
        assert time.monotonic() - begin < 20, "only the first of each waits for the store"
        waiting = mount.out("cat .tcfs/outbox").splitlines()
        assert len(waiting) == SHELLS * EACH
        assert all(it.startswith("waiting [20") and "-> reader: " in it for it in waiting)
        mount.end(signal.SIGKILL)
        server.start()
        mount.start()
        until(lambda: mount.out("cat .tcfs/outbox") == "", "the mail to be delivered")
        assert shown(reader.out("cat messages/reader/unread")) == expected
        assert reader.out("cat messages/reader/unread") == ""
        assert len(reader.out("ls messages/reader").split()) == SHELLS * EACH + 1
        assert list((home / "state" / "tcfs" / "outbox").glob("*/*/*")) == []


def test_mail_waits_for_the_store_and_goes_by_itself(home: Path, server: SeaweedFS) -> None:
    """Where the store does not answer within 2 seconds, mail waits on this host's disk, and
    `close` succeeds."""
    with mounted(home, server, "sender") as mount, mounted(home, server, "reader") as reader:
        mount.out("ls messages/reader")
        server.kill()
        begin = time.monotonic()
        mount.out("echo one >> messages/reader/inbox")
        assert time.monotonic() - begin < 4
        begin = time.monotonic()
        mount.out("cat <<< two > messages/reader/inbox; echo three >> messages/reader/inbox")
        assert time.monotonic() - begin < 1
        server.start()
        until(lambda: mount.out("cat .tcfs/outbox") == "", "the mail to be delivered")
        got = reader.out("cat messages/reader/unread").splitlines()
        assert [it.rpartition(": ")[2] for it in got] == ["one", "two", "three"]


def test_a_mount_that_ends_in_an_outage_leaves_its_mail_to_the_next(
    home: Path, server: SeaweedFS
) -> None:
    with mounted(home, server, "sender") as mount:
        mount.out("mkdir messages/reader")
        server.kill()
        mount.out("echo one >> messages/reader/inbox; echo two >> messages/reader/inbox")
        mount.end()
        server.start()
        mount.start()
        until(lambda: mount.out("cat .tcfs/outbox") == "", "the mail to be delivered")
        lines = mount.out("cat messages/reader/inbox").splitlines()
        assert [it.rpartition(": ")[2] for it in lines] == ["one", "two"]


def test_a_mount_knows_of_nothing_to_send(mount: Mount) -> None:
    """`.tcfs/outbox` lists what waits and what was refused, one line each."""
    assert "outbox" in mount.out("ls .tcfs").split()
    assert mount.out("cat .tcfs/outbox") == ""
    assert mount.sh("echo x > .tcfs/outbox").returncode != 0
