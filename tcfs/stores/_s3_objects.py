"""One object at a time: through obstore where it can name the key, else through boto3.

Keys are those of the bucket. All functions block, and raise what obstore and botocore raise.
"""

from typing import TYPE_CHECKING, Final, final

import obstore
from obstore.exceptions import NotModifiedError

from tcfs.stores._base import Buffer, Entry, ETag, NotModified, Object, Range, check_whole
from tcfs.stores._errors import Unsupported
from tcfs.stores._s3_account import Clients
from tcfs.stores._s3_control import Control, is_plain, nanoseconds, quoted, unquoted
from tcfs.stores._s3_errors import of_botocore, of_obstore
from tcfs.stores._s3_list import entry_of

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, PutMode

JSON: Final = "application/json"


@final
class Objects:
    """Gets, puts and deletes."""

    def __init__(self, clients: Clients, control: Control) -> None:
        self._clients = clients
        self._control = control

    def get(self, key: str, etag: ETag | None) -> Object | NotModified:
        """Return an object, or NotModified if it still has this ETag."""
        if not is_plain(key):
            return self._get_odd(key, etag)
        options: GetOptions | None = None if etag is None else {"if_none_match": quoted(etag)}
        try:
            answer = obstore.get(self._clients.reads(), key, options=options)
        except NotModifiedError:
            return NotModified()
        meta = answer.meta
        check_whole(key, meta["size"])
        body = bytes(_body(key, answer))
        return Object(body, unquoted(meta["e_tag"]), nanoseconds(meta["last_modified"]))

    def get_range(self, key: str, offset: int, length: int) -> Range:
        """Return at most `length` bytes from `offset` on; none past the end."""
        if length <= 0:
            return self._nothing(key)
        try:
            if not is_plain(key):
                return self._control.get_range(key, offset, length)
            return self._range(key, offset, length)
        except Exception as error:
            if 416 in (of_obstore(error).status, of_botocore(error).status):
                return self._nothing(key)
            raise

    def head(self, key: str) -> Entry:
        """Return what a listing would show."""
        if not is_plain(key):
            return self._control.head(key)
        return entry_of(obstore.head(self._clients.reads(), key))

    def put(self, key: str, body: Buffer, *, if_absent: bool, if_match: ETag | None) -> ETag:
        """Store an object."""
        if not is_plain(key):
            return self._put_odd(key, bytes(body), if_absent=if_absent, if_match=if_match)
        mode: PutMode = "create" if if_absent else "overwrite"
        if if_match is not None:
            mode = {"e_tag": quoted(if_match)}
        stored = obstore.put(
            self._clients.writes(),
            key,
            body,
            attributes={"Content-Type": JSON} if key.endswith(".json") else None,
            mode=mode,
            use_multipart=False,
        )
        return unquoted(stored["e_tag"])

    def delete(self, key: str) -> None:
        """Remove an object, whatever it is."""
        if is_plain(key):
            obstore.delete(self._clients.writes(), key)
        else:
            self._control.delete(key)

    def _range(self, key: str, offset: int, length: int) -> Range:
        how: GetOptions = {"range": (offset, offset + length)}
        answer = obstore.get(self._clients.reads(), key, options=how)
        meta = answer.meta
        modified = nanoseconds(meta["last_modified"])
        return Range(_body(key, answer), unquoted(meta["e_tag"]), modified, meta["size"])

    def _nothing(self, key: str) -> Range:
        entry = self.head(key)
        return Range(b"", entry.etag, entry.modified, entry.size)

    def _get_odd(self, key: str, etag: ETag | None) -> Object | NotModified:
        try:
            return self._control.get(key, **({} if etag is None else {"IfNoneMatch": quoted(etag)}))
        except Exception as error:
            if of_botocore(error).status == 304:
                return NotModified()
            raise

    def _put_odd(self, key: str, body: bytes, *, if_absent: bool, if_match: ETag | None) -> ETag:
        how = content_type(key)
        if if_absent:
            how["IfNoneMatch"] = "*"
        if if_match is not None:
            how["IfMatch"] = quoted(if_match)
        return self._control.put(key, body, **how)


def _body(key: str, answer: "GetResult") -> memoryview:
    """Return what an answer holds, of which no more is read than it says.

    `bytes()` of an answer reads what comes, though it were without end.
    """
    begin, end = answer.range
    # A part is at least as large as that, but for the last: what is right has one.
    body = memoryview(next(iter(answer.stream(min_chunk_size=end - begin + 1)), b""))
    if len(body) != end - begin:
        text = "the answer is not as long as it says; this service cannot be read"
        raise Unsupported(f"{key!r}: {text}")
    return body


def content_type(key: str) -> dict[str, str]:
    """Return boto3's argument for the type of an object, where we know it."""
    return {"ContentType": JSON} if key.endswith(".json") else {}
