"""A store in memory, whose faults and gaps a test scripts. Deterministic; never sleeps.

`MemoryStore()` is one client of a bucket of its own; `other()` is another client of the same
bucket, with requests, faults and hooks of its own.
"""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Final, final

import trio

from tcfs.stores import (
    AlreadyExists,
    Buffer,
    Capabilities,
    Conflict,
    Dated,
    Denied,
    Entry,
    ETag,
    InvalidKey,
    NotFound,
    NotModified,
    Object,
    Offset,
    OutcomeUnknown,
    PreconditionFailed,
    Range,
    StoreError,
    Unavailable,
    Unsupported,
)
from tcfs.stores._base import check_whole
from tcfs.stores.deadline import remaining

ALL: Final = Capabilities(create=True, replace=True, delete=True, conditional_get=True, shared=True)
NO_DELETE: Final = Capabilities(
    create=True, replace=True, delete=False, conditional_get=True, shared=True
)
PAGE: Final = 1000
EPOCH: Final = 1_700_000_000  # seconds: the first object's time

Hook = Callable[[], Awaitable[object]]
Each = Callable[[int, str, str], Awaitable[object]]


class Fault(Enum):
    """What happens to one write."""

    ANSWER_LOST = auto()  # it is applied, and nobody says so
    DELAYED = auto()  # nobody says so, and it is applied by `deliver`
    REFUSED = auto()  # "not now": it is not applied
    CONFLICT = auto()  # somebody else writes the key at this moment: it is not applied
    DENIED = auto()
    BROKEN = auto()  # no answer, and it is never applied


def monotonic() -> int:
    """Return trio's time in nanoseconds: what CLOCK_BOOTTIME is to a test that does not wait."""
    return int(trio.current_time() * 1_000_000_000)


@final
@dataclass(slots=True)
class _Script:
    verb: str
    pattern: str
    fault: Fault
    times: int = 1

    def matches(self, verb: str, key: str) -> bool:
        return self.times > 0 and verb == self.verb and fnmatchcase(key, self.pattern)


@final
@dataclass(slots=True)
class _Gap:
    verb: str
    pattern: str
    hook: Hook
    after: bool


@final
@dataclass(slots=True)
class _Bucket:
    objects: dict[str, Object] = field(default_factory=dict)
    delayed: list[Callable[[], None]] = field(default_factory=list)
    writes: int = 0
    offset: Offset | None = None  # what it tells of its clock, which is trio's then

    def now(self) -> int:
        if self.offset is not None:
            return monotonic() + (self.offset.low + self.offset.high) // 2
        self.writes += 1
        return (EPOCH + self.writes) * 1_000_000_000


@final
class MemoryStore:
    """One client of a bucket in memory. See `tcfs.stores.Store` for what each method means."""

    def __init__(self, capabilities: Capabilities = ALL, *, page: int = PAGE) -> None:
        self.capabilities = capabilities
        self.requests: list[tuple[str, str]] = []
        self.each: Each | None = None  # awaited before every request, with its number
        self.closed = False
        self._page = page
        self._bucket = _Bucket()
        self._scripts: list[_Script] = []
        self._gaps: list[_Gap] = []
        self._turn = trio.Lock()

    @property
    def url(self) -> str:
        return "memory://bucket/project"

    @property
    def identity(self) -> str:
        return self.url

    def other(self) -> "MemoryStore":
        """Return another client of the same bucket."""
        there = MemoryStore(self.capabilities, page=self._page)
        there._bucket = self._bucket
        return there

    # scripting

    def fail(self, pattern: str, fault: Fault, *, verb: str = "PUT", times: int = 1) -> None:
        """Let the next write, or the next `times`, to a matching key meet a fault."""
        self._scripts.append(_Script(verb, pattern, fault, times))

    def before(self, verb: str, pattern: str, hook: Hook) -> None:
        """Await `hook` once, when the next matching request has been made and did nothing yet."""
        self._gaps.append(_Gap(verb, pattern, hook, after=False))

    def after(self, verb: str, pattern: str, hook: Hook) -> None:
        """Await `hook` once, when the next matching request did its work and has no answer yet."""
        self._gaps.append(_Gap(verb, pattern, hook, after=True))

    def deliver(self) -> int:
        """Apply what was delayed, under the conditions it was sent with; return how many did."""
        delayed, self._bucket.delayed = self._bucket.delayed, []
        applied = 0
        for apply in delayed:
            try:
                apply()
            except StoreError:
                continue
            applied += 1
        return applied

    @property
    def pending_faults(self) -> int:
        """How many scripted faults have not happened."""
        return sum(script.times for script in self._scripts)

    def tell_time(self, *, doubt: float = 0.5) -> None:
        """From now on tell a clock that goes as trio's does; within `doubt` seconds."""
        middle, around = EPOCH * 1_000_000_000, int(doubt * 1_000_000_000)
        self._bucket.offset = Offset(middle - around, middle + around)

    # what a test looks at, or another tool writes

    def stored(self) -> list[str]:
        return sorted(self._bucket.objects)

    def body(self, key: str) -> bytes | None:
        found = self._bucket.objects.get(key)
        return found.body if found else None

    def place(self, key: str, body: bytes) -> ETag:
        """Write as another tool does: at once, without a condition, and without a request."""
        etag = _etag(body)
        self._bucket.objects[key] = Object(body, etag, self._bucket.now())
        return etag

    def remove(self, key: str) -> None:
        """Delete as another tool does."""
        del self._bucket.objects[key]

    def asked(self, verb: str) -> list[str]:
        """Return the keys of the requests of one kind."""
        return [key for it, key in self.requests if it == verb]

    # the store

    async def get(self, key: str, *, if_none_match: ETag | None = None) -> Object | NotModified:
        async with self._request("GET", key):
            found = self._find(key)
            if found.etag == if_none_match:
                return NotModified()
            check_whole(key, len(found.body))
            return found

    async def get_range(self, key: str, offset: int, length: int) -> Range:
        async with self._request("RANGE", key):
            found = self._find(key)
            body = found.body[offset : offset + length]
            return Range(body, found.etag, found.modified, len(found.body))

    async def head(self, key: str) -> Entry:
        async with self._request("HEAD", key):
            return _entry(key, self._find(key))

    async def put(
        self, key: str, body: Buffer, *, if_absent: bool = False, if_match: ETag | None = None
    ) -> ETag:
        async with self._request("PUT", key):
            self._write("PUT", key, lambda: self._put(key, bytes(body), if_absent, if_match))
            return _etag(bytes(body))

    async def put_dated(self, key: str, body: bytes, *, if_match: ETag | None = None) -> Dated:
        return Dated(await self.put(key, body, if_match=if_match), self._bucket.offset)

    async def clock(self) -> Offset | None:
        async with self._request("HEAD", ""):
            return self._bucket.offset

    async def delete(self, key: str, *, if_match: ETag | None = None) -> None:
        if if_match is not None and not self.capabilities.delete:
            raise Unsupported("this store has no conditional delete")
        async with self._request("DELETE", key):
            self._write("DELETE", key, lambda: self._delete(key, if_match))

    async def list(
        self, prefix: str, *, start_after: str | None = None
    ) -> AsyncIterator[Sequence[Entry]]:
        after = start_after
        while True:
            async with self._request("LIST", prefix):
                left = [
                    _entry(key, self._bucket.objects[key])
                    for key in self.stored()
                    if key.startswith(prefix) and (after is None or key > after)
                ]
            page = left[: self._page]
            if page:
                yield page
            if len(left) <= self._page:
                return
            after = page[-1].key

    async def list_dir(self, prefix: str) -> tuple[Sequence[str], Sequence[Entry]]:
        async with self._request("LIST", prefix):
            names: dict[str, None] = {}
            entries = []
            for key in self.stored():
                if not key.startswith(prefix):
                    continue
                name, separator, _ = key[len(prefix) :].partition("/")
                if separator:
                    names[name] = None
                else:
                    entries.append(_entry(key, self._bucket.objects[key]))
            return list(names), entries

    async def any_under(self, prefix: str) -> bool:
        async with self._request("LIST", prefix):
            return any(key.startswith(prefix) for key in self._bucket.objects)

    async def upload(
        self,
        key: str,
        parts: AsyncIterable[bytes],
        *,
        if_absent: bool = False,
        if_match: ETag | None = None,
    ) -> ETag:
        body = b"".join([part async for part in parts])
        return await self.put(key, body, if_absent=if_absent, if_match=if_match)

    async def copy(self, source: str, target: str) -> ETag:
        async with self._request("COPY", source):
            found = self._find(source)
            self._write("COPY", target, lambda: self._put(target, found.body, False, None))
            return found.etag

    async def aclose(self) -> None:
        self.closed = True

    # inside

    def _request(self, verb: str, key: str) -> "_Request":
        return _Request(self, verb, key)

    def _find(self, key: str) -> Object:
        _check(key)
        found = self._bucket.objects.get(key)
        if found is None:
            raise NotFound(f"there is no object {key!r}")
        return found

    def _write(self, verb: str, key: str, apply: Callable[[], None]) -> None:
        _check(key)
        for script in self._scripts:
            if script.matches(verb, key):
                script.times -= 1
                self._meet(script.fault, key, apply)
                return
        apply()

    def _meet(self, fault: Fault, key: str, apply: Callable[[], None]) -> None:
        match fault:
            case Fault.ANSWER_LOST:
                try:
                    apply()
                finally:
                    raise OutcomeUnknown(f"{key}: no answer")
            case Fault.DELAYED:
                self._bucket.delayed.append(apply)
                raise OutcomeUnknown(f"{key}: no answer")
            case Fault.BROKEN:
                raise OutcomeUnknown(f"{key}: no answer")
            case Fault.REFUSED:
                raise Unavailable(f"{key}: slow down")
            case Fault.CONFLICT:
                raise Conflict(f"{key}: somebody else writes it")
            case Fault.DENIED:
                raise Denied(f"{key}: access denied")

    def _put(self, key: str, body: bytes, if_absent: bool, if_match: ETag | None) -> None:
        found = self._bucket.objects.get(key)
        if if_absent and found is not None:
            raise AlreadyExists(f"{key!r} exists already")
        self._compare(key, if_match)
        self._bucket.objects[key] = Object(body, _etag(body), self._bucket.now())

    def _delete(self, key: str, if_match: ETag | None) -> None:
        self._compare(key, if_match)
        self._bucket.objects.pop(key, None)

    def _compare(self, key: str, if_match: ETag | None) -> None:
        found = self._bucket.objects.get(key)
        if if_match is not None and (found is None or found.etag != if_match):
            raise PreconditionFailed(f"{key!r} is not the version this was based on")

    async def _gap(self, verb: str, key: str, *, after: bool) -> None:
        for gap in self._gaps:
            if gap.after is after and gap.verb == verb and fnmatchcase(key, gap.pattern):
                self._gaps.remove(gap)
                await gap.hook()
                return


@final
class _Request:
    """What every request is made of: gap, work, gap. It can be cancelled in both gaps.

    With `each` set, the requests of one client come one by one, so that a test that counts gaps
    meets the same ones every time.
    """

    def __init__(self, store: MemoryStore, verb: str, key: str) -> None:
        self._store = store
        self._verb = verb
        self._key = key
        self._alone = store.each is not None

    async def __aenter__(self) -> None:
        store = self._store
        if remaining() <= 0:
            raise Unavailable("no time was left to ask; nothing was sent")
        if self._alone:
            await store._turn.acquire()
        try:
            store.requests.append((self._verb, self._key))
            if store.each is not None:
                await store.each(len(store.requests) - 1, self._verb, self._key)
            await store._gap(self._verb, self._key, after=False)
            await trio.lowlevel.checkpoint()
        except BaseException:
            if self._alone:
                store._turn.release()
            raise

    async def __aexit__(self, *error: object) -> None:
        if self._alone:
            self._store._turn.release()
        await self._store._gap(self._verb, self._key, after=True)
        await trio.lowlevel.checkpoint()


def _check(key: str) -> None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKey(f"a key is UTF-8 text; {key!r} is not") from None
    if not key or size > 1024:
        raise InvalidKey(f"a key has 1 to 1024 bytes: {key!r}")


def _etag(body: bytes) -> ETag:
    return ETag(hashlib.blake2b(body, digest_size=16).hexdigest())


def _entry(key: str, found: Object) -> Entry:
    return Entry(key, found.etag, len(found.body), found.modified)
