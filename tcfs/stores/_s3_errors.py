"""What an S3 service answers, as an error of our tree.

obstore has one exception for most of what can happen, and maps some answers wrongly (409 is
`AlreadyExistsError`), but its text always ends in a dump that names the HTTP status or the kind
of the connection's failure. botocore has both as fields. Either is first made an `Answer`;
the table in `translate` is the same for both.

Texts name the status and the service's error code, never its body: a body may hold parts of the
signature.
"""

import enum
import re
from dataclasses import dataclass
from typing import Any, Final, final

from tcfs.stores._errors import (
    AlreadyExists,
    Conflict,
    Denied,
    InvalidKey,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreError,
    StoreFull,
    Unavailable,
    Unsupported,
)


class Asked(enum.Enum):
    """What a request was for, which decides what an answer means."""

    READ = enum.auto()
    WRITE = enum.auto()  # without a condition
    CREATE = enum.auto()  # if absent
    REPLACE = enum.auto()  # a put or delete, if the ETag matches


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status and a code, or none where the connection failed."""

    status: int | None = None
    code: str = ""
    sent: bool = True  # whether the request can have reached the service
    retry_after: float | None = None
    reason: str = ""  # why there is no status, or what it stands for


_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnauthorizedAccess",
    }
)
_KEY: Final = frozenset(
    {"InvalidKey", "InvalidObjectName", "InvalidURI", "KeyTooLong", "KeyTooLongError"}
    | {"XMinioInvalidObjectName", "XMinioInvalidResourceName"}
)
_FULL: Final = frozenset(
    {"InsufficientCapacity", "InsufficientStorage", "QuotaExceeded", "StorageFull"}
    | {"XAmzQuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"}
)
# Refused before anything was done, whatever the status.
_NOT_NOW: Final = frozenset(
    {"BadDigest", "IncompleteBody", "RequestLimitExceeded", "RequestTimeout", "SlowDown"}
    | {"SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "TooManyRequests"}
)
_ELSEWHERE: Final = frozenset({"PermanentRedirect", "IllegalLocationConstraintException"})

_STATUS = re.compile(r"\bstatus: (\d{3}),")
# As services write them. A signature has 64 characters: an answer may repeat what was sent.
_NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,62}"
_CODE = re.compile(f"<Code>({_NAME})</Code>")
_KIND = re.compile(r"\bHttpError \{\s*kind: (\w+)")
_UNTRUSTED = re.compile(r"\bInvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?(\w+)")
_CAUSE = re.compile(r'"(dns error|tcp connect error|[^"]*certificate[^"]*)"')


def of_obstore(error: Exception) -> Answer:
    """Return what an exception of obstore's stands for."""
    text = str(error)
    # The dump comes last; the sentence before it quotes the service and may say anything.
    _, _, dump = text.rpartition("Debug source:")
    code = _CODE.search(text)
    name = code[1] if code else ""
    if status := _STATUS.search(dump):
        return Answer(int(status[1]), name)
    if "BareRedirect" in dump:
        return Answer(301, name or "PermanentRedirect")
    if "NotPartial" in dump or "UnexpectedRange" in dump:
        return Answer(reason="the answer does not hold the range that was asked for", status=501)
    if "MissingContentLength" in dump:
        return Answer(reason="the answer does not say how long it is", status=501)
    if type(error).__name__ == "UnauthenticatedError":  # boto3's chain raised
        return Answer(401, "NoCredentials", sent=False)
    if untrusted := _UNTRUSTED.search(dump):
        return _untrusted(untrusted[1])
    kind = _KIND.search(dump)
    cause = _CAUSE.search(dump)
    if kind is None:
        # No request of object_store's at all (a credential provider that raised), or an answer
        # that could not be understood: sent, for all we know. The sentence quotes what came, and
        # that may quote what was sent, signature, token and all.
        return Answer(reason="no answer that could be understood")
    reason = cause[1] if cause else _REASONS.get(kind[1], "the connection broke")
    return Answer(sent=kind[1] != "Connect", reason=reason)


_REASONS: Final = {
    "Connect": "no connection",
    "Timeout": "no answer in time",
    "Interrupted": "the connection was reset",
}


def _untrusted(why: str) -> Answer:
    return Answer(
        sent=False,
        reason=f"its certificate is not trusted ({why}), so nothing was sent; if the service is "
        "yours, give the certificate of its authority: AWS_CA_BUNDLE=FILE.pem",
    )


def of_botocore(error: Exception) -> Answer:
    """Return what an exception of botocore's, or of what lies below it, stands for."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict) and "ResponseMetadata" in response:  # a ClientError
        status = response["ResponseMetadata"].get("HTTPStatusCode")
        headers = response["ResponseMetadata"].get("HTTPHeaders", {})
        # An answer without a body (to HEAD) has its status for a code: no name either.
        code = response.get("Error", {}).get("Code")
        name = code if isinstance(code, str) and re.fullmatch(_NAME, code) else ""
        return Answer(status, name, retry_after=_seconds(headers.get("retry-after")))
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _NO_CREDENTIALS:
        return Answer(401, type(error).__name__, sent=False)
    if "SSLError" in names and (why := _VERIFIED.search(str(error))):
        return _untrusted(why[1])
    if names & _NOT_SENT:
        return Answer(sent=False, reason="no connection")
    if "ReadTimeoutError" in names:
        return Answer(reason="no answer in time")
    if names & {"ConnectionClosedError", "HTTPClientError", "OSError"}:
        return Answer(reason="the connection broke")
    if names & _NO_REQUEST:
        return Answer(400, type(error).__name__, sent=False)
    # What came of the answer: a date that is none, XML that ends early. The request was sent, for
    # all we know, and what it asked for may be done.
    return Answer(reason=f"no answer that could be understood ({type(error).__name__})")


_VERIFIED: Final = re.compile(r"certificate verify failed: ([\w '.-]*\w)")
_NO_CREDENTIALS: Final = frozenset(
    {"CredentialRetrievalError", "NoAuthTokenError", "NoCredentialsError", "ProfileNotFound"}
    | {"PartialCredentialsError", "SSOError", "TokenRetrievalError", "LoginError"}
)
# No SSLError: an answer may be cut short by one, as a connection may be refused by one.
_NOT_SENT: Final = frozenset(
    {"ConnectTimeoutError", "EndpointConnectionError", "ProxyConnectionError"}
)
# What botocore raises while it makes a client or a request, before any of it is sent.
_NO_REQUEST: Final = frozenset(
    {"ParamValidationError", "ValidationError", "MissingParametersError", "DataNotFoundError"}
    | {"BaseEndpointResolverError", "EndpointProviderError", "InvalidEndpointConfigurationError"}
    | {"InvalidDNSNameError", "InvalidHostLabelError", "UnknownRegionError"}
    | {"UnknownSignatureVersionError", "UnsupportedSignatureVersionError"}
    | {"UnsupportedS3ArnError", "UnsupportedS3ConfigurationError"}
    | {"UnsupportedS3AccesspointConfigurationError", "InvalidS3AddressingStyleError"}
    | {"ConfigNotFound", "ConfigParseError", "InvalidConfigError", "InvalidDefaultsMode"}
    | {"InvalidChecksumConfigError", "InvalidProxiesConfigError", "InvalidRetryConfigurationError"}
    | {"InvalidS3UsEast1RegionalEndpointConfigError", "InvalidSTSRegionalEndpointsConfigError"}
    | {"InvalidIMDSEndpointError", "InvalidIMDSEndpointModeError", "MissingDependencyException"}
)


def _seconds(value: str | None) -> float | None:
    # The other form, a date, is not used by any service known to us.
    return float(value) if value is not None and re.fullmatch("[0-9]{1,9}", value) else None


def no_credentials(bucket: str, why: str) -> str:
    """Return what is said where there is nothing to sign a request with; it was not sent."""
    return (
        f"there are no credentials for bucket {bucket} ({why}); set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, name a profile with --profile, or give keys to `tcfs init`"
    )


def translate(answer: Answer, asked: Asked, bucket: str, key: str) -> StoreError:
    """Return the error of our tree for an answer to a request about `key`."""
    status, code = answer.status, answer.code
    about = f"{key!r} in bucket {bucket}" if key else f"bucket {bucket}"
    text = f"{about}: {answer.reason or f'the store said {status} {code}'.strip()}"
    match status:
        case None if answer.sent and asked is not Asked.READ:
            return OutcomeUnknown(f"{text}; read it back to see whether it was stored")
        case None:
            return Unavailable(f"{text}; check the network and the endpoint")
        case 401 if not answer.sent:
            return Denied(no_credentials(bucket, code))
        case _ if code == "NoSuchBucket":
            return Denied(f"there is no bucket {bucket}; `tcfs init` makes it")
        case _ if code in _FULL or status == 507:
            return StoreFull(f"{text}; delete something or raise the quota")
        case _ if code in _KEY:
            return InvalidKey(f"{text}; choose another name")
        case _ if code in _NOT_NOW or status == 429:
            return Unavailable(f"{text}; it asks for fewer requests", answer.retry_after)
        case _ if code in _ELSEWHERE or status in (301, 307, 308):
            return Denied(f"{text}; the bucket is elsewhere: give its --region or --endpoint")
        case 401 | 403:
            return Denied(f"{text}; check the credentials and what they allow")
        case _ if code in _DENIED:
            return Denied(f"{text}; check the credentials and what they allow")
        case 404 | 412 if asked is Asked.REPLACE:
            return PreconditionFailed(f"{about} is not the version this was based on, or gone")
        case 404:
            return NotFound(f"there is no object {about}")
        case 409:
            return Conflict(f"{text}; somebody else is writing it, try again")
        case 412 if asked is Asked.CREATE:
            return AlreadyExists(f"{about} exists already")
        case 412:
            return PreconditionFailed(f"{about} is not the version this was based on, or gone")
        case 501:
            return Unsupported(f"{text}; this service cannot do that")
        case _ if status >= 500 and asked is Asked.READ:
            return Unavailable(f"{text}; try again", answer.retry_after)
        case _ if status >= 500:
            # It may have been stored before the failure.
            return OutcomeUnknown(f"{text}; read it back to see whether it was stored")
        case _:
            return Unsupported(f"{text}; this service cannot do that")
