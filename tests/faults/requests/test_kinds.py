"""The faults are what they say, and repeat by their seed."""

import http.client
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.faults.requests.kinds import FAULTS, NAMED, Fault, always, faulty, subject
from tests.proxy import UNANSWERED, Answer, Proxy, Request, Upstream
from tests.servers import Account, boto3_client

TOLD = {
    "500": 500,
    "500 after all": 500,
    "503": 503,
    "503 Retry-After": 503,
    "429": 429,
    "409": 409,
    "answer drips": 200,
    "another ETag": 200,
}


@pytest.fixture
def service(moto: Account) -> Iterator[Proxy]:
    with Proxy(moto) as made:
        yield made


def put(service: Proxy, key: str) -> int | None:
    """Create an object with a time-out of half a second; return the status, None without one."""
    with closing(boto3_client(service.account)) as client:
        named = {"Bucket": service.account.bucket, "Key": key, "IfNoneMatch": "*"}
        url = urlsplit(client.generate_presigned_url("put_object", named))
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=0.5)
    with closing(connection):
        try:
            target = f"{url.path}?{url.query}"
            connection.request("PUT", target, b"v", {"If-None-Match": "*"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None


@pytest.mark.parametrize("fault", [it for it in FAULTS if it.name != "half a document"], ids=str)
def test_a_fault_is_what_it_says(service: Proxy, project: str, fault: Fault) -> None:
    service.rules = (always(fault),)
    assert put(service, project) == TOLD.get(fault.name)
    service.rules = ()
    # What is late comes once the client has given up: the next request may be before it.
    assert put(service, project) == (412 if fault.acts else 200) or fault.name == "request late"
    assert fault.told == (not fault.acts and TOLD.get(fault.name, 500) != 500)


def request(method: str, target: str) -> Request:
    account = Account("http://127.0.0.1:9")
    return Request(account, method, target, {}, Upstream(account), bytes, lambda _: True)


def met(seed: int, stamp: str) -> list[str]:
    kinds = [Fault(str(it), lambda _, it=it: Answer(it)) for it in range(500, 510)]  # type: ignore[misc]
    rule = faulty(seed, 0.3, kinds)
    targets = [f"/bucket/{stamp}-p/messages/me/{stamp}_a_{it % 3}.json" for it in range(200)]
    said = [rule(request("PUT", it)) for it in targets]
    return [str(it.status) if it else "" for it in said]


def test_faults_at_random_repeat_by_their_seed() -> None:
    """Whatever the project is called, and what keys have of times."""
    one = met(1, "1795381485472012427")
    assert one == met(1, "1795381485470010844")
    assert one != met(2, "1795381485472012427")
    assert 30 < sum(map(bool, one)) < 90
    assert len(set(one)) == 11


def test_a_subject_has_nothing_of_one_run() -> None:
    listing = "/bucket?list-type=2&prefix=p-12%2Fmessages%2Fme%2F&start-after=x"
    assert subject(request("GET", listing)) == "list-type messages/me/"
    message = "/bucket/p-12/messages/me/1795381485472012427_a_4faf592b.json"
    assert subject(request("PUT", message)) == " messages/me/#_a_#.json"


def test_only_what_can_meet_a_fault_does() -> None:
    rule = faulty(1, 1.0, [NAMED["409"]])
    assert rule(request("GET", "/bucket/p/k")) is None
    conditional = request("PUT", "/bucket/p/k")
    conditional.headers["if-match"] = '"e"'
    said = rule(conditional)
    assert said is not None
    assert said.status == 409
    assert said is not UNANSWERED
