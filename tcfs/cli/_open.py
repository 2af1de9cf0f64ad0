"""From settings to an open project: what `status`, `init` and `mount` do with one.

Commands import it late. Nothing here knows the kernel: `_serve` does.
"""

import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import trio

import tcfs
from tcfs import board
from tcfs.cli._places import owned, state_home
from tcfs.cli._stores import bucket_of, store_of
from tcfs.cli.config import Bucket, Local, Settings
from tcfs.project import Project
from tcfs.stores import AlreadyExists, Denied, PreconditionFailed, Store
from tcfs.stores.deadline import within
from tcfs.stores.limited import BestEffort, Limited
from tcfs.wire import keys
from tcfs.wire.documents import Agent
from tcfs.wire.times import iso

DEADLINE: Final = 30.0  # seconds for a command that is not a mount


def overview(settings: Settings, *, as_json: bool) -> str:
    """Return what `tcfs status` prints."""
    return trio.run(_overview, settings, as_json)


def set_up(settings: Settings) -> None:
    """Make the bucket where it may be made, and the agent known."""
    trio.run(_set_up, settings)


async def _overview(settings: Settings, as_json: bool) -> str:
    with within(DEADLINE):
        async with _project(settings) as project:
            snapshot = await board.snapshot(project)
    return board.to_json(snapshot).decode() if as_json else board.render(snapshot)


async def _set_up(settings: Settings) -> None:
    with within(DEADLINE):
        await _make_bucket(settings.store)
        store = store_of(settings.store, DEADLINE)
        try:
            await _introduce(store, settings)
        finally:
            await store.aclose()


async def _introduce(store: Store, settings: Settings) -> None:
    # Not through a project: closing one signs off what it registered, and this one is to stay.
    now = iso(time.time_ns())
    agent = Agent(
        id=settings.agent,
        status="active",
        started_at=now,
        heartbeat=now,
        summary="Initialized",
        host=socket.gethostname(),
        tcfs=tcfs.__version__,
    )
    # Nothing hangs on who is first here, so what the store can decide need not be known.
    careless = Limited(store, replace(store.capabilities, create=False), BestEffort(store))
    # Whoever wrote that knows more of it.
    with contextlib.suppress(AlreadyExists, PreconditionFailed):
        await careless.put(keys.agent(settings.agent), agent.encode(), if_absent=True)


async def _make_bucket(place: Local | Bucket) -> None:
    if isinstance(place, Local):
        return  # the store makes its directory with its first object
    try:
        await bucket_of(place, DEADLINE).ensure_bucket()
    except Denied:  # no such bucket, or not ours: making it tells which
        await bucket_of(place, DEADLINE, create=True).ensure_bucket()


@contextlib.asynccontextmanager
async def _project(settings: Settings, deadline: float = DEADLINE) -> AsyncIterator[Project]:
    store = store_of(settings.store, deadline)
    if isinstance(settings.store, Bucket):
        from tcfs.cli._probed import as_known  # knows S3, which is imported only where it is used

        store = as_known(store)
    host, state = socket.gethostname(), owned(state_home(os.environ))
    async with Project.visit(store, agent=settings.agent, host=host, state=state) as project:
        yield project
