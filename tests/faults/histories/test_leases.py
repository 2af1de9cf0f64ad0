"""Two holders at once are found, of steps and of locks, unless the first one's lease ran out."""

import errno
import json
from collections.abc import Mapping, Sequence

import pytest

from tests.faults.histories.checker import Operation
from tests.faults.histories.clients import Told
from tests.faults.histories.history import CLAIM, GIVE_BACK, OWNER, WON, Recorder
from tests.faults.histories.leases import DOUBT, SECOND, Away, Leases, expiries
from tests.faults.histories.steps import DEADLINE, LEASE, LOCKS, STEPS, Tenures, Things, do, judge
from tests.faults.histories.writes import Writes
from tests.proxy import Answer, Request
from tests.servers import Account

NAMES = STEP, LOCK = "steps-0-0", "locks-0-0"
WIN = Operation("a", CLAIM, "shell", WON, 0, 1)
LEASES = Leases(LEASE, DEADLINE)


def at(seconds: float) -> int:
    return int(seconds * SECOND)


def won(who: str, seconds: float) -> Operation:
    return Operation(who, CLAIM, "shell", WON, at(seconds), at(seconds) + 1)


def found(
    name: str,
    history: Sequence[Operation],
    writes: Sequence[tuple[str, str, float]] = (),
    **away: Sequence[Away],
) -> Tenures:
    """Judge a history; `writes` are the agent, the tenure and the time of what the store took."""
    tenures, taken = Tenures(), Writes("p")
    for agent, tenure, when in writes:
        key = f"steps/{name}/claim.json" if name == STEP else f"locks/{name}.json"
        document = {"agent": agent, "id": tenure, "generation": 1, "lease": {"seconds": LEASE}}
        taken.take(key, json.dumps(document).encode(), at(when))
    judge(tenures, {name: history}, away, taken)
    assert tenures.written == len(writes)
    return tenures


def killed(begin: float, end: float) -> Mapping[str, Sequence[Away]]:
    return {"a": [Away(at(begin), at(end))]}


@pytest.mark.parametrize("name", NAMES)
def test_two_holders_within_nanoseconds_are_found(name: str) -> None:
    owner = Operation("b", OWNER, "shell", "b", 4, 5)
    history = [WIN, Operation("b", CLAIM, "shell", WON, 2, 3), owner]
    assert found(name, history).violations
    # Whoever is hurt, and for however long.
    assert found(name, history, **killed(-100, 100), b=[Away(at(-100), at(100))]).violations


@pytest.mark.parametrize("name", NAMES)
def test_whose_mount_was_away_long_before_may_be_taken_over(name: str) -> None:
    tenures = found(name, [WIN, won("b", 20)], **killed(10, 25))
    assert tenures.good
    assert tenures.taken_over == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_mount_that_is_away_keeps_its_lease_until_that_ran_out(name: str) -> None:
    # Just claimed, and killed; and killed at a time when it surely had renewed.
    assert found(name, [WIN, won("b", LEASE - DOUBT - 0.1)], **killed(0.5, 25)).violations
    assert found(name, [WIN, won("b", LEASE - DOUBT + 0.1)], **killed(0.5, 25)).good
    surely = 20 + LEASE - LEASES.oldest - DOUBT
    assert found(name, [WIN, won("b", surely - 0.1)], **killed(20, 25)).violations
    assert found(name, [WIN, won("b", surely + 0.1)], **killed(20, 25)).good


@pytest.mark.parametrize("name", NAMES)
def test_nobody_else_s_mount_lets_a_lease_run_out(name: str) -> None:
    history = [WIN, won("b", 20)]
    assert found(name, history, b=[Away(at(1), at(25))]).violations
    assert found(name, history, a=[], b=[Away(at(1), at(25))]).violations


@pytest.mark.parametrize("name", NAMES)
def test_a_mount_that_was_back_in_time_has_renewed(name: str) -> None:
    # Before the claim, or so shortly after it that there was time for another renewal.
    assert found(name, [WIN, won("b", 20)], **killed(-30, -20)).violations
    # One that it was not back for is the next one's to explain.
    assert found(name, [WIN, won("b", 20)], a=[Away(at(-30), at(-20)), Away(at(5), at(9))]).good


def test_each_tenure_has_its_own_lease() -> None:
    history = [WIN, won("a", 20), won("a", 40)]
    ran_out = list(expiries(history, killed(30, 35), (), LEASES))
    assert [it.given for it in ran_out] == [0, at(20)]
    assert all(it.begin == at(30 + LEASE - LEASES.oldest - DOUBT) for it in ran_out)


@pytest.mark.parametrize("name", NAMES)
def test_a_lease_that_the_store_took_begins_anew(name: str) -> None:
    won_at = [("a", "one", 0.0)]  # a nanosecond after it was asked for
    history = [Operation("a", CLAIM, "shell", WON, -1, 1), won("b", 20)]
    away = killed(10, 25)
    assert found(name, history, won_at, **away).good
    # Its mount was away for part of that time only, or another carried the tenure on.
    renewed = ("a", "one", 20 - LEASE + DOUBT + 0.1)
    assert found(name, history, [*won_at, renewed], **away).violations
    assert found(name, history, [*won_at, ("a", "one", renewed[2] - 0.2)], **away).good
    # Not by another tenure, nor by another's.
    assert found(name, history, [*won_at, ("a", "two", 18)], **away).good
    long = [Operation("a", CLAIM, "shell", WON, -1, at(3)), won("b", 20)]
    assert found(name, long, [*won_at, ("b", "two", 2), ("b", "two", 19)], **away).good


class Service:
    """Takes what is sent to it, with `status`."""

    def __init__(self, status: int) -> None:
        self._status = status

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return Answer(self._status)


@pytest.mark.parametrize(
    ("method", "key", "status", "noted"),
    [
        ("PUT", "steps/x/claim.json", 200, True),
        ("PUT", "locks/x.json", 200, True),
        ("PUT", "locks/x.json", 412, False),
        ("PUT", "steps/x/status.json", 200, False),
        ("DELETE", "locks/x.json", 200, False),
    ],
)
def test_what_the_store_took_is_noted_whatever_its_client_is_told(
    method: str, key: str, status: int, *, noted: bool
) -> None:
    document = {"agent": "a", "id": "one", "generation": 1, "lease": {"seconds": LEASE}}
    account, service = Account("http://localhost:1", "bucket"), Service(status)
    body = json.dumps(document).encode()
    request = Request(
        *(account, method, f"/bucket/p/{key}", {}, service, lambda: body, lambda _: False),
    )
    writes = Writes("p")
    assert writes(request) is None
    assert not writes.of("x")
    request.forward()  # and its answer is lost
    assert [(it.agent, it.tenure) for it in writes.of("x")] == [("a", "one")] * noted


class Refusing:
    """Whoever is told that the store did not answer in time."""

    agent, kind = "a", "shell"

    def do(self, act: str, path: str, data: str = "") -> Told:
        return Told(errno.ETIMEDOUT)


@pytest.mark.parametrize(("things", "known"), [(STEPS, True), (LOCKS, False)])
def test_a_lock_that_was_given_up_is_given_back_later_though_it_was_refused(
    things: Things, *, known: bool
) -> None:
    """**What was given up while the store was away is not renewed, and is given back after it.**"""
    done = do(Recorder(), Refusing(), "x", GIVE_BACK, things)
    assert (done.end is not None) == known
    assert found("x", [WIN, done, won("b", 1000000)]).good != known
