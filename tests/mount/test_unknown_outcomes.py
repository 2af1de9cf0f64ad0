"""What shells see when the store does not say what became of a write (tree.md, memory)."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounts import Mount, credentials
from tests.proxy import UNANSWERED, Answer, Proxy, Request, refusal
from tests.servers import Account

DEADLINE = 3.0  # seconds, for `--deadline`: the subject is what happens at its end


@pytest.fixture
def service(seaweed: Account) -> Iterator[Proxy]:
    with Proxy(seaweed) as made:
        yield made


@pytest.fixture
def mount(home: Path, service: Proxy, project: str) -> Iterator[Mount]:
    account = service.account
    options = ("--endpoint", account.endpoint, "--deadline", str(DEADLINE))
    store = f"s3://{account.bucket}/{project}"
    with Mount(home, store, "me", *options, environment=credentials(account)) as made:
        made.out("echo one > memory/k")
        yield made


def appends(request: Request) -> bool:
    return request.key.endswith("/memory/k.json") and "if-match" in request.headers


def fails(mount: Mount, why: str) -> None:
    """Append, and see that it fails in time."""
    begin = time.monotonic()
    done = mount.sh("echo two >> memory/k")
    assert time.monotonic() - begin < DEADLINE + 1
    assert (done.returncode, why in done.stderr) == (1, True), done.stderr


def test_an_append_whose_answer_is_lost_is_there_once(mount: Mount, service: Proxy) -> None:
    lost = []

    def rule(request: Request) -> Answer | None:
        if not appends(request) or lost:
            return None
        lost.append(request.forward())
        return UNANSWERED

    service.rules = (rule,)
    mount.out("echo two >> memory/k")
    assert [it.status for it in lost] == [200]
    assert mount.out("cat memory/k") == "one\ntwo\n"


@pytest.mark.parametrize("acts", [True, False])
def test_an_append_that_nobody_can_tell_of_is_eio(mount: Mount, service: Proxy, acts: bool) -> None:
    """`>>` past the deadline is EIO where it is unknown whether it was added, else ETIMEDOUT and
    nothing was."""
    sent = []

    def rule(request: Request) -> Answer | None:
        if appends(request) and not sent:
            sent.append(request.forward().status if acts else 0)
        return UNANSWERED if sent else None

    service.rules = (rule,)
    fails(mount, "Input/output error")
    service.rules = ()
    assert sent == [200 if acts else 0]
    [line] = [it for it in mount.errors().splitlines() if "/memory/k EIO" in it]
    assert "did not say whether" in line
    assert "read it before trying again" in line
    assert mount.out("cat memory/k") == ("one\ntwo\n" if acts else "one\n")
    mount.out("echo three >> memory/k")
    assert mount.out("tail -n 1 memory/k") == "three\n"


def test_an_append_that_never_gets_its_turn_adds_nothing(mount: Mount, service: Proxy) -> None:
    def rule(request: Request) -> Answer | None:
        return refusal(412, "PreconditionFailed") if appends(request) else None

    service.rules = (rule,)
    fails(mount, "Connection timed out")
    service.rules = ()
    [line] = [it for it in mount.errors().splitlines() if "/memory/k ETIMEDOUT" in it]
    assert "could not be written before the deadline" in line
    assert mount.out("cat memory/k") == "one\n"
