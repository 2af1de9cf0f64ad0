"""The control path: what boto3 does because obstore cannot.

Conditional deletes, buckets, multipart uploads, and everything about keys that obstore refuses to
name. All functions block; they raise botocore's errors, which `_s3_errors` translates.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, final

from tcfs.stores._base import (
    MAX_WHOLE,
    Dated,
    Entry,
    ETag,
    Object,
    Offset,
    Range,
    boottime,
    check_whole,
)
from tcfs.stores._errors import Oversized, Unsupported
from tcfs.stores._s3_account import Clients

# Empty, `.` and `..` segments, and control characters: object_store's `Path::parse` raises on
# these, and drops a slash at either end.
SECOND: Final = 1_000_000_000  # nanoseconds: what a `Date` header leaves open
_ODD: Final = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]")


def is_plain(key: str) -> bool:
    """Tell whether obstore reads and writes exactly this key."""
    return _ODD.search(key) is None


def quoted(etag: ETag) -> str:
    """Return an ETag as headers carry it."""
    return f'"{etag}"'


def unquoted(header: str | None) -> ETag:
    """Return an ETag as we carry it."""
    return ETag((header or "").removeprefix("W/").strip('"'))


def nanoseconds(when: datetime) -> int:
    """Return a time as nanoseconds since 1970."""
    return int(when.timestamp()) * 1_000_000_000 + when.microsecond * 1000


Position = dict[str, str]
"""Where a page begins: what boto3 calls StartAfter or ContinuationToken, or nothing."""

Page = tuple[list[Entry], Position | None]


@final
class Control:
    """Requests through boto3; keys are those of the bucket."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._bucket = clients.account.bucket

    def get(self, key: str, **how: str) -> Object:
        """Return an object; `how` is what boto3 calls IfNoneMatch.

        Raises:
            Oversized: the answer has more than `MAX_WHOLE` bytes, which were not read.
        """
        body, answer = self._get(key, how)
        return Object(body, unquoted(answer.get("ETag")), nanoseconds(answer["LastModified"]))

    def get_range(self, key: str, offset: int, length: int) -> Range:
        """Return at most `length` bytes, which are not 0, from `offset` on.

        Raises:
            Unsupported: the answer has something else.
        """
        try:
            body, answer = self._get(key, {"Range": f"bytes={offset}-{offset + length - 1}"})
        except Oversized:
            raise _another_range(key) from None
        told = answer.get("ContentRange")
        if told is None:  # a server that knows no ranges sends the whole
            body, size = body[offset : offset + length], len(body)
        else:
            size = int(told.rpartition("/")[2])
            end = min(offset + length, size)
            if told != f"bytes {offset}-{end - 1}/{size}" or len(body) != end - offset:
                raise _another_range(key)
        etag, modified = unquoted(answer.get("ETag")), nanoseconds(answer["LastModified"])
        return Range(body, etag, modified, size)

    def _get(self, key: str, how: dict[str, str]) -> tuple[bytes, Any]:
        answer = self._clients.control().get_object(Bucket=self._bucket, Key=key, **how)
        with answer["Body"] as body:
            check_whole(key, answer.get("ContentLength") or 0)
            # Without a number, what comes is read, whatever the length that was told.
            data: bytes = body.read(MAX_WHOLE + 1)
            check_whole(key, len(data))
            body.read(1)  # at its end, botocore sees whether an answer was cut short
        return data, answer

    def head(self, key: str) -> Entry:
        """Return what a listing would show."""
        answer = self._clients.control().head_object(Bucket=self._bucket, Key=key)
        modified = nanoseconds(answer["LastModified"])
        return Entry(key, unquoted(answer.get("ETag")), answer["ContentLength"], modified)

    def put(self, key: str, body: bytes, **how: str) -> ETag:
        """Store an object; `how` is what boto3 calls IfMatch, IfNoneMatch or ContentType."""
        answer = self._clients.control().put_object(Bucket=self._bucket, Key=key, Body=body, **how)
        return unquoted(answer.get("ETag"))

    def put_dated(self, key: str, body: bytes, **how: str) -> Dated:
        """Store an object as `put` does, and return what the answer's date tells."""
        sent = boottime()
        answer = self._clients.control().put_object(Bucket=self._bucket, Key=key, Body=body, **how)
        return Dated(unquoted(answer.get("ETag")), _offset(answer, sent))

    def copy(self, source: str, target: str) -> ETag:
        """Copy an object within the bucket; the service moves the bytes, at most 5 GiB."""
        where = {"Bucket": self._bucket, "Key": source}
        answer = self._clients.control().copy_object(
            Bucket=self._bucket, Key=target, CopySource=where
        )
        return unquoted(answer["CopyObjectResult"].get("ETag"))

    def delete(self, key: str, **how: str) -> None:
        """Remove an object; `how` is what boto3 calls IfMatch."""
        self._clients.control().delete_object(Bucket=self._bucket, Key=key, **how)

    def page(self, prefix: str, position: Position, limit: int = 1000) -> Page:
        """Return at most `limit` objects under `prefix`, and where the next ones begin.

        Raises:
            Unsupported: the next page is this one, and so a listing would never end.
        """
        answer = self._clients.control().list_objects_v2(
            Bucket=self._bucket, Prefix=prefix, MaxKeys=limit, **position
        )
        return _entries(answer, prefix), _next(answer, position)

    def clock(self, prefix: str) -> Offset | None:
        """Return what the service's clock shows."""
        sent = boottime()
        answer = self._clients.control().list_objects_v2(
            Bucket=self._bucket, Prefix=prefix, MaxKeys=1
        )
        return _offset(answer, sent)

    def level(self, prefix: str) -> tuple[list[str], list[Entry]]:
        """Return the prefixes, ending in `/`, and the objects one level below `prefix`.

        Raises:
            Unsupported: as `page` does.
        """
        prefixes: list[str] = []
        entries: list[Entry] = []
        position: Position | None = {}
        while position is not None:
            answer = self._clients.control().list_objects_v2(
                Bucket=self._bucket, Prefix=prefix, Delimiter="/", **position
            )
            found = [it["Prefix"] for it in answer.get("CommonPrefixes", ())]
            prefixes += [it for it in found if it.startswith(prefix)]
            entries += _entries(answer, prefix)
            position = _next(answer, position)
        return prefixes, entries

    def create_bucket(self) -> None:
        """Make the bucket, private; one that is ours already is as good."""
        client = self._clients.control()
        region = client.meta.region_name
        place = (
            {"CreateBucketConfiguration": {"LocationConstraint": region}}
            # Services other than AWS know no locations, or refuse ours.
            if self._clients.account.endpoint is None and region != "us-east-1"
            else {}
        )
        try:
            client.create_bucket(Bucket=self._bucket, **place)
        except client.exceptions.BucketAlreadyOwnedByYou:
            return
        except client.exceptions.BucketAlreadyExists:
            # Ours or another's: what it lets us do tells.
            client.list_objects_v2(Bucket=self._bucket, MaxKeys=1)

    def begin(self, key: str, **how: str) -> str:
        """Begin a multipart upload and return its id."""
        answer = self._clients.control().create_multipart_upload(
            Bucket=self._bucket, Key=key, **how
        )
        return str(answer["UploadId"])

    def part(self, key: str, upload: str, number: int, body: bytes) -> str:
        """Store one part, numbered from 1, and return its ETag as the service wrote it."""
        answer = self._clients.control().upload_part(
            Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number, Body=body
        )
        return str(answer["ETag"])

    def finish(self, key: str, upload: str, parts: Sequence[str], **how: str) -> ETag:
        """Make the parts an object; `how` is what boto3 calls IfMatch or IfNoneMatch."""
        named = [{"ETag": etag, "PartNumber": n} for n, etag in enumerate(parts, 1)]
        answer = self._clients.control().complete_multipart_upload(
            Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": named}, **how
        )
        return unquoted(answer.get("ETag"))

    def abort(self, key: str, upload: str) -> None:
        """Throw the parts away."""
        self._clients.control().abort_multipart_upload(
            Bucket=self._bucket, Key=key, UploadId=upload
        )


def same_again() -> Unsupported:
    """Return the error of a listing that would never end."""
    return Unsupported("the service shows the same page again and again; it cannot be listed")


def _another_range(key: str) -> Unsupported:
    text = "the answer does not hold the range that was asked for; this service cannot do that"
    return Unsupported(f"{key!r}: {text}")


def _offset(answer: Any, sent: int) -> Offset | None:
    """Return the bounds that an answer's `Date` gives; it was true between `sent` and now."""
    received = boottime()
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date is None:
        return None
    try:
        shown = nanoseconds(parsedate_to_datetime(date))
    except (ValueError, OverflowError):
        return None  # as of a service that shows none
    return Offset(shown - received, shown + SECOND - sent)


def _next(answer: Any, position: Position) -> Position | None:
    if not answer.get("IsTruncated"):
        return None
    following = {"ContinuationToken": answer["NextContinuationToken"]}
    if following == position:
        raise same_again()
    return following


def _entries(answer: Any, prefix: str) -> list[Entry]:
    found = [_entry(it) for it in answer.get("Contents", ())]
    return [it for it in found if it.key.startswith(prefix)]


def _entry(found: Any) -> Entry:
    modified = nanoseconds(found["LastModified"])
    return Entry(found["Key"], unquoted(found.get("ETag")), found["Size"], modified)
