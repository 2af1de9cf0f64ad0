"""Whatever a backend can raise is an error of our tree, and says nothing it must not."""

import errno
import inspect

import botocore.exceptions
import obstore
import obstore.exceptions
import pytest

from tcfs.stores import (
    AlreadyExists,
    Conflict,
    Denied,
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
