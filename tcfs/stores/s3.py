"""Objects in a bucket of an S3 service.

obstore is the data path: it does the same requests in half the time and lets go of the GIL. boto3
is the control path, for what obstore cannot do (`_s3_control`). Neither repeats a request by
itself; `_retry` does.

What a service does differently, and no client can mend: SeaweedFS lists a directory's
objects before its siblings whose names sort lower (`a/x` before `a-b`), so keys are in order
within one directory only. It takes `\\` in a key for `/`, and goes on showing a directory to
`list_dir` for a while after its last object. And it looks but once a second whether the lock of a
contended key is free: who loses a race for one may wait for seconds.
"""

import re
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Sequence,
)
from functools import partial
from typing import Final, TypeVar, final

from obstore.exceptions import BaseError

from tcfs.stores import _retry, _threads
from tcfs.stores._base import (
    Buffer,
    Capabilities,
    Dated,
    Entry,
    ETag,
    NotModified,
    Object,
    Offset,
    Range,
)
from tcfs.stores._errors import (
    AlreadyExists,
    InvalidKey,
    NotFound,
    PreconditionFailed,
    StoreError,
)
from tcfs.stores._pages import Pages
from tcfs.stores._s3_account import REQUEST, Clients, account
from tcfs.stores._s3_control import Control, quoted
from tcfs.stores._s3_errors import Asked, of_botocore, of_obstore, translate
from tcfs.stores._s3_list import Listing, Presence, level
from tcfs.stores._s3_objects import JSON, Objects
from tcfs.stores._s3_upload import Wish, upload

T = TypeVar("T")

MAX_KEY: Final = 1024  # bytes, the project's name included
_PARTS: Final = re.compile(r"[/\\]")

CAPABILITIES: Final = Capabilities(
    create=True, replace=True, delete=True, conditional_get=True, shared=True
)


@final
class S3Store:
    """A project in a bucket: the keys under `<project>/`.

    Making one asks the service nothing. `request_timeout` (seconds) is how long one request
    may wait for its answer; keep it below the deadline of the operations.

    Raises:
        ValueError: the endpoint is no URL, a key pair is incomplete, or a part of the project's
            name is `.` or `..`.
    """

    def __init__(
        self,
        bucket: str,
        project: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        profile: str | None = None,
        create_bucket: bool = False,
        request_timeout: float = REQUEST,
        capabilities: Capabilities = CAPABILITIES,
    ) -> None:
        """Name the bucket and who we are there; what is not given comes from AWS_* variables."""
        if {".", ".."}.intersection(_PARTS.split(project)):
            raise ValueError(f"no part of a project's name is '.' or '..': {project!r}")
        self.capabilities = capabilities
        self._bucket: Final = bucket
        self._root: Final = f"{project.strip('/')}/" if project.strip("/") else ""
        self._url: Final = f"s3://{bucket}/{self._root}".rstrip("/")
        self._create_bucket: Final = create_bucket
        self._clients: Final = Clients(
            account(
                bucket,
                endpoint=endpoint,
                region=region,
                access_key=access_key,
                secret_key=secret_key,
                profile=profile,
                timeout=request_timeout,
            )
        )
        self._control: Final = Control(self._clients)
        self._objects: Final = Objects(self._clients, self._control)
        self._presence: Final = Presence(self._clients)

    @property
    def url(self) -> str:
        """Where this is, as a user would write it."""
        return self._url

    @property
    def service(self) -> str:
        """Which bucket of which service this is, for what is known of both; holds no secret."""
        where = self._clients.account
        return f"{where.endpoint or 'https://s3.amazonaws.com'} {where.region} {self._bucket}"

    @property
    def plaintext(self) -> str | None:
        """The service's address, if what goes there can be read and changed on its way."""
        return self._clients.account.plaintext

    @property
    def identity(self) -> str:
        """Which project of which service this is; holds no secret."""
        where = self._clients.account
        return f"{where.endpoint or 'https://s3.amazonaws.com'} {self._url}"

    async def ensure_bucket(self) -> None:
        """Make the bucket if `create_bucket` was asked for; else see that it answers.

        Raises:
            Denied: it is not there, or not ours.
            Unavailable
        """
        if self._create_bucket:
            await self._write("", self._control.create_bucket)
        else:
            await self._read("", partial(self._control.page, self._root, {}, 1))

    async def credentials(self) -> str:
        """Return where the credentials come from; never what they are.

        Raises:
            Denied: there are none.
        """
        return await self._read("", self._clients.account.source)

    def secrets(self) -> Collection[str]:
        """Return what requests are and were signed with; for worker threads only."""
        return self._clients.secrets()

    async def clock(self) -> Offset | None:
        """Return what the service's clock shows, as its `Date` has it; None if it is silent."""
        return await self._read("", partial(self._control.clock, self._root))

    async def prepare(self) -> None:
        """Make the clients now, in the 0.3 s that importing boto3 takes; asks the service nothing.

        Else the first conditional delete waits for that, in the time its operation has.

        Raises:
            Denied: there are no credentials.
        """
        await self._read("", self._clients.prepare)

    async def get(self, key: str, *, if_none_match: ETag | None = None) -> Object | NotModified:
        """Return an object's newest version, or NotModified; raises as `Store.get` does."""
        full = self._full(key)
        return await self._read(full, partial(self._objects.get, full, if_none_match))

    async def get_range(self, key: str, offset: int, length: int) -> Range:
        """Return at most `length` bytes from `offset` on; raises as `Store.get_range` does."""
        full = self._full(key)
        return await self._read(full, partial(self._objects.get_range, full, offset, length))

    async def head(self, key: str) -> Entry:
        """Return what a listing would show; raises as `Store.head` does."""
        full = self._full(key)
        return self._mine(await self._read(full, partial(self._objects.head, full)))

    async def put(
        self, key: str, body: Buffer, *, if_absent: bool = False, if_match: ETag | None = None
    ) -> ETag:
        """Store an object whole and return its ETag; raises as `Store.put` does."""
        full = self._full(key)
        attempt = partial(self._objects.put, full, body, if_absent=if_absent, if_match=if_match)
        if if_absent or if_match is not None:
            asked = Asked.CREATE if if_absent else Asked.REPLACE
            return await self._once(full, asked, attempt)
        return await self._write(full, attempt)

    async def put_dated(self, key: str, body: bytes, *, if_match: ETag | None = None) -> Dated:
        """Store a document and learn the time; raises as `Store.put_dated` does.

        Through boto3, which shows the headers of an answer: obstore keeps them to itself.
        """
        full = self._full(key)
        how = {"ContentType": JSON}
        if if_match is None:
            return await self._write(full, partial(self._control.put_dated, full, body, **how))
        attempt = partial(self._control.put_dated, full, body, **how, IfMatch=quoted(if_match))
        return await self._once(full, Asked.REPLACE, attempt)

    async def delete(self, key: str, *, if_match: ETag | None = None) -> None:
        """Remove an object; raises as `Store.delete` does."""
        full = self._full(key)
        if if_match is not None:
            attempt = partial(self._control.delete, full, IfMatch=quoted(if_match))
            await self._once(full, Asked.REPLACE, attempt)
            return
        try:
            await self._write(full, partial(self._objects.delete, full))
        except NotFound:
            return

    def list(
        self, prefix: str, *, start_after: str | None = None
    ) -> AsyncIterator[Sequence[Entry]]:
        """Yield the objects under `prefix`, in pages; raises as `Store.list` does."""
        full = self._root + prefix
        if _leads_out(prefix):
            return Pages(_nothing)
        after = None if start_after is None else self._root + start_after
        return Pages(partial(self._page, Listing(self._clients, full, after), full))

    async def list_dir(self, prefix: str) -> tuple[Sequence[str], Sequence[Entry]]:
        """Return one level below `prefix`; raises as `Store.list_dir` does."""
        full = self._root + prefix
        if _leads_out(prefix):
            return [], []
        names, entries = await self._read(full, partial(level, self._clients, full))
        return names, [self._mine(entry) for entry in entries]

    async def any_under(self, prefix: str) -> bool:
        """Tell whether at least one key begins with `prefix`."""
        full = self._root + prefix
        if _leads_out(prefix):
            return False
        return await self._read(full, partial(self._presence.any_under, full))

    async def upload(
        self,
        key: str,
        parts: AsyncIterable[bytes],
        *,
        if_absent: bool = False,
        if_match: ETag | None = None,
    ) -> ETag:
        """Store an object of any size from its parts; raises as `Store.put` does."""
        full = self._full(key)
        how = Wish(
            put=partial(self.put, key, if_absent=if_absent, if_match=if_match),
            ask=partial(self._read, full),
            finish=partial(self._write, full),
        )
        if if_absent or if_match is not None:
            how = how.under(
                {"IfNoneMatch": "*"} if if_match is None else {"IfMatch": quoted(if_match)},
                partial(self._once, full, Asked.CREATE if if_absent else Asked.REPLACE),
                partial(self._same, key, if_match),
            )
        return await upload(self._control, full, parts, how)

    async def copy(self, source: str, target: str) -> ETag:
        """Store what `source` holds at `target` as well; raises as `Store.copy` does."""
        full = self._full(source)
        attempt = partial(self._control.copy, full, self._full(target))
        return await self._write(full, attempt)

    async def aclose(self) -> None:
        """Let go of connections."""
        await _threads.completed(self._clients.close)

    async def _page(self, listing: Listing, full: str) -> Sequence[Entry]:
        return [self._mine(entry) for entry in await self._read(full, listing.page)]

    def _full(self, key: str) -> str:
        full = self._root + key
        try:
            size = len(full.encode())
        except UnicodeEncodeError:
            raise InvalidKey(f"a key is UTF-8 text; {key!r} is not") from None
        if not key or size > MAX_KEY:
            raise InvalidKey(f"a key has 1 to {MAX_KEY} bytes with the project's name: {key!r}")
        if _leads_out(key):
            raise InvalidKey(f"this key leads out of the project by its '..': {key!r}")
        return full

    def _mine(self, entry: Entry) -> Entry:
        return Entry(entry.key[len(self._root) :], entry.etag, entry.size, entry.modified)

    async def _read(self, full: str, attempt: Callable[[], T]) -> T:
        return await _retry.read(self._attempt(full, Asked.READ, attempt), self._url)

    async def _write(self, full: str, attempt: Callable[[], T]) -> T:
        return await _retry.write(self._attempt(full, Asked.WRITE, attempt), self._url)

    async def _once(self, full: str, asked: Asked, attempt: Callable[[], T]) -> T:
        return await _retry.once(self._attempt(full, asked, attempt), self._url)

    async def _same(self, key: str, base: ETag | None) -> None:
        """Raise what a conditional put raises, by a look: not all services compare at the end."""
        try:
            found: ETag | None = (await self.head(key)).etag
        except NotFound:
            found = None
        if found != base:
            if base is None:
                raise AlreadyExists(f"{key!r} exists already")
            raise PreconditionFailed(f"{key!r} is not the version this was based on")

    def _attempt(
        self, full: str, asked: Asked, attempt: Callable[[], T]
    ) -> Callable[[], Awaitable[T]]:
        return partial(_threads.abandoned, partial(self._translated, full, asked, attempt))

    def _translated(self, full: str, asked: Asked, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except StoreError as error:
            # Its frames would keep an answer that was not read, and the connection it comes by.
            raise error.with_traceback(None) from None
        except (BaseError, FileNotFoundError) as error:
            answer = of_obstore(error)
        except Exception as error:  # botocore's have no common base
            answer = of_botocore(error)
        # Without the cause: obstore quotes the answer's body, which may quote the signature.
        raise translate(answer, asked, self._bucket, full[len(self._root) :]) from None


def _leads_out(key: str) -> bool:
    """Tell whether a service that takes a key for a path would leave the project by it.

    S3 itself does not. Gateways to file systems do, and some take `\\` for `/`.
    """
    depth = 0
    for name in _PARTS.split(key):
        depth += -1 if name == ".." else name not in ("", ".")
        if depth < 0:
            return True
    return False


async def _nothing() -> Sequence[Entry]:
    return []
