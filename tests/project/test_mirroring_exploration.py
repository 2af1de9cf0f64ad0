"""The real code, explored: what the model of the protocol was checked for (model/mirror.py).

A mirror dies at each of its requests, and another acts whole in each of its gaps, with each fault
of each write. At every moment meta names parts that are there, and they hold the source's lines,
each once and in their order; at the end all of them.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tcfs.project import Project
from tcfs.project import mirroring as mirroring_module
from tcfs.project.mirroring import Ended, Owned
from tcfs.stores import StoreError
from tcfs.stores.deadline import anew
from tests.memory_store import Fault, MemoryStore
from tests.project.mirrored import HERE
from tests.project.mirrors import (
    META,
    ORIGIN,
    Source,
    meta_of,
    mirror,
    named_parts,
    parts_in,
    shown,
    try_to_mirror,
)
from tests.project.parties import B, mounted

pytestmark = pytest.mark.usefixtures("autojump_clock")

Act = Callable[[Project, Source], Awaitable[object]]
FAULTS = (None, Fault.ANSWER_LOST, Fault.DELAYED, Fault.BROKEN, Fault.REFUSED, Fault.CONFLICT)
RUN_OUT = 200  # seconds: by then a lease has
LONGEST = 40  # requests that no act comes to


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merge where there are more parts than three, so that every act comes to it."""
    monkeypatch.setattr(mirroring_module, "MANY", 3)


def began() -> tuple[MemoryStore, Source]:
    store, source = MemoryStore(), Source([f"line {it}\n" for it in range(3)])
    store.tell_time()
    return store, source


def check(store: MemoryStore, source: Source, when: str) -> None:
    text = shown(store)
    assert source.text.startswith(text), f"{when}: {text!r}"


async def goes_on(project: Project, source: Source) -> None:
    await try_to_mirror(project, source)


async def takes_over(project: Project, source: Source) -> None:
    await trio.sleep(RUN_OUT)
    await try_to_mirror(project, source)


async def merges(project: Project, source: Source) -> None:
    if META in project.store._store.stored():  # type: ignore[attr-defined]  # a MemoryStore
        await project.mirrors.compact(HERE)


async def stops(project: Project, source: Source) -> None:
    if META in project.store._store.stored():  # type: ignore[attr-defined]  # a MemoryStore
        await project.mirrors.stop(HERE)


async def acts(project: Project, source: Source) -> None:
    """Mirror what there is, more that comes, and a last line after a pause."""
    here = project.mirrors.of(HERE, ORIGIN)
    for _ in range(2):
        try:
            await mirror(here, source)
        except (Owned, Ended, StoreError):
            continue
        source.says("later\n")
    try:
        await here.release()
    except StoreError:
        return


async def finish(store: MemoryStore, state: Path, source: Source) -> None:
    """Let another mirror come when all leases have run out: what is there must be whole."""
    store.each = None
    store._scripts.clear()
    check(store, source, "before the last")
    store.deliver()
    check(store, source, "what was delayed has come")
    async with mounted(store.other(), state, B) as project:
        await trio.sleep(RUN_OUT)
        source.says("last\n")
        assert await try_to_mirror(project, source)
    assert shown(store) == source.text
    assert parts_in(store) == named_parts(store)
    meta = meta_of(store)
    assert meta is not None
    assert meta.generation == 1  # nobody had to begin anew


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", [acts, goes_on, merges])
async def test_a_mirror_may_die_at_each_request(tmp_path: Path, act: Act, after: bool) -> None:
    for number in range(LONGEST):
        store, source = began()
        async with mounted(store, tmp_path / f"first-{number}") as project:
            await mirror(project.mirrors.of(HERE, ORIGIN), Source(source.lines[:2]))
        # Its lease is not given back: that mount died.
        died = False
        with trio.CancelScope() as life:
            async with mounted(store, tmp_path / f"second-{number}") as project:
                await trio.sleep(RUN_OUT)
                start = len(store.requests)

                async def die(life: trio.CancelScope = life) -> None:
                    nonlocal died
                    died = True
                    life.cancel()

                async def count(
                    at: int, verb: str, key: str,
                    store: MemoryStore = store, source: Source = source,
                    start: int = start, number: int = number,
                    die: Callable[[], Awaitable[None]] = die,
                ) -> None:  # fmt: skip
                    check(store, source, f"request {at - start}, {verb} {key}")
                    if at - start == number:
                        (store.after if after else store.before)(verb, key, die)

                store.each = count
                await act(project, source)
                store.each = None
        await finish(store, tmp_path / f"last-{number}", source)
        if not died:
            assert number > 2
            return
    raise AssertionError(f"more than {LONGEST} requests")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda it: it.name.lower() if it else "none")
@pytest.mark.parametrize("other", [goes_on, takes_over, merges, stops])
async def test_another_may_act_in_each_gap(tmp_path: Path, other: Act, fault: Fault | None) -> None:
    """The fault is met by the write before the gap, or by the next one."""
    for number in range(LONGEST):
        store, source = began()
        second, came = store.other(), False
        async with (
            mounted(store, tmp_path / f"a-{number}") as project,
            mounted(second, tmp_path / f"b-{number}", B) as another,
        ):
            await trio.sleep(1)
            start = len(store.requests)

            async def meanwhile(
                source: Source = source, another: Project = another, store: MemoryStore = store
            ) -> None:
                nonlocal came
                came = True
                with anew(1000):  # it has nothing of the deadline of who is in the gap
                    await other(another, source)
                check(store, source, "the other has acted")

            async def count(
                at: int, verb: str, key: str,
                store: MemoryStore = store, source: Source = source,
                start: int = start, number: int = number,
                meanwhile: Callable[[], Awaitable[None]] = meanwhile,
            ) -> None:  # fmt: skip
                if not key.startswith("sessions/"):
                    return
                check(store, source, f"request {at - start}, {verb} {key}")
                if at - start == number:
                    if fault is not None and verb in ("PUT", "DELETE"):
                        store.fail(key, fault, verb=verb, times=1)
                    store.after(verb, key, meanwhile)

            store.each = count
            await acts(project, source)
            store.each = None
        await finish(store, tmp_path / f"c-{number}", source)
        if not came and number > 8:
            return
    raise AssertionError(f"more than {LONGEST} requests")


@pytest.mark.parametrize("turns", range(40))
async def test_two_mirrors_and_one_that_merges_in_any_order(tmp_path: Path, turns: int) -> None:
    """Every request waits its turn, which a fixed sequence of numbers decides."""
    store, source = began()
    clients = [store, store.other(), store.other()]
    numbers = _numbers(turns)

    async def wait(at: int, verb: str, key: str) -> None:
        check(store, source, f"{verb} {key}")
        await trio.sleep(next(numbers) % 7 / 10)
        if verb in ("PUT", "DELETE") and next(numbers) % 11 == 0:
            faults = FAULTS[1:]
            clients[next(numbers) % 3].fail(META, faults[next(numbers) % len(faults)])

    async def one(client: MemoryStore, name: str, act: Act) -> None:
        async with mounted(client, tmp_path / name) as project:
            client.each = wait
            for _ in range(6):
                source.says(f"{name}\n")
                try:
                    await act(project, source)
                except (Owned, Ended, StoreError):
                    await trio.sleep(next(numbers) % 200)
            client.each = None

    async with trio.open_nursery() as nursery:
        for client, name, act in zip(clients, "abc", (acts, goes_on, merges), strict=True):
            nursery.start_soon(one, client, name, act)
    for client in clients:
        client._scripts.clear()
    await finish(store, tmp_path / "last", source)


def _numbers(seed: int):  # type: ignore[no-untyped-def]  # an endless iterator
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        yield seed >> 33
