"""Any sequence of operations on a store comes to what it comes to on a dict.

Two clients of one bucket take turns, so that nothing a client knows may be taken for what is there.
"""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count, islice, product
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
KEYS: Final = ("a-b", "a.json", "a/x", "a/x y", "a/ü/1", "a/ü/2", "ab", "b/%2F", "b/c/d/e")
PREFIXES: Final = ("", "a", "a/", "a/ü/", "a-", "b/", "b/c/", "nothing/")
DIRECTORIES: Final = ("", "a/", "a/ü/", "b/", "b/c/", "b/c/d/", "nothing/")
_LISTINGS: Final = tuple(product(PREFIXES, (None, *KEYS)))
# Every listing, in an order in which those that come one after the other are unlike.
LISTINGS: Final = tuple(_LISTINGS[at * 37 % len(_LISTINGS)] for at in range(len(_LISTINGS)))
PAGE: Final = 2  # keys: several pages, the last of which is full or not

keys = st.sampled_from(KEYS)
clients = st.integers(0, 1)
choices = st.integers(0, 99)
LARGE: Final = 1 << 20  # bytes: a local store knows more by an attribute, not by a hash
# By their names: what failed is printed.
BODIES: Final = {
    **{it: it.encode() for it in ("", "1", "2")},
    **{f"large {it}": it.encode() * LARGE + b"!" for it in ("x", "y")},
}
bodies = st.sampled_from(sorted(BODIES))
offsets = st.sampled_from((0, 1, 2, 3, 4, LARGE - 1, LARGE + 2))
_numbers = count()


class StoreMachine(RuleBasedStateMachine):
    """`make` returns a new client of the bucket of a number that no other example has."""

    make: Callable[[int], Store]
    looks_a_step = 1

    def __init__(self) -> None:
        super().__init__()
        self.model = Bucket()
        # Each ETag that was ever told, and which version of which key it stands for.
        self.told: list[tuple[str, ETag, int]] = []
        self.looks = count()
        self.number = next(_numbers)
        self.stores = [type(self).make(self.number), type(self).make(self.number)]
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
            self.told.append((key, etag, version))

    def known(self, choice: int) -> tuple[str, ETag, int]:
        """Return a key, an ETag and its version: what it has, or had, or any that was told."""
        told = [it for it in self.told if self.model.is_sure(it[0], it[2])]
        assume(told)
        there = [it for it in told if it[0] in self.model.bodies]
        new = [it for it in there if self.model.versions[it[0]] == it[2]]
        old = [it for it in there if it not in new]
        chosen = (new, old, told)[choice % 3] or told
        return chosen[choice // 3 % len(chosen)]

    @initialize(there=st.sets(keys, min_size=2 * PAGE))
    def begin(self, there: set[str]) -> None:
        for key in sorted(there):
            self.put(0, key, "2", True, False)

    @rule(client=clients, key=keys, body=bodies, absent=st.booleans(), streamed=st.booleans())
    def put(self, client: int, key: str, body: str, absent: bool, streamed: bool) -> None:
        store, content = self.stores[client], BODIES[body]
        self.wrote(
            key,
            self.both(
                lambda: self.model.put(key, content, absent=absent),
                lambda: (
                    store.upload(key, _parts(content), if_absent=absent)
                    if streamed
                    else store.put(key, content, if_absent=absent)
                ),
            ),
        )

    @rule(client=clients, choice=choices, body=bodies, streamed=st.booleans())
    def replace(self, client: int, choice: int, body: str, streamed: bool) -> None:
        (key, etag, version), store = self.known(choice), self.stores[client]
        content = BODIES[body]
        self.wrote(
            key,
            self.both(
                lambda: self.model.put(key, content, version=version),
                lambda: (
                    store.upload(key, _parts(content), if_match=etag)
                    if streamed
                    else store.put(key, content, if_match=etag)
                ),
            ),
        )

    @rule(client=clients, key=keys)
    def delete(self, client: int, key: str) -> None:
        store = self.stores[client]
        self.both(lambda: self.model.delete(key), lambda: store.delete(key))

    @precondition(lambda self: self.stores[0].capabilities.delete)
    @rule(client=clients, choice=choices)
    def delete_that_version(self, client: int, choice: int) -> None:
        (key, etag, version), store = self.known(choice), self.stores[client]
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
            self.told.append((key, answer.etag, self.model.versions[key]))

    @precondition(lambda self: self.stores[0].capabilities.conditional_get)
    @rule(client=clients, choice=choices)
    def get_if_changed(self, client: int, choice: int) -> None:
        (key, etag, version), store = self.known(choice), self.stores[client]
        came = self.both(lambda: self.model.get(key), lambda: store.get(key, if_none_match=etag))
        if came is not None:
            unchanged = self.model.versions[key] == version
            assert isinstance(came[1], NotModified if unchanged else Object)
            assert unchanged or came[1].body == came[0]

    @rule(client=clients, key=keys, offset=offsets, length=st.integers(0, 4))
    def get_range(self, client: int, key: str, offset: int, length: int) -> None:
        store = self.stores[client]
        came = self.both(lambda: self.model.get(key), lambda: store.get_range(key, offset, length))
        if came is not None:
            whole, answer = came
            assert answer.body == whole[offset : offset + length]
            assert answer.size == len(whole)

    @invariant()
    def what_it_shows_is_true(self) -> None:
        """After each step other listings, levels and objects: each has its turn."""
        for look in islice(self.looks, self.looks_a_step):
            store, turn = self.stores[look % 2], look // 3
            prefix, after = LISTINGS[turn % len(LISTINGS)]
            if look % 3 == 0:
                self._listing_is_true(store, prefix, after)
            elif look % 3 == 1:
                self._level_is_true(store, DIRECTORIES[turn % len(DIRECTORIES)])
            else:
                assert self.running.do(store.any_under, prefix) == bool(self.model.list(prefix))
                self._object_is_true(store, KEYS[turn % len(KEYS)])

    def _object_is_true(self, store: Store, key: str) -> None:
        """What `head` tells is what `get` gives."""
        came = self.both(lambda: self.model.get(key), lambda: store.head(key))
        assert came is None or came[1].size == len(came[0])
        came = self.both(lambda: self.model.get(key), lambda: store.get(key))
        assert came is None or came[1].body == came[0]

    def _listing_is_true(self, store: Store, prefix: str, after: str | None) -> None:
        async def listed() -> list[tuple[str, int]]:
            pages = store.list(prefix, start_after=after)
            return [(it.key, it.size) async for page in pages for it in page]

        expected = self.model.list(prefix, after)
        assert self.running.do(listed) == [(it, len(self.model.bodies[it])) for it in expected]

    def _level_is_true(self, store: Store, prefix: str) -> None:
        names, entries = self.running.do(store.list_dir, prefix)
        assert len(names) == len(set(names))
        assert len(entries) == len({it.key for it in entries})
        assert (set(names), {it.key for it in entries}) == self.model.level(prefix)


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 20):
        yield body[start : start + (1 << 20)]


class LocalMachine(StoreMachine):
    """The same in directories below `root`, where more may lie than objects."""

    root: Path
    looks_a_step = 6  # they cost little

    def __init__(self) -> None:
        super().__init__()
        self.left: set[str] = set()

    @rule(path=st.sampled_from(("a", "a/ü", "b/c/d", "nothing/here")))
    def a_crash_leaves_a_directory(self, path: str) -> None:
        (self.root / str(self.number) / path).mkdir(parents=True, exist_ok=True)
        while path:
            self.left.add(path)
            path = path.rpartition("/")[0]

    @rule(client=clients, key=keys)
    def delete(self, client: int, key: str) -> None:
        """What a delete leaves empty is gone, also where it lies on the disk."""
        there = key in self.model.bodies
        super().delete(client, key)
        above = key
        while there and (above := above.rpartition("/")[0]):
            if not self.model.list(f"{above}/"):
                assert above in self.left or not (self.root / str(self.number) / above).exists()


def against_model(make: Callable[[int], Store], profile: settings) -> None:
    machine = type("Machine", (StoreMachine,), {"make": staticmethod(make)})
    profiles.run(machine, profile)


def on_disk(profile: settings) -> None:
    """Try a local store, whose pages are as small as a model's."""
    with (
        tempfile.TemporaryDirectory(prefix="tcfs-") as path,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("tcfs.stores.file.PAGE", PAGE)
        root = Path(path)
        made = {"make": staticmethod(lambda number: FileStore(root / str(number))), "root": root}
        profiles.run(type("Machine", (LocalMachine,), made), profile)


def on_server(account: Account, project: str) -> Callable[[int], Store]:
    return lambda number: s3_store(account, f"{project}/{number}")


def in_memory() -> Callable[[int], Store]:
    made: dict[int, MemoryStore] = {}

    def make(number: int) -> Store:
        if number not in made:
            made.clear()  # of the example before
            made[number] = MemoryStore(page=PAGE)
            return made[number]
        return made[number].other()

    return make


def test_local_store_is_a_dict_with_conditions() -> None:
    on_disk(profiles.quick(14, 30))


def test_s3_store_is_a_dict_with_conditions(moto: Account, project: str) -> None:
    against_model(on_server(moto, project), profiles.quick(5, 25))


def test_memory_store_of_the_tests_is_a_dict_with_conditions() -> None:
    against_model(in_memory(), profiles.quick(10, 30))


def at_length(examples: int) -> None:
    """Try a local store and moto with so many examples, other ones each time."""
    on_disk(profiles.long(examples))
    with Moto() as server:
        against_model(on_server(server.account, "model"), profiles.long(examples // 4))
