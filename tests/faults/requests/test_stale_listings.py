"""A listing may be some seconds late: what that comes to, and that nothing is lost by it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.requests.lagging import Behind, lagging
from tests.mounts import Mount, credentials, family, is_reading, until
from tests.proxy import Proxy
from tests.servers import Account

SECONDS = 2.0  # that a listing is behind


@pytest.fixture
def service(seaweed: Account) -> Iterator[Proxy]:
    with Proxy(seaweed) as made:
        yield made


def mounted(home: Path, service: Proxy, project: str, agent: str) -> Mount:
    account = service.account
    where = f"s3://{account.bucket}/{project}"
    options = ("--endpoint", account.endpoint)
    return Mount(home, where, agent, *options, environment=credentials(account))


@pytest.fixture
def mount(home: Path, service: Proxy, project: str) -> Iterator[Mount]:
    with mounted(home, service, project, "me") as made:
        made.out("cat messages/me/unread")
        yield made


def waits(mount: Mount, pid: int) -> bool:
    return any(is_reading(it, "wait") for it in family(pid))


@pytest.mark.parametrize("box", ["me", "_broadcast"])
def test_a_message_that_a_listing_showed_late_is_unread(
    mount: Mount, service: Proxy, box: str
) -> None:
    """Where listings are behind, `ls`, `ready/` and mail are late by as much, and nothing is lost
    by it."""
    send = f"echo {{}} > as/sender/messages/{box}/inbox"
    mount.out(send.format("one"))
    (first,) = [key for method, key in service.asked if method == "PUT" and f"/{box}/" in key]
    service.rules = (lagging(lambda key, _: key == first),)
    mount.out(send.format("two"))
    assert mount.out("cat messages/me/unread").endswith(": two\n")
    assert mount.out("cat messages/me/unread") == ""
    with mount.popen("cat messages/me/wait") as waiting:
        until(lambda: waits(mount, waiting.pid), "cat to block")
        service.rules = ()
        assert waiting.communicate(timeout=20)[0].endswith(": one\n")
    assert mount.out("cat messages/me/unread") == ""
    shown = mount.out("cat messages/me/inbox").splitlines()
    assert [it.rpartition(": ")[2] for it in shown] == ["one", "two"]


def test_a_wait_ends_though_the_listing_it_reads_is_behind_the_one_that_woke_it(
    home: Path, mount: Mount, service: Proxy, project: str
) -> None:
    """Two copies of a service answer in turn, and one is behind."""
    listed = threading.Semaphore(0)
    turn = iter(range(1000))

    def late(key: str, prefix: str) -> bool:
        # The first listing that could show it does, the watcher's; the one after it does not.
        if "_sender_" not in key:
            return False
        listed.release()
        return next(turn) == 1

    with mount.popen("cat messages/me/wait") as waiting:
        until(lambda: waits(mount, waiting.pid), "cat to block")
        asked = len(service.asked)
        until(lambda: len(service.asked) > asked + 4, "the watcher to look")
        service.rules = (lagging(late),)
        with mounted(home, service, project, "sender") as other:
            other.out("echo hi > messages/me/inbox")
            assert waiting.communicate(timeout=20)[0].endswith(": hi\n")
    assert listed.acquire(timeout=0)


def test_every_message_is_read_once_where_listings_are_behind(
    home: Path, service: Proxy, project: str
) -> None:
    """Readers that come again and again are shown each message once, however late it is listed."""
    service.rules = (Behind(SECONDS),)
    with (
        mounted(home, service, project, "me") as reader,
        mounted(home, service, project, "sender") as sender,
    ):
        script = "for i in $(seq 30); do echo {0} $i > as/{0}/messages/me/inbox; done"
        shells = [sender.popen(script.format(it)) for it in ("a", "b")]
        read: list[str] = []

        def all_read() -> bool:
            read.extend(reader.out("cat messages/me/unread").splitlines())
            return len(read) >= 60

        until(all_read, "60 messages")
        for shell in shells:
            assert shell.communicate(timeout=20) == ("", "")
        texts = [it.rpartition(": ")[2] for it in read]
        assert sorted(texts) == sorted(f"{it} {n}" for it in "ab" for n in range(1, 31))
        assert reader.out("cat messages/me/unread") == ""


def test_each_step_is_done_once_where_listings_are_behind(
    home: Path, service: Proxy, project: str
) -> None:
    """`ready/take` loses a race for what a listing still shows as free, and goes on."""
    with (
        mounted(home, service, project, "one") as one,
        mounted(home, service, project, "two") as two,
    ):
        one.out("for s in a b c d e f; do echo pending > steps/$s/status; done")
        one.out("echo a > steps/f/after")
        service.rules = (Behind(SECONDS),)
        work = (
            "while s=$(cat ready/take); do echo $s; echo complete > steps/$s/status || exit 1; done"
        )
        shells = [it.popen(work) for it in (one, two, one)]
        done = [shell.communicate(timeout=60)[0] for shell in shells]
        assert sorted("".join(done).split()) == list("abcdef")
        assert one.out("cat steps/*/status") == "complete\n" * 6


def test_a_name_shows_late_and_is_found_at_once(mount: Mount, service: Proxy) -> None:
    """Where a listing is behind, `ls` is: what is asked for by its name is there at once."""
    service.rules = (Behind(SECONDS),)
    mount.out("echo v > memory/k; echo > steps/x/claim; mkdir -p artifacts/d; echo > artifacts/d/f")
    assert mount.out("cat memory/k steps/x/status; [ -e artifacts/d/f ] && echo yes") == (
        "v\nin_progress\nyes\n"
    )
    for path, name in (("memory", "k"), ("steps", "x"), ("artifacts/d", "f")):
        until(lambda p=path, n=name: n in mount.out(f"ls {p}").split(), f"{name} to be listed")
