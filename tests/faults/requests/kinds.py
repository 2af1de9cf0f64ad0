"""What goes wrong between a client and a service that keeps its promises, as values.

A fault says what comes instead of the answer to one request. Rules (`tests/proxy.py`) choose which
requests meet one: some, or `faulty`, any by a seed.
"""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, final
from urllib.parse import parse_qs, urlsplit

from tests.proxy import RESET, UNANSWERED, Answer, Request, Rule, Sent, refusal

LONG: Final = 60.0  # seconds: whoever asked gives up before
OUGHT: Final = 1  # second that a service asks for with Retry-After

Which = Callable[[Request], bool]


def any_request(_: Request) -> bool:
    return True


def _has_xml(request: Request) -> bool:
    """Tell whether the answer is a document: a listing's, a copy's, or of a part of an upload."""
    query = urlsplit(request.target).query
    return (
        "list-type" in query
        or (request.method == "POST" and "upload" in query)
        or "x-amz-copy-source" in request.headers
    )


def _has_etag(request: Request) -> bool:
    return request.method in ("GET", "PUT", "HEAD") and not _has_xml(request)


@final
@dataclass(frozen=True, slots=True)
class Fault:
    """What comes instead of an answer. `acts`: whether the service has done what was asked.

    `told`: the client knows that it has not. `mild`: what is asked may well come to its end.
    `concerns`: the requests that can meet this.
    """

    name: str
    answer: Callable[[Request], Answer]
    acts: bool = False
    told: bool = False
    mild: bool = False
    concerns: Which = any_request

    def __str__(self) -> str:
        return self.name


def _nothing(request: Request, before: Answer = UNANSWERED) -> Answer:
    request.hung_up(LONG)
    return before


def _answer_lost(request: Request) -> Answer:
    request.forward()
    return UNANSWERED


def _answer_stalled(request: Request) -> Answer:
    request.forward()
    return _nothing(request)


def _late(request: Request) -> Answer:
    _ = request.body
    request.hung_up(LONG)
    return request.forward()


def _failed_after(request: Request) -> Answer:
    request.forward()
    return refusal(500, "InternalError")


def _half_a_document(request: Request) -> Answer:
    said = request.forward()
    return replace(said, body=said.body[: len(said.body) // 2])


def _another_etag(request: Request) -> Answer:
    said = request.forward()
    named = next((it for it in said.headers if it.lower() == "etag"), None)
    return said if named is None else replace(said, headers={**said.headers, named: '"0bad"'})


def _busy(code: str, status: int, **headers: str) -> Callable[[Request], Answer]:
    return lambda _: refusal(status, code, **headers)


FAULTS: Final[Sequence[Fault]] = (
    Fault("answer lost", _answer_lost, acts=True),
    Fault("answer reset", lambda it: replace(it.forward(), sent=Sent.HALF), acts=True),
    Fault("answer stalled", _answer_stalled, acts=True),
    Fault("answer drips", lambda it: replace(it.forward(), sent=Sent.SLOWLY), acts=True, mild=True),
    Fault("request lost", lambda _: UNANSWERED),
    Fault("request reset", lambda _: RESET),
    Fault("request stalled", _nothing),
    Fault("request late", _late, acts=True),
    Fault("500", _busy("InternalError", 500)),
    Fault("500 after all", _failed_after, acts=True),
    Fault("503", _busy("SlowDown", 503), told=True),
    Fault("503 Retry-After", _busy("SlowDown", 503, Retry_After=str(OUGHT)), told=True),
    Fault("429", _busy("TooManyRequests", 429), told=True),
    Fault(
        "409",
        _busy("ConditionalRequestConflict", 409),
        told=True,
        concerns=lambda request: request.conditional,
    ),
    Fault("half a document", _half_a_document, acts=True, mild=True, concerns=_has_xml),
    Fault("another ETag", _another_etag, acts=True, mild=True, concerns=_has_etag),
)
"""All that can happen with a service that decides races; what vendors do else is in the proxy."""

NAMED: Final = {it.name: it for it in FAULTS}


def always(fault: Fault, which: Which = any_request) -> Rule:
    """Have every request meet `fault`, of those that `which` tells."""
    return first(None, fault, which)


def first(number: int | None, fault: Fault, which: Which = any_request) -> Rule:
    """Have the first `number` of those requests meet `fault`; None: all."""
    lock = threading.Lock()
    met = 0

    def rule(request: Request) -> Answer | None:
        nonlocal met
        if not (fault.concerns(request) and which(request)):
            return None
        with lock:
            if number is not None and met >= number:
                return None
            met += 1
        return fault.answer(request)

    return rule


def onwards(fault: Fault, which: Which) -> Rule:
    """Have every request meet `fault` from the first on that `which` tells."""
    begun = threading.Event()

    def rule(request: Request) -> Answer | None:
        if which(request):
            begun.set()
        return fault.answer(request) if begun.is_set() and fault.concerns(request) else None

    return rule


def faulty(
    seed: int, rate: float, kinds: Collection[Fault] = FAULTS, which: Which = any_request
) -> Rule:
    """Have requests meet one of `kinds` at random: `rate` is the share of them.

    Chance is a hash of `seed`, the method, what the request is about and how many such there were
    so far, so a run repeats as far as the order of its requests does.
    """
    lock = threading.Lock()
    counts: Counter[tuple[str, str]] = Counter()

    def rule(request: Request) -> Answer | None:
        if not which(request):
            return None
        about = (request.method, subject(request))
        with lock:
            counts[about] += 1
            count = counts[about]
        digest = hashlib.blake2b(repr((seed, *about, count)).encode(), digest_size=16).digest()
        if int.from_bytes(digest[:8]) >= rate * 2**64:
            return None
        possible = [it for it in kinds if it.concerns(request)]
        if not possible:
            return None
        return possible[int.from_bytes(digest[8:]) % len(possible)].answer(request)

    return rule


_OF_A_RUN: Final = re.compile(r"\d{19}|[0-9a-f]{8}(?:[0-9a-f-]*[0-9a-f])?")


def subject(request: Request) -> str:
    """Return what a request is about, without what another run would name otherwise.

    That is the project (the first of its key), time stamps, and what is random.
    """
    query = parse_qs(urlsplit(request.target).query)
    key = query["prefix"][0] if "prefix" in query else request.key
    what = "+".join(sorted(query.keys() & {"list-type", "uploads", "uploadId", "partNumber"}))
    return _OF_A_RUN.sub("#", f"{what} {key.partition('/')[2]}")
