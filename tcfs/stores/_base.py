"""The seam between what objects mean and where they live."""

import time
from collections.abc import AsyncIterable, AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Final, NewType, Protocol, final

from tcfs.stores._errors import Oversized

MAX_WHOLE: Final = 16 << 20  # bytes of an object that `get` returns: no document is larger

ETag = NewType("ETag", str)
"""What identifies one version of an object, without quotation marks. Opaque."""
Buffer = bytes | memoryview
"""Bytes that are handed on as they came: a large read is not copied on its way."""


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """An object as a listing shows it. `modified` is in nanoseconds since 1970."""

    key: str
    etag: ETag
    size: int
    modified: int


@final
@dataclass(frozen=True, slots=True)
class Object:
    """An object. `modified` is in nanoseconds since 1970."""

    body: bytes
    etag: ETag
    modified: int


@final
@dataclass(frozen=True, slots=True)
class Range:
    """What was asked for of an object. `modified` is in ns since 1970; the whole has `size`."""

    body: Buffer
    etag: ETag
    modified: int
    size: int


@final
class NotModified:
    """The answer to a get whose `if_none_match` is still the object's ETag."""


@final
@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can do beside plain reads and writes.

    `facts` says what it was seen to do, a line each, for people; empty where nobody looked.
    """

    create: bool  # put if absent
    replace: bool  # put if the ETag matches
    delete: bool  # delete if the ETag matches
    conditional_get: bool
    shared: bool  # whether other hosts reach it
    best_effort: bool = False  # what `create` or `replace` lacks is imitated (`limited`)
    facts: tuple[str, ...] = ()

    @property
    def claims(self) -> str | None:
        """What a claim is worth: atomic, best-effort or refused; None where nobody looked."""
        if self.create and self.replace:
            return "atomic" if self.facts else None
        return "best-effort" if self.best_effort else "refused"


@final
@dataclass(frozen=True, slots=True)
class Offset:
    """Between which bounds the store's clock less this host's CLOCK_BOOTTIME lies.

    In nanoseconds. A clock that shows whole seconds tells no better, and a slow answer less.
    """

    low: int
    high: int


@final
@dataclass(frozen=True, slots=True)
class Dated:
    """What a put came to; `offset` is what its answer told of the store's clock, if it did."""

    etag: ETag
    offset: Offset | None


class Store(Protocol):
    """Objects under one prefix of one bucket: the project. Keys are relative to it.

    Conditional writes are tried once and report what that one attempt met, since only their
    caller can tell whether a failed one was its own (protocol.md, lost answers). All else is
    retried until the deadline (`tcfs.stores.deadline`).
    """

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, as far as is known by now."""
        ...

    @property
    def url(self) -> str:
        """Where this is, as a user would write it; holds no secret."""
        ...

    @property
    def identity(self) -> str:
        """Which project of which service this is, for what a host keeps of it; holds no secret."""
        ...

    def secrets(self) -> Collection[str]:
        """Return what requests are and were signed with, so that it is kept out of what is stored.

        It may ask for credentials anew: for worker threads only.
        """
        ...

    async def get(self, key: str, *, if_none_match: ETag | None = None) -> Object | NotModified:
        """Return an object's newest version, or NotModified if it has the ETag given.

        Raises:
            Oversized: it has more than `MAX_WHOLE` bytes, which were not fetched.
            NotFound, Denied, Unavailable, InvalidKey
        """
        ...

    async def get_range(self, key: str, offset: int, length: int) -> Range:
        """Return at most `length` bytes from `offset` on; fewer, or none, at the end.

        Raises:
            NotFound, Denied, Unavailable, InvalidKey
        """
        ...

    async def head(self, key: str) -> Entry:
        """Return what a listing would show of one object; raises as `get` does."""
        ...

    async def put(
        self, key: str, body: Buffer, *, if_absent: bool = False, if_match: ETag | None = None
    ) -> ETag:
        """Store an object whole and return its ETag.

        Raises:
            AlreadyExists: `if_absent`, and there is one.
            PreconditionFailed: `if_match`, and the object is another one, or gone.
            OutcomeUnknown: no answer; it may be stored.
            Conflict, Denied, Unavailable, InvalidKey, ReadOnly, StoreFull, Unsupported
        """
        ...

    async def put_dated(self, key: str, body: bytes, *, if_match: ETag | None = None) -> Dated:
        """Store an object, and learn what the store's clock shows; raises as `put` does."""
        ...

    async def clock(self) -> Offset | None:
        """Return what the store's clock shows; None where it does not tell.

        Raises:
            Denied, Unavailable
        """
        ...

    async def delete(self, key: str, *, if_match: ETag | None = None) -> None:
        """Remove an object. Without a condition, one that is not there is removed already.

        Raises:
            PreconditionFailed: `if_match`, and the object is another one, or gone.
            OutcomeUnknown, Conflict, Denied, Unavailable, InvalidKey, ReadOnly, Unsupported
        """
        ...

    def list(
        self, prefix: str, *, start_after: str | None = None
    ) -> AsyncIterator[Sequence[Entry]]:
        """Yield the objects whose keys begin with `prefix`, in pages, in the order of their keys.

        Keys up to and including `start_after` are left out.

        Raises:
            Denied, Unavailable
        """
        ...

    async def list_dir(self, prefix: str) -> tuple[Sequence[str], Sequence[Entry]]:
        """Return one level below `prefix`, which ends in `/` or is empty.

        The first are the names of the prefixes there, without `/`; the second the objects.

        Raises:
            Denied, Unavailable
        """
        ...

    async def any_under(self, prefix: str) -> bool:
        """Tell whether at least one key begins with `prefix`; one small request."""
        ...

    async def upload(
        self,
        key: str,
        parts: AsyncIterable[bytes],
        *,
        if_absent: bool = False,
        if_match: ETag | None = None,
    ) -> ETag:
        """Store an object of any size from its consecutive parts; raises as `put` does.

        The object appears whole, or not at all. Each request has a deadline of its own where the
        caller set none: a transfer may take long, but not stand still.
        """
        ...

    async def copy(self, source: str, target: str) -> ETag:
        """Store what `source` holds at `target` as well, whole, without moving its bytes here.

        Raises:
            NotFound: there is no `source`.
            OutcomeUnknown, Conflict, Denied, Unavailable, InvalidKey, ReadOnly, StoreFull
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections and descriptors."""
        ...


def check_whole(key: str, size: int) -> None:
    """Raise Oversized for an object that `get` may not return."""
    if size > MAX_WHOLE:
        raise Oversized(
            f"{key!r} has {size} bytes: that is no document of this layout; read it in .tcfs/raw"
        )


def boottime() -> int:
    """Return this host's CLOCK_BOOTTIME in nanoseconds: nothing sets it, and it counts sleep."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
