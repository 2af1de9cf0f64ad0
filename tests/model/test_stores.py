"""Any sequence of operations on a store comes to what it comes to on a dict.

Two clients of one bucket take turns, so that nothing a client knows may be taken for what is there.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tcfs.stores import (
    AlreadyExists,
    ETag,
    NotFound,
    NotModified,
    Object,
    PreconditionFailed,
    Store,
)
from tcfs.stores.file import FileStore
from tests.memory_store import MemoryStore
from tests.model import profiles
from tests.model.objects import Absent, Bucket, Lost
from tests.model.running import Running
from tests.servers import Account, Moto
from tests.stores.conftest import s3_store

pytestmark = pytest.mark.timeout(300)

# Neighbours in the order of keys, of which a directory's is not that of its name: `a-b` < `a/x`.
# No key is a directory of another: a local store cannot hold both, and says so.
KEYS = ("a-b", "a.json", "a/x", "a/x y", "a/ü/1", "a/ü/2", "ab", "b/%2F", "b/c/d/e")
PREFIXES = ("", "a", "a/", "a/ü/", "a-", "b/", "b/c/", "nothing/")
keys = st.sampled_from(KEYS)
prefixes = st.sampled_from(PREFIXES)
clients = st.integers(0, 1)
LARGE = b"\0\xff" * (1 << 19) + b"!"  # a local store knows it by an attribute, not by a hash
bodies = st.sampled_from(("", "1", "22", "333", "large")).map(
    lambda it: LARGE if it == "large" else it.encode()
)
_numbers = count()

Opened = Callable[[], AsyncIterator[Store]]


class StoreMachine(RuleBasedStateMachine):
    """`make` returns a new client of the bucket of a number that no other example has."""

    make: Callable[[int], Store]
    pages: tuple[int, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.model = Bucket()
        # What each ETag that was ever told stands for; a model's version is a number.
        self.etags: dict[str, list[tuple[ETag, int]]] = {}
        number = next(_numbers)
        self.stores = [type(self).make(number), type(self).make(number)]
        self.running = Running(self._opened, mocked=False)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        yield
        for store in self.stores:
            await store.aclose()

    def teardown(self) -> None:
        self.running.end()

    def both(
        self, model: Callable[[], Any], store: Callable[[], Awaitable[Any]]
    ) -> tuple[Any, Any] | None:
        """Do it in both worlds; None where both refuse it."""
        refused: type[Exception] | None = None
        expected = None
        try:
            expected = model()
        except (Absent, Lost) as error:
            refused = type(error)
        try:
            answer = self.running.do(store)
        except NotFound:
            assert refused is Absent
        except (AlreadyExists, PreconditionFailed):
            assert refused is Lost
        else:
            assert refused is None, f"this was to be refused: {refused}"
            return expected, answer
        return None

    def wrote(self, key: str, came: tuple[Any, Any] | None) -> None:
        if came is not None:
            version, etag = came
            self.etags.setdefault(key, []).append((etag, version))

    def known(self, key: str, which: int) -> tuple[ETag, int] | None:
        told = [it for it in self.etags.get(key, ()) if self.model.is_sure(key, it[1])]
        return told[which % len(told)] if told else None

    @initialize(there=st.sets(keys))
    def begin(self, there: set[str]) -> None:
        for key in sorted(there):
            self.put(0, key, key.encode(), True)

    @rule(client=clients, key=keys, body=bodies, absent=st.booleans())
    def put(self, client: int, key: str, body: bytes, absent: bool) -> None:
        store = self.stores[client]
        self.wrote(
            key,
            self.both(
                lambda: self.model.put(key, body, absent=absent),
                lambda: store.put(key, body, if_absent=absent),
            ),
        )

    @rule(client=clients, key=keys, body=bodies, which=st.integers(0, 9), streamed=st.booleans())
    def replace(self, client: int, key: str, body: bytes, which: int, streamed: bool) -> None:
        told = self.known(key, which)
        if told is None:
            return
        (etag, version), store = told, self.stores[client]
        self.wrote(
            key,
            self.both(
                lambda: self.model.put(key, body, version=version),
                lambda: (
                    store.upload(key, _parts(body), if_match=etag)
                    if streamed
                    else store.put(key, body, if_match=etag)
                ),
            ),
        )

    @rule(client=clients, key=keys)
    def delete(self, client: int, key: str) -> None:
        store = self.stores[client]
        self.both(lambda: self.model.delete(key), lambda: store.delete(key))

    @rule(client=clients, key=keys, which=st.integers(0, 9))
    def delete_that_version(self, client: int, key: str, which: int) -> None:
        told = self.known(key, which)
        store = self.stores[client]
        if told is None or not store.capabilities.delete:
            return
        etag, version = told
        self.both(
            lambda: self.model.delete(key, version=version),
            lambda: store.delete(key, if_match=etag),
        )

    @rule(client=clients, source=keys, to=keys)
    def copy(self, client: int, source: str, to: str) -> None:
        store = self.stores[client]
        if source != to:
            self.both(lambda: self.model.copy(source, to), lambda: store.copy(source, to))

    @rule(client=clients, key=keys)
    def get(self, client: int, key: str) -> None:
        store = self.stores[client]
        came = self.both(lambda: self.model.get(key), lambda: store.get(key))
        if came is not None:
            expected, answer = came
            assert answer.body == expected
            self.etags.setdefault(key, []).append((answer.etag, self.model.versions[key]))

    @rule(client=clients, key=keys, which=st.integers(0, 9))
    def get_if_changed(self, client: int, key: str, which: int) -> None:
        told = self.known(key, which)
        store = self.stores[client]
        if told is None or not store.capabilities.conditional_get:
            return
        etag, version = told
        came = self.both(lambda: self.model.get(key), lambda: store.get(key, if_none_match=etag))
        if came is not None:
            unchanged = self.model.versions[key] == version
            assert isinstance(came[1], NotModified if unchanged else Object)
            assert unchanged or came[1].body == came[0]

    @rule(client=clients, key=keys, offset=st.integers(0, 4), length=st.integers(0, 4))
    def get_range(self, client: int, key: str, offset: int, length: int) -> None:
        store = self.stores[client]
        came = self.both(
            lambda: self.model.get(key)[offset : offset + length],
            lambda: store.get_range(key, offset, length),
        )
        assert came is None or came[1].body == came[0]

    @rule(client=clients, prefix=prefixes, after=st.none() | keys)
    def lists(self, client: int, prefix: str, after: str | None) -> None:
        store = self.stores[client]

        async def listed() -> list[tuple[str, int]]:
            pages = store.list(prefix, start_after=after)
            return [(it.key, it.size) async for page in pages for it in page]

        expected = self.model.list(prefix, after)
        assert self.running.do(listed) == [(it, len(self.model.bodies[it])) for it in expected]

    @rule(client=clients, prefix=prefixes)
    def looks_around(self, client: int, prefix: str) -> None:
        store = self.stores[client]
        assert self.running.do(store.any_under, prefix) == bool(self.model.list(prefix))
        if not prefix or prefix.endswith("/"):
            names, entries = self.running.do(store.list_dir, prefix)
            assert len(names) == len(set(names))
            assert (set(names), {it.key for it in entries}) == self.model.level(prefix)

    @invariant()
    def heads_are_true(self) -> None:
        """What `head` tells is what `get` gives."""
        key = KEYS[0]
        came = self.both(lambda: self.model.get(key), lambda: self.stores[0].head(key))
        assert came is None or came[1].size == len(came[0])


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 20):
        yield body[start : start + (1 << 20)]


def against_model(make: Callable[[int], Store], profile: settings) -> None:
    machine = type("Machine", (StoreMachine,), {"make": staticmethod(make)})
    profiles.run(machine, profile)


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tcfs-"))
    yield path
    shutil.rmtree(path)


def local(directory: Path) -> Callable[[int], Store]:
    return lambda number: FileStore(directory / str(number))


def on_server(account: Account, project: str) -> Callable[[int], Store]:
    return lambda number: s3_store(account, f"{project}/{number}")


def in_memory() -> Callable[[int], Store]:
    made: dict[int, MemoryStore] = {}

    def make(number: int) -> Store:
        if number not in made:
            made.clear()  # of the example before
            made[number] = MemoryStore(page=2)
            return made[number]
        return made[number].other()

    return make


def test_local_store_is_a_dict_with_conditions(directory: Path) -> None:
    against_model(local(directory), profiles.quick(10, 30))


def test_s3_store_is_a_dict_with_conditions(moto: Account, project: str) -> None:
    against_model(on_server(moto, project), profiles.quick(5, 25))


def test_memory_store_of_the_tests_is_a_dict_with_conditions() -> None:
    against_model(in_memory(), profiles.quick(10, 30))


def at_length(examples: int) -> None:
    """Try a local store and moto with so many examples, other ones each time."""
    with tempfile.TemporaryDirectory(prefix="tcfs-") as path, Moto() as server:
        against_model(local(Path(path)), profiles.long(examples))
        against_model(on_server(server.account, "model"), profiles.long(examples // 4))
