"""From settings to an open project: what a command does once it knows what to work on.

The one module of the command line that imports the rooms below; commands import it late.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio

import tcfs
from tcfs import board
from tcfs.cli._failure import Failure
from tcfs.cli._fstab import Wish
from tcfs.cli._places import state_home
from tcfs.cli._probe_cache import path_of
from tcfs.cli._probed import Trust, as_known, probed, reach
from tcfs.cli._stores import bucket_of, store_of
from tcfs.cli.config import Bucket, Local, Settings
from tcfs.fuse import CannotMount, Identity, Options
from tcfs.fuse import serve as serve_mount
from tcfs.fuse.mountpoints import check_fuse
from tcfs.project import Project
from tcfs.stores import AlreadyExists, Denied, ReadOnly, Store
from tcfs.stores.deadline import within
from tcfs.stores.limited import BestEffort, Limited
from tcfs.stores.s3 import S3Store
from tcfs.tree import Caller, MountInfo, Refusals, root
from tcfs.wire import keys
from tcfs.wire.documents import Agent
from tcfs.wire.times import iso

log: Final = logging.getLogger(__name__)
DEADLINE: Final = 30.0  # seconds for a command that is not a mount


Ready = Callable[[str | None], None]
"""Called when a mount answers, with a line on what it will refuse, or None."""


def serve(settings: Settings, path: Path, wish: Wish, ready: Ready) -> None:
    """Mount, call `ready` once it answers, and return when it is unmounted."""
    trio.run(_serve, settings, path, wish, ready)


def overview(settings: Settings, *, as_json: bool) -> str:
    """Return what `tcfs status` prints."""
    return trio.run(_overview, settings, as_json)


def set_up(settings: Settings) -> None:
    """Make the bucket where it may be made, and the agent known."""
    trio.run(_set_up, settings)


async def _serve(settings: Settings, path: Path, wish: Wish, ready: Ready) -> None:
    caller = Caller(settings.agent, settings.agent_how)
    identity = Identity(caller, shared=wish.allow_other)
    refusals = Refusals()
    options = Options(
        mountpoint=str(path),
        limit=wish.deadline,
        allow_other=wish.allow_other,
        read_only=wish.read_only,
        fsname=settings.store.url,
    )
    info = MountInfo(
        mountpoint=str(path),
        version=tcfs.__version__,
        config="".join(f"{line}\n" for line in settings.describe()),
        explain=identity.explain,
    )
    with _told():
        check_fuse()  # before the store hears of an agent that is not coming
    async with trio.open_nursery() as background:
        store = store_of(settings.store, wish.deadline)
        known = await _known(store, wish, background)
        async with _opened(known, settings) as project:
            if isinstance(store, S3Store):
                # Costs 0.3 s of imports, which the first conditional delete would pay for.
                project.later(store.prepare)
            if not wish.read_only:
                await _present(project, wish.deadline)
            tree = root(project, info, refusals)
            with _told():
                await serve_mount(
                    tree,
                    options,
                    identity=identity,
                    refusals=refusals,
                    ready=lambda: ready(board.warning(known.capabilities)),
                )
            tree.end()
        # Not before: the project signs its agents off when it closes.
        background.cancel_scope.cancel()


async def _known(store: Store, wish: Wish, background: trio.Nursery) -> Store:
    """Return the store as it may be used; raises what `reach` does."""
    if not isinstance(store, S3Store):
        return store
    await reach(store)
    trust = Trust(
        path_of(store.service, os.environ),
        anew=wish.probe,
        silent=wish.read_only,
        best_effort=wish.best_effort,
    )
    return await probed(store, trust, background)


async def _present(project: Project, deadline: float) -> None:
    try:
        with within(deadline):
            await project.present()
    except (Denied, ReadOnly) as error:
        # It can be read, and every write will be told the same.
        log.warning("agent %s is not registered: %s", project.agent, error)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except CannotMount as error:
        raise Failure(str(error)) from error


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
    with contextlib.suppress(AlreadyExists):  # whoever wrote that knows more of it
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
    async with _opened(as_known(store_of(settings.store, deadline)), settings) as project:
        yield project


@contextlib.asynccontextmanager
async def _opened(store: Store, settings: Settings) -> AsyncIterator[Project]:
    host, state = socket.gethostname(), state_home(os.environ)
    async with Project.open(store, agent=settings.agent, host=host, state=state) as project:
        yield project
