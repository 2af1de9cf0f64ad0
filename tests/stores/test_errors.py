"""Whatever a backend can raise is an error of our tree, and says nothing it must not."""

import errno
import inspect

import botocore.exceptions
import obstore
import obstore.exceptions
import pytest
import trio

from tcfs import stores
from tcfs.stores import (
    AlreadyExists,
    Conflict,
    Denied,
    ETag,
    InvalidKey,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    ReadOnly,
    StoreError,
    StoreFull,
    Unavailable,
    Unsupported,
    _file_errors,
)
from tcfs.stores._s3_errors import Answer, Asked, of_botocore, of_obstore, translate
from tcfs.stores.deadline import within
from tcfs.stores.s3 import S3Store
from tests.servers import Account
from tests.stores import scripted
from tests.stores.conftest import s3_store

ETAG = ETag("0123456789abcdef0123456789abcdef")
ODD = "dir//obstore cannot name this"

READ, WRITE, CREATE, REPLACE = Asked.READ, Asked.WRITE, Asked.CREATE, Asked.REPLACE

# status, code, and what it is for a read, a write, a create and a conditional replace or delete
CODES = [
    (301, "PermanentRedirect", Denied, Denied, Denied, Denied),
    (307, "TemporaryRedirect", Denied, Denied, Denied, Denied),
    (400, "AuthorizationHeaderMalformed", Denied, Denied, Denied, Denied),
    (400, "BadDigest", Unavailable, Unavailable, Unavailable, Unavailable),
    (400, "EntityTooLarge", Unsupported, Unsupported, Unsupported, Unsupported),
    (400, "ExpiredToken", Denied, Denied, Denied, Denied),
    (400, "IncompleteBody", Unavailable, Unavailable, Unavailable, Unavailable),
    (400, "InvalidArgument", Unsupported, Unsupported, Unsupported, Unsupported),
    (400, "InvalidToken", Denied, Denied, Denied, Denied),
    (400, "InvalidURI", InvalidKey, InvalidKey, InvalidKey, InvalidKey),
    (400, "KeyTooLongError", InvalidKey, InvalidKey, InvalidKey, InvalidKey),
    (400, "RequestTimeout", Unavailable, Unavailable, Unavailable, Unavailable),
    (401, "", Denied, Denied, Denied, Denied),
    (403, "AccessDenied", Denied, Denied, Denied, Denied),
    (403, "InvalidAccessKeyId", Denied, Denied, Denied, Denied),
    (403, "QuotaExceeded", StoreFull, StoreFull, StoreFull, StoreFull),
    (403, "RequestTimeTooSkewed", Denied, Denied, Denied, Denied),
    (403, "SignatureDoesNotMatch", Denied, Denied, Denied, Denied),
    (404, "", NotFound, NotFound, NotFound, PreconditionFailed),
    (404, "NoSuchBucket", Denied, Denied, Denied, Denied),
    (404, "NoSuchKey", NotFound, NotFound, NotFound, PreconditionFailed),
    (404, "NoSuchUpload", NotFound, NotFound, NotFound, PreconditionFailed),
    (405, "MethodNotAllowed", Unsupported, Unsupported, Unsupported, Unsupported),
    (409, "ConditionalRequestConflict", Conflict, Conflict, Conflict, Conflict),
    (409, "OperationAborted", Conflict, Conflict, Conflict, Conflict),
    (412, "PreconditionFailed", *[PreconditionFailed] * 2, AlreadyExists, PreconditionFailed),
    (429, "", Unavailable, Unavailable, Unavailable, Unavailable),
    (500, "InternalError", Unavailable, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (501, "NotImplemented", Unsupported, Unsupported, Unsupported, Unsupported),
    (502, "", Unavailable, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (503, "ServiceUnavailable", Unavailable, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (503, "SlowDown", Unavailable, Unavailable, Unavailable, Unavailable),
    (504, "", Unavailable, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (507, "XMinioStorageFull", StoreFull, StoreFull, StoreFull, StoreFull),
]


@pytest.mark.parametrize(("status", "code", "read", "write", "create", "replace"), CODES)
def test_every_answer_is_one_error_of_the_tree(
    status: int,
    code: str,
    read: type[StoreError],
    write: type[StoreError],
    create: type[StoreError],
    replace: type[StoreError],
) -> None:
    for asked, kind in {READ: read, WRITE: write, CREATE: create, REPLACE: replace}.items():
        assert type(translate(Answer(status, code), asked, "bucket", "key")) is kind


@pytest.mark.parametrize("status", [*range(300, 309), *range(400, 452), *range(500, 512)])
@pytest.mark.parametrize("asked", Asked)
def test_no_status_is_left_out(status: int, asked: Asked) -> None:
    error = translate(Answer(status, "SomethingNew"), asked, "bucket", "key")
    assert "bucket" in str(error)
    if status >= 500 and status not in (501, 507):
        assert isinstance(error, Unavailable)


@pytest.mark.parametrize("asked", Asked)
def test_a_request_that_was_never_sent_changed_nothing(asked: Asked) -> None:
    error = translate(Answer(sent=False, reason="no connection"), asked, "bucket", "key")
    assert type(error) is Unavailable


@pytest.mark.parametrize("asked", [WRITE, CREATE, REPLACE])
def test_a_write_that_was_sent_and_not_answered_may_have_happened(asked: Asked) -> None:
    error = translate(Answer(reason="the connection was reset"), asked, "bucket", "key")
    assert type(error) is OutcomeUnknown
    assert type(translate(Answer(reason="x"), READ, "bucket", "key")) is Unavailable


def _obstore_errors() -> list[type[Exception]]:
    found = vars(obstore.exceptions).values()
    return [kind for kind in found if inspect.isclass(kind) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", _obstore_errors(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("asked", Asked)
def test_every_exception_of_obstore_is_mapped(kind: type[Exception], asked: Asked) -> None:
    assert isinstance(translate(of_obstore(kind("text")), asked, "bucket", "key"), StoreError)


def _botocore_errors() -> list[type[Exception]]:
    found = vars(botocore.exceptions).values()
    return [
        kind
        for kind in found
        if inspect.isclass(kind)
        and issubclass(kind, Exception)
        and kind.__module__ == botocore.exceptions.__name__
    ]


@pytest.mark.parametrize("kind", _botocore_errors(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("asked", Asked)
def test_every_exception_of_botocore_is_mapped(kind: type[Exception], asked: Asked) -> None:
    made = kind.__new__(kind)  # their constructors want all kinds of arguments
    error = translate(of_botocore(made), asked, "bucket", "key")
    assert isinstance(error, StoreError)
    assert not isinstance(error, NotFound | AlreadyExists | PreconditionFailed)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOENT, NotFound),
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EACCES, Denied),
        (errno.EPERM, Denied),
        (errno.EROFS, ReadOnly),
        (errno.ENAMETOOLONG, InvalidKey),
        (errno.ENOTDIR, InvalidKey),
        (errno.EISDIR, InvalidKey),
        (errno.EOPNOTSUPP, Unsupported),
        (errno.EIO, Unavailable),
        (errno.EMFILE, Unavailable),
        (errno.ENOMEM, Unavailable),
    ],
)
def test_every_errno_is_one_error_of_the_tree(code: int, kind: type[StoreError]) -> None:
    assert type(_file_errors.translate(OSError(code, "text"), "key")) is kind


def test_no_errno_is_left_out() -> None:
    for code in errno.errorcode:
        assert isinstance(_file_errors.translate(OSError(code, "text"), "key"), StoreError)


# through both clients, with a server that behaves


async def _met(store: S3Store, what: str) -> StoreError:
    """Return what one operation meets, on obstore's path or boto3's."""
    odd = what.endswith("odd")
    key = ODD if odd else "key"
    with pytest.raises(StoreError) as caught:
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
                async for _ in store.list("dir//" if odd else "dir/"):
                    continue
            case "list_dir":
                await store.list_dir("dir//" if odd else "dir/")
            case "any_under":
                await store.any_under("dir//" if odd else "dir/")
    await store.aclose()
    return caught.value


def _store(account: Account, **how: object) -> S3Store:
    return s3_store(account, "project", **{"request_timeout": 0.5, **how})


READS = ["get", "list", "list_dir", "any_under"]
CONDITIONAL = ["create", "replace", "delete if"]
WRITES = ["put", "delete"]
PATHS = ["", " odd"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("what", READS + WRITES + CONDITIONAL)
async def test_a_refused_connection_changed_nothing(what: str, path: str) -> None:
    with scripted.refusing() as account, within(0.3):
        assert type(await _met(_store(account), what + path)) is Unavailable


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("what", READS + WRITES + CONDITIONAL)
async def test_a_name_that_does_not_resolve_changed_nothing(what: str, path: str) -> None:
    account = Account("http://no-such-host.localhost.invalid:9")
    with within(0.3):
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
    with scripted.serving(scripted.hang) as (account, _), trio.fail_after(2), within(0.2):
        store = _store(account, request_timeout=3.0)
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
        assert isinstance(answer, stores.Object)
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
            assert "check the credentials" in str(error)


@pytest.mark.parametrize("endpoint", ["localhost:8333", "ftp://host", "http://", "http://u:p@host"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="https://host") as caught:
        S3Store("bucket", "project", endpoint=endpoint)
    assert "u:p" not in str(caught.value)


def test_half_a_key_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        S3Store("bucket", "project", access_key="only one")
