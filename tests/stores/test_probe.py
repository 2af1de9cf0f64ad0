"""What a store really does with conditions is found out, and obeyed (stores.md, the probe)."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
import trio

from tcfs.stores import (
    AlreadyExists,
    Denied,
    ETag,
    OutcomeUnknown,
    PreconditionFailed,
    ReadOnly,
    Store,
    Unavailable,
    Unsupported,
)
from tcfs.stores.deadline import within
from tcfs.stores.limited import BestEffort, Limited, Refused
from tcfs.stores.probe import PREFIX, ROUNDS, WRITERS, Findings, probe
from tcfs.stores.s3 import S3Store
from tests import proxy
from tests.memory_store import Fault, MemoryStore
from tests.proxy import Proxy, Rule
from tests.servers import Account
from tests.stores import scripted
from tests.stores.conftest import s3_store
from tests.stores.looking import keys

ONE = f"{ROUNDS} of {ROUNDS} rounds had one winner among {WRITERS} writers"


@asynccontextmanager
async def badly(service: Account, project: str, *rules: Rule) -> AsyncIterator[S3Store]:
    with Proxy(service, *rules) as made:
        store = s3_store(made.account, project)
        yield store
        await store.aclose()


async def test_honest_services_pass_and_nothing_is_left(s3: S3Store) -> None:
    early: list[Findings] = []
    begin = time.monotonic()
    took = []

    def note(found: Findings) -> None:
        early.append(found)
        took.append(time.monotonic() - begin)

    found = await probe(s3, note)
    assert found.create.held, found.create
    assert found.create.text == ONE
    assert (found.replace.held, found.delete.held) == (True, True), found
    assert (found.listing.held, found.order.held) == (True, True), found
    assert found.sure
    assert early[0].create.held
    assert took[0] < 5, "a mount waits for this"
    assert await keys(s3, "") == []


async def test_local_store_needs_no_probe_to_pass_it(local: Store) -> None:
    found = await probe(local)
    assert found.create.text == ONE
    assert found.sure
    assert all(it.held for it in (found.replace, found.delete, found.listing, found.order))
    assert local.capabilities.claims == "atomic"


async def test_service_that_ignores_the_condition_is_caught(seaweed: Account, project: str) -> None:
    async with badly(seaweed, project, proxy.ignoring_conditions) as store:
        found = await probe(store)
        assert not found.create.held
        assert "0 of 5 rounds had one winner" in found.create.text
        assert f"another had {WRITERS}: the service ignores If-None-Match" in found.create.text
        assert not found.replace.held
        assert found.replace.text == "a stale ETag was accepted: the service ignores If-Match"
        assert not found.delete.held
        assert found.sure
        assert found.capabilities().claims == "refused"
        assert await keys(store, "") == []


async def test_service_that_races_is_caught(seaweed: Account, project: str) -> None:
    async with badly(seaweed, project, proxy.racing()) as store:
        found = await probe(store)
        assert not found.create.held
        assert "another had 2: the service ignores If-None-Match, or races" in found.create.text
        assert found.replace.held
        assert await keys(store, "") == []


async def test_service_that_implements_no_condition_is_taken_at_its_word(
    seaweed: Account, project: str
) -> None:
    async with badly(seaweed, project, proxy.without_conditions) as store:
        found = await probe(store)
        for it in (found.create, found.replace, found.delete):
            assert not it.held
            assert it.sure
            assert "the store refuses it" in it.text
            assert "501 NotImplemented" in it.text
        assert found.listing.held


async def test_service_that_deletes_always_is_caught(seaweed: Account, project: str) -> None:
    async with badly(seaweed, project, proxy.deleting_always) as store:
        found = await probe(store)
        assert (found.create.held, found.replace.held, found.delete.held) == (True, True, False)
        assert found.capabilities().claims == "atomic"


async def test_store_that_takes_no_writes_is_not_probed(seaweed: Account, project: str) -> None:
    async with badly(seaweed, project, proxy.taking_no_writes) as store:
        with pytest.raises(Denied, match="403 AccessDenied"):
            await probe(store)


async def test_store_that_is_away_is_not_probed(autojump_clock: object) -> None:
    with scripted.refusing() as account:
        store = s3_store(account, "project")
        with pytest.raises(Unavailable):
            await probe(store)
        await store.aclose()


async def test_losers_that_wait_for_long_hold_up_nobody(autojump_clock: object) -> None:
    """And still count when they are answered."""
    store = MemoryStore()
    answered = trio.Event()
    for _ in range(WRITERS - 1):
        store.after("PUT", "*/race-3", answered.wait)
    early: list[Findings] = []

    def note(found: Findings) -> None:
        early.append(found)
        answered.set()

    found = await probe(store, note)
    assert early[0].create.held
    assert f"({WRITERS - 1} of {WRITERS * ROUNDS} writes had no answer yet)" in early[0].create.text
    assert not early[0].sure
    assert found.create.text == ONE
    assert found.sure


async def test_lost_answer_of_the_winner_is_no_missing_winner() -> None:
    store = MemoryStore()
    store.fail("*/race-1", Fault.ANSWER_LOST)
    found = await probe(store)
    assert found.create.held
    assert not found.sure, "so it is not kept for a day"


@pytest.mark.parametrize("what", ["replace", "delete"])
async def test_request_without_an_answer_is_made_anew(what: str) -> None:
    store = MemoryStore()
    asked: list[str] = []

    async def each(number: int, verb: str, key: str) -> None:
        # The stale write of the first try, and the current one of the second.
        if verb == ("DELETE" if what == "delete" else "PUT") and f"/{what}-" in key:
            asked.append(key)
            plain = 0 if what == "delete" else 2
            if asked.count(f"{key[:-1]}1") == plain + 1 and key.endswith("-1"):
                raise OutcomeUnknown("no answer")
            if asked.count(f"{key[:-1]}2") == plain + 2 and key.endswith("-2"):
                raise OutcomeUnknown("no answer")

    store.each = each
    found = await probe(store)
    assert {key[-1] for key in asked if not key.endswith("none")} == {"1", "2", "3"}
    assert (found.held, found.sure) == (True, True), found


async def test_answers_that_are_all_lost_prove_nothing() -> None:
    store = MemoryStore()
    store.fail("*/race-?", Fault.ANSWER_LOST, times=WRITERS * ROUNDS)
    found = await probe(store)
    assert not found.create.held
    assert not found.sure


async def test_refused_write_that_is_done_later_is_caught(autojump_clock: object) -> None:
    """What is there when all were answered is what the winner wrote, or the store decides none."""
    store = MemoryStore()
    answered = trio.Event()

    async def late() -> None:
        await answered.wait()
        (key,) = [it for it in store.stored() if it.endswith("/race-2")]
        store.place(key, b"of who is told now that it lost")

    store.before("PUT", "*/race-2", late)
    early: list[Findings] = []

    def note(found: Findings) -> None:
        early.append(found)
        answered.set()

    found = await probe(store, note)
    assert early[0].create.held
    assert not found.create.held
    assert "of another something else is there" in found.create.text
    assert found.sure, "so the next mount knows"


async def test_last_look_without_an_answer_leaves_it_unsure(autojump_clock: object) -> None:
    store = MemoryStore()

    async def away() -> None:
        raise Unavailable("away")

    found = await probe(store, lambda _: store.before("GET", "*/race-4", away))
    assert found.create.held
    assert not found.sure


async def test_service_that_replaces_what_is_gone_is_caught() -> None:
    """A claim that was given back would come back with its former holder's next renewal."""
    store = MemoryStore()
    put = store.put

    async def careless(
        key: str, body: bytes, *, if_absent: bool = False, if_match: ETag | None = None
    ) -> ETag:
        if store.body(key) is None:
            if_match = None
        return await put(key, body, if_absent=if_absent, if_match=if_match)

    store.put = careless  # type: ignore[method-assign]  # the service's mistake
    found = await probe(store)
    assert (found.create.held, found.replace.held) == (True, False)
    assert found.replace.text == "what is gone was replaced: the service ignores If-Match then"
    assert found.capabilities().claims == "refused"
    assert store.stored() == []


async def test_who_may_not_delete_claims_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    store.fail("*", Fault.DENIED, verb="DELETE", times=1000)
    found = await probe(store)
    assert found.capabilities().claims == "atomic"
    assert not found.delete.held
    assert "these credentials may not delete" in found.delete.text
    assert found.sure, "kept: each probe leaves what it wrote"
    assert all(it.startswith(PREFIX) for it in store.stored())
    assert "what the probe wrote below" in caplog.text


async def test_what_credentials_may_not_is_not_what_the_service_cannot() -> None:
    for pattern in ("*/race-?", "*/replace-?"):
        store = MemoryStore()
        put = store.put

        async def refusing(
            key: str,
            body: bytes,
            *,
            if_absent: bool = False,
            if_match: ETag | None = None,
            put: Callable[..., Awaitable[ETag]] = put,
            pattern: str = pattern,
        ) -> ETag:
            if fnmatchcase(key, pattern) and (if_absent or if_match):
                raise Denied("403 AccessDenied")
            return await put(key, body, if_absent=if_absent, if_match=if_match)

        store.put = refusing  # type: ignore[method-assign]  # a policy
        found = await probe(store)
        assert found.capabilities().claims == "refused"
        assert not found.sure, "other credentials may"
        assert store.stored() == []


async def test_probe_that_runs_out_of_time_cleans_up(autojump_clock: object) -> None:
    store = MemoryStore()

    async def slow() -> None:
        await trio.sleep(2)

    store.after("PUT", "*/order/c", slow)
    with within(1), pytest.raises(Unavailable):
        await probe(store)
    assert store.stored() == []


async def test_what_a_killed_probe_left_is_swept_after_an_hour(autojump_clock: object) -> None:
    store = MemoryStore()
    store.place(f"{PREFIX}old/race-1", b"x")
    for _ in range(3600):
        store._bucket.now()
    store.place(f"{PREFIX}new/race-1", b"x")
    store.place("memory/k.json", b"{}")
    await probe(store)
    assert store.stored() == [f"{PREFIX}new/race-1", "memory/k.json"]


async def test_findings_survive_json() -> None:
    found = await probe(MemoryStore())
    assert Findings.of_json(json.loads(json.dumps(found.to_json()))) == found
    with pytest.raises(KeyError):
        Findings.of_json({})


# how a store is used then


async def test_what_was_not_proved_is_not_sent(seaweed: Account, project: str) -> None:
    async with badly(seaweed, project, proxy.ignoring_conditions) as store:
        capabilities = (await probe(store)).capabilities()
        limited = Limited(store, capabilities, Refused(Unsupported, "no; do this"))
        etag = await limited.put("k", b"1")
        for refused in (
            limited.put("new", b"2", if_absent=True),
            limited.put("k", b"2", if_match=etag),
            limited.upload("new", _parts(), if_absent=True),
        ):
            with pytest.raises(Unsupported, match="no; do this"):
                await refused
        with pytest.raises(Unsupported):
            await limited.delete("k", if_match=etag)
        assert await keys(limited, "") == ["k"]


@pytest.mark.parametrize("kind", [Denied, ReadOnly])
async def test_what_the_store_refused_is_refused_so(kind: type[Denied] | type[ReadOnly]) -> None:
    store = MemoryStore()
    none = (await probe(store)).capabilities()
    limited = Limited(store, replace(none, create=False), Refused(kind, "no"))
    with pytest.raises(kind):
        await limited.put("k", b"", if_absent=True)


async def test_best_effort_looks_writes_and_looks_again() -> None:
    store = MemoryStore()
    limited = _careless(store)
    etag = await limited.put("k", b"1", if_absent=True)
    with pytest.raises(AlreadyExists):
        await limited.put("k", b"2", if_absent=True)
    await limited.put("k", b"2", if_match=etag)
    with pytest.raises(PreconditionFailed):
        await limited.put("k", b"3", if_match=etag)
    with pytest.raises(PreconditionFailed):
        await limited.put("gone", b"3", if_match=etag)
    assert store.body("k") == b"2"


async def test_best_effort_sees_who_wrote_in_between() -> None:
    store = MemoryStore()
    limited = _careless(store)

    async def another() -> None:
        store.place("k", b"theirs")

    store.after("PUT", "k", another)
    with pytest.raises(PreconditionFailed):
        await limited.put("k", b"ours", if_absent=True)


async def test_best_effort_that_cannot_read_back_does_not_know() -> None:
    store = MemoryStore()
    limited = _careless(store)

    async def away() -> None:
        raise Unavailable("away")

    store.after("PUT", "k", lambda: _later(store, away))
    with pytest.raises(OutcomeUnknown, match="not read back"):
        await limited.put("k", b"ours", if_absent=True)


async def _later(store: MemoryStore, hook: object) -> None:
    store.before("HEAD", "k", hook)  # type: ignore[arg-type]  # a coroutine function


def _careless(store: MemoryStore) -> Limited:
    nothing = replace(store.capabilities, create=False, replace=False, best_effort=True)
    assert nothing.claims == "best-effort"
    return Limited(store, nothing, BestEffort(store))


async def _parts() -> AsyncIterator[bytes]:
    yield b"part"
