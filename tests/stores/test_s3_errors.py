"""Answers that are none: what a client cannot make sense of tells nothing of what was done."""

import re
from dataclasses import replace
from typing import Any

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError, SSLError

from tcfs.stores import (
    Denied,
    ETag,
    OutcomeUnknown,
    StoreError,
    Unavailable,
    Unsupported,
)
from tcfs.stores import _retry as retry
from tcfs.stores._s3_errors import Answer, Asked, of_botocore, of_obstore, translate
from tcfs.stores.s3 import S3Store
from tests.stores import scripted
from tests.stores.conftest import s3_store

ETAG = ETag("0123456789abcdef0123456789abcdef")
SENT = ["AKIAIOSFODNN7EXAMPLE", "Signature", "0a1b2c3d" * 8]
LIES = [
    "\x1b[2J Signature=AKIAIOSFODNN7EXAMPLE",
    "\u202eSignature AKIAIOSFODNN7EXAMPLE",
    "0a1b2c3d" * 8,
    "f" * 64,
    "SlowDown\nSlowDown",
    "Größe",
    "²",
    "",
]


def _copied(modified: str) -> scripted.Behaviour:
    body = f'<CopyObjectResult><ETag>"abc"</ETag><LastModified>{modified}</LastModified>'
    return scripted.answer("200 OK", f"{body}</CopyObjectResult>".encode())


async def _ask(store: S3Store, what: str) -> None:
    match what:
        case "put_dated":
            await store.put_dated("key", b"x")
        case "put_dated if":
            await store.put_dated("key", b"x", if_match=ETAG)
        case "copy":
            await store.copy("key", "other")
        case "delete if":
            await store.delete("key", if_match=ETAG)


async def _met(what: str, behave: scripted.Behaviour) -> StoreError:
    with scripted.serving(behave) as (account, _):
        store = s3_store(account, "project", request_timeout=0.5)
        with pytest.raises(StoreError) as caught:
            await _ask(store, what)
        await store.aclose()
    return caught.value


@pytest.fixture(autouse=True)
def twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat what may be repeated once."""
    monkeypatch.setattr(retry, "pauses", lambda: iter((0.01, 3600.0)))


@pytest.mark.parametrize("modified", ["garbage", "2026-99-99T99:99:99Z", "9" * 30])
async def test_a_copy_whose_answer_cannot_be_parsed_may_be_done(modified: str) -> None:
    error = await _met("copy", _copied(modified))
    assert type(error) is OutcomeUnknown
    assert "read it back to see whether it was stored" in str(error)


@pytest.mark.parametrize("base", [None, ETAG])
@pytest.mark.parametrize("date", ["garbage", "Sun, 99 Nov 2026 14:00:29 GMT"])
async def test_a_write_whose_date_cannot_be_parsed_is_done(base: ETag | None, date: str) -> None:
    with scripted.serving(scripted.answer("200 OK", ETag='"abc"', Date=date)) as (account, seen):
        store = s3_store(account, "project")
        stored = await store.put_dated("key", b"x", if_match=base)
        assert (stored.etag, stored.offset) == ("abc", None)
        await store.aclose()
    assert len(seen.lines) == 1


@pytest.mark.parametrize("date", ["garbage", "Sun, 99 Nov 2026 14:00:29 GMT"])
async def test_a_clock_that_cannot_be_parsed_is_none_and_asked_once(date: str) -> None:
    said = scripted.answer("200 OK", b"<ListBucketResult/>", Date=date)
    with scripted.serving(said) as (account, seen):
        store = s3_store(account, "project")
        assert await store.clock() is None
        await store.aclose()
    assert len(seen.lines) == 1


@pytest.mark.parametrize("kind", [ValueError, TypeError, KeyError, OverflowError, RecursionError])
def test_what_fails_after_the_answer_came_was_sent(kind: type[Exception]) -> None:
    answer = of_botocore(kind("Signature=AKIAIOSFODNN7EXAMPLE"))
    assert (answer.status, answer.sent) == (None, True)
    for asked in (Asked.WRITE, Asked.CREATE, Asked.REPLACE):
        error = translate(answer, asked, "bucket", "key")
        assert type(error) is OutcomeUnknown
        assert kind.__name__ in str(error)
        assert "AKIA" not in str(error)
    assert type(translate(answer, Asked.READ, "bucket", "key")) is Unavailable


def _made(name: str) -> Exception:
    kind: type[Exception] = getattr(botocore.exceptions, name)
    return kind.__new__(kind)  # their constructors want all kinds of arguments


@pytest.mark.parametrize(
    "name",
    [
        *("ChecksumError", "FlexibleChecksumError", "IncompleteReadError", "BotoCoreError"),
        *("HTTPClientError", "UnseekableStreamError", "ResponseStreamingError", "EventStreamError"),
    ],
)
def test_what_botocore_makes_of_an_answer_was_sent(name: str) -> None:
    made = _made(name)
    assert type(translate(of_botocore(made), Asked.CREATE, "bucket", "key")) is OutcomeUnknown


@pytest.mark.parametrize(
    "name",
    [
        *("ParamValidationError", "MissingParametersError", "EndpointResolutionError"),
        *("InvalidRegionError", "UnknownEndpointError", "UnsupportedS3ArnError", "RangeError"),
        *("ConfigParseError", "InvalidRetryModeError", "InvalidDNSNameError"),
    ],
)
def test_what_botocore_refuses_to_send_was_not(name: str) -> None:
    error = translate(of_botocore(_made(name)), Asked.CREATE, "bucket", "key")
    assert type(error) is Unsupported
    assert name in str(error)


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] (_ssl.c:2578)", OutcomeUnknown),
        ("EOF occurred in violation of protocol (_ssl.c:2427)", OutcomeUnknown),
        ("certificate verify failed: self-signed certificate (_ssl.c:1006)", Unavailable),
    ],
)
def test_a_tls_failure_that_may_have_come_with_the_answer_leaves_the_outcome_unknown(
    why: str, kind: type[StoreError]
) -> None:
    made = SSLError(endpoint_url="https://host", error=why)
    assert type(translate(of_botocore(made), Asked.REPLACE, "bucket", "key")) is kind


async def test_a_write_that_botocore_refuses_to_send_is_surely_not_done() -> None:
    with scripted.serving(scripted.close) as (account, requests):
        store = s3_store(replace(account, bucket="no bucket's name"), "project")
        with pytest.raises(Unsupported, match="ParamValidationError"):
            await store.put_dated("key", b"x", if_match=ETAG)
        await store.aclose()
        assert requests.lines == []


def _refused(code: Any, **headers: str) -> ClientError:
    metadata = {"HTTPStatusCode": 503, "HTTPHeaders": headers}
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": metadata}
    return ClientError(answer, "PutObject")


@pytest.mark.parametrize("value", ["²", "٣", "Fri, 31 Dec", "-1", "1e9", "nan", "", "9" * 5000])
async def test_a_pause_that_is_no_number_is_none(value: str) -> None:
    assert of_botocore(_refused("SlowDown", **{"retry-after": value})).retry_after is None


async def test_no_header_of_an_answer_raises() -> None:
    def behave(connection: Any) -> None:
        body = b"<Error><Code>SlowDown</Code></Error>"
        length = b"Content-Length: %d\r\n" % len(body)
        connection.sendall(b"HTTP/1.1 503 Slow Down\r\nRetry-After: \xb2\r\n" + length + b"\r\n")
        connection.sendall(body)

    error = await _met("delete if", behave)
    assert type(error) is Unavailable
    assert error.retry_after is None


@pytest.mark.parametrize("code", [*LIES, None, 7, ["SlowDown"], {"": "x"}], ids=ascii)
def test_a_code_is_a_name_or_is_not_repeated(code: Any) -> None:
    answer = of_botocore(_refused(code))
    assert answer == Answer(503)
    assert str(translate(answer, Asked.READ, "bucket", "key")).isprintable()


@pytest.mark.parametrize("code", LIES, ids=ascii)
def test_obstore_s_codes_are_names_as_well(code: str) -> None:
    body = f"<Error><Code>{code}</Code></Error>"
    answer = of_obstore(RuntimeError(f"{body}\n\nDebug source:\nX {{ status: 503, body: {body} }}"))
    assert answer == Answer(503)


@pytest.mark.parametrize("code", ["SlowDown", "XMinioStorageFull", "Request_Limit", "A.b-c"])
def test_a_code_that_is_a_name_is_told(code: str) -> None:
    assert of_botocore(_refused(code)).code == code


@pytest.mark.parametrize("what", ["put_dated", "put_dated if", "copy", "delete if"])
@pytest.mark.parametrize("code", [it for it in LIES if "\x1b" not in it], ids=ascii)
async def test_no_text_repeats_what_was_sent(what: str, code: str) -> None:
    error = await _met(what, scripted.error("403 Forbidden", code))
    assert type(error) is Denied
    assert str(error).isprintable()
    assert not [it for it in SENT if it in str(error)]
    assert not re.search("[0-9a-f]{32}", str(error))
