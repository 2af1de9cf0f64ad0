"""Servers that refuse, hang, reset and err, through both of the S3 store's clients."""

import pytest
import trio

from tcfs.stores import (
    AlreadyExists,
    Conflict,
    Denied,
    ETag,
    NotFound,
    Object,
    OutcomeUnknown,
    PreconditionFailed,
    StoreError,
    StoreFull,
    Unavailable,
    Unsupported,
)
from tcfs.stores import _retry as retry
from tcfs.stores.deadline import within
from tcfs.stores.s3 import S3Store
from tests.servers import Account
from tests.stores import scripted
from tests.stores.conftest import s3_store

ETAG = ETag("0123456789abcdef0123456789abcdef")
ODD = "dir//obstore cannot name this"


async def _ask(store: S3Store, what: str) -> None:
    """Do one operation, on obstore's path or boto3's."""
    key, prefix = (ODD, "dir//") if what.endswith("odd") else ("key", "dir/")
    match what.removesuffix(" odd"):
        case "get":
            await store.get(key)
        case "put":
            await store.put(key, b"x")
        case "create":
            await store.put(key, b"x", if_absent=True)
        case "replace":
            await store.put(key, b"x", if_match=ETAG)
        case "delete":
            await store.delete(key)
        case "delete if":
            await store.delete(key, if_match=ETAG)
        case "list":
            await anext(store.list(prefix))
        case "list_dir":
            await store.list_dir(prefix)
        case "any_under":
            await store.any_under(prefix)


async def _met(store: S3Store, what: str) -> StoreError:
    """Return what one operation meets."""
    with pytest.raises(StoreError) as caught:
        await _ask(store, what)
    await store.aclose()
    return caught.value


@pytest.fixture
def twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat what may be repeated once; its deadline, which might cut an attempt, is far."""
    monkeypatch.setattr(retry, "pauses", lambda: iter((0.01, 3600.0)))


def _store(account: Account, **how: object) -> S3Store:
    return s3_store(account, "project", **{"request_timeout": 0.5, **how})


READS = ["get", "list", "list_dir", "any_under"]
CONDITIONAL = ["create", "replace", "delete if"]
WRITES = ["put", "delete"]
PATHS = ["", " odd"]


@pytest.mark.usefixtures("twice")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("what", READS + WRITES + CONDITIONAL)
async def test_a_refused_connection_changed_nothing(what: str, path: str) -> None:
    with scripted.refusing() as account:
        assert type(await _met(_store(account), what + path)) is Unavailable


@pytest.mark.usefixtures("twice")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("what", READS + WRITES + CONDITIONAL)
async def test_a_name_that_does_not_resolve_changed_nothing(what: str, path: str) -> None:
    account = Account("http://no-such-host.localhost.invalid:9")
    assert type(await _met(_store(account), what + path)) is Unavailable


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("behave", [scripted.close, scripted.reset])
@pytest.mark.parametrize("what", CONDITIONAL)
async def test_a_conditional_write_without_an_answer_is_unknown_and_was_sent_once(
    what: str, path: str, behave: scripted.Behaviour
) -> None:
    with scripted.serving(behave) as (account, requests):
        assert type(await _met(_store(account), what + path)) is OutcomeUnknown
        assert len(requests.lines) == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("what", CONDITIONAL)
async def test_a_server_that_hangs_is_left_at_the_sockets_timeout(what: str, path: str) -> None:
    with scripted.serving(scripted.hang) as (account, requests), trio.fail_after(5):
        assert type(await _met(_store(account), what + path)) is OutcomeUnknown
        assert len(requests.lines) == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("what", "kind"), [("get", Unavailable), ("put", OutcomeUnknown), ("create", OutcomeUnknown)]
)
async def test_a_server_that_hangs_is_left_at_the_operations_deadline(
    what: str, path: str, kind: type[StoreError]
) -> None:
    with scripted.serving(scripted.hang) as (account, _):
        store = _store(account, request_timeout=1.0)
        await store.prepare()
        with trio.fail_after(0.9), within(0.2):
            assert type(await _met(store, what + path)) is kind


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("behave", [scripted.close, scripted.reset, scripted.break_off])
async def test_a_read_that_breaks_off_is_repeated(path: str, behave: scripted.Behaviour) -> None:
    whole = scripted.answer(
        "200 OK", b"whole", ETag='"abc"', Last_Modified="Sun, 22 Nov 2026 14:00:29 GMT"
    )
    with scripted.serving(behave, behave, whole) as (account, requests):
        store = _store(account)
        answer = await store.get(ODD if path else "key")
        assert isinstance(answer, Object)
        assert (answer.body, answer.etag) == (b"whole", "abc")
        assert answer.modified == 1_795_356_029_000_000_000
        assert len(requests.lines) == 3
        await store.aclose()


@pytest.mark.parametrize("path", PATHS)
async def test_an_unconditional_write_is_repeated(path: str) -> None:
    stored = scripted.answer("200 OK", ETag='"abc"')
    slow = scripted.error("503 Slow Down", "SlowDown")
    with scripted.serving(slow, scripted.reset, stored) as (account, requests):
        store = _store(account)
        assert await store.put(ODD if path else "key", b"x") == "abc"
        assert len(requests.lines) == 3
        await store.aclose()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("status", "code", "kinds"),
    [
        ("409 Conflict", "ConditionalRequestConflict", [Conflict] * 3),
        ("404 Not Found", "NoSuchKey", [NotFound, PreconditionFailed, PreconditionFailed]),
        (
            "412 Precondition Failed",
            "PreconditionFailed",
            [AlreadyExists, PreconditionFailed, PreconditionFailed],
        ),
        ("403 Forbidden", "AccessDenied", [Denied] * 3),
        ("404 Not Found", "NoSuchBucket", [Denied] * 3),
        ("501 Not Implemented", "NotImplemented", [Unsupported] * 3),
        ("503 Slow Down", "SlowDown", [Unavailable] * 3),
        ("500 Internal Server Error", "InternalError", [OutcomeUnknown] * 3),
        ("301 Moved Permanently", "PermanentRedirect", [Denied] * 3),
        ("507 Insufficient Storage", "XMinioStorageFull", [StoreFull] * 3),
    ],
)
async def test_both_clients_report_what_the_server_said(
    path: str, status: str, code: str, kinds: list[type[StoreError]]
) -> None:
    for what, kind in zip(CONDITIONAL, kinds, strict=True):
        with scripted.serving(scripted.error(status, code)) as (account, requests):
            assert type(await _met(_store(account), what + path)) is kind
            assert len(requests.lines) == 1


@pytest.mark.parametrize("what", ["get", "get odd", "list", "list_dir odd", "any_under"])
async def test_a_missing_bucket_is_no_missing_object(what: str) -> None:
    with scripted.serving(scripted.error("404 Not Found", "NoSuchBucket")) as (account, _):
        error = await _met(_store(account), what)
    assert type(error) is Denied
    assert "there is no bucket bucket; `tcfs init` makes it" in str(error)


async def test_boto3_passes_retry_after_on() -> None:
    slow = scripted.error("503 Slow Down", "SlowDown", Retry_After="7")
    with scripted.serving(slow) as (account, _):
        error = await _met(_store(account), "delete if")
    assert isinstance(error, Unavailable)
    assert error.retry_after == 7.0


async def test_an_answer_without_an_etag_leaves_the_outcome_unknown() -> None:
    with scripted.serving(scripted.answer("200 OK")) as (account, _):
        assert type(await _met(_store(account), "create")) is OutcomeUnknown


@pytest.mark.parametrize("what", ["get", "get odd", "create", "delete if", "list", "list odd"])
async def test_no_error_tells_a_credential_or_a_signature(what: str) -> None:
    more = "<AWSAccessKeyId>tester</AWSAccessKeyId><StringToSign>AWS4-HMAC</StringToSign>"
    refuse = scripted.error("403 Forbidden", "SignatureDoesNotMatch", more)
    with scripted.serving(refuse) as (account, _):
        error = await _met(_store(account), what)
    assert type(error) is Denied
    assert error.__suppress_context__
    assert error.__cause__ is None
    for secret in ("tester", "AWS4", "StringToSign", "http://"):
        assert secret not in str(error)
    assert "SignatureDoesNotMatch" in str(error)
    assert "check the credentials" in str(error)


async def test_without_credentials_it_says_so() -> None:
    with scripted.refusing() as account:
        store = S3Store("bucket", "project", endpoint=account.endpoint)
        for what in ("get", "create", "delete if", "list odd"):
            error = await _met(store, what)
            assert type(error) is Denied
            assert "AWS_ACCESS_KEY_ID" in str(error) or "check the credentials" in str(error)


@pytest.mark.parametrize("endpoint", ["localhost:8333", "ftp://host", "http://", "http://u:p@host"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="https://host") as caught:
        S3Store("bucket", "project", endpoint=endpoint)
    assert "u:p" not in str(caught.value)


def test_half_a_key_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        S3Store("bucket", "project", access_key="only one")
