"""What other processes do to a directory at the same time; each function is a process's work."""

import contextlib
import itertools
import multiprocessing
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tcfs.stores import AlreadyExists, Object, PreconditionFailed
from tcfs.stores.file import FileStore

LIMIT = 110  # seconds for all of it
KEYS = [f"d{number % 3}/sub/{number}" for number in range(30)]


def create_all(root: Path, name: str) -> list[str]:
    """Try to create every key; return those won."""

    async def run() -> list[str]:
        store = FileStore(root)
        won = []
        for key in KEYS:
            with contextlib.suppress(AlreadyExists):
                await store.put(key, name.encode(), if_absent=True)
                won.append(key)
        return won

    return trio.run(run)


def increment(root: Path, times: int) -> int:
    """Add one to a number by compare-and-swap; return how often it had to try."""

    async def run() -> int:
        store = FileStore(root)
        done = 0
        for tries in itertools.count(1):
            answer = await store.get("n")
            assert isinstance(answer, Object)
            with contextlib.suppress(PreconditionFailed):
                await store.put("n", b"%d" % (int(answer.body) + 1), if_match=answer.etag)
                done += 1
            if done == times:
                return tries
        raise AssertionError

    return trio.run(run)


def come_and_go(root: Path, name: str, times: int) -> int:
    """Put and delete under directories that others prune; return the number of rounds."""

    async def run() -> int:
        store = FileStore(root)
        for number in range(times):
            etag = await store.put(f"a/b/c/{name}", b"%d" % number, if_absent=True)
            await store.put(f"a/b/{name}", b"x")
            await store.delete(f"a/b/c/{name}", if_match=etag)
            await store.delete(f"a/b/{name}")
        return times

    return trio.run(run)


def overwrite_for_ever(root: Path, started: Any) -> None:
    """Replace one object with long, uniform ones until killed."""

    async def run() -> None:
        store = FileStore(root)
        for number in itertools.cycle(range(256)):
            await store.put("k", bytes([number]) * 50_000)
            await store.put(f"new/{number}", bytes([number]) * 50_000)
            started.set()

    trio.run(run)


def together(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run each in a process of its own, at once; return what they return."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(len(work)) as pool:
        waiting = [pool.apply_async(_call, (one,)) for one in work]
        results = [one.get(LIMIT) for one in waiting]
        pool.close()
        pool.join()
    return results


def _call(work: "partial[Any]") -> Any:
    return work()
