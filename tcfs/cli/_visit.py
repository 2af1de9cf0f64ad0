"""A project, open for as long as one command takes. Imported late: it stands on all below.

Nothing here knows the kernel, so that every command but `mount` runs where there is none.
"""

import logging
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar, final

import click
import trio

import tcfs
from tcfs.cli._failure import Exit, Failure
from tcfs.cli._places import owned, state_home
from tcfs.cli._stores import store_of
from tcfs.cli._visit_options import Where
from tcfs.cli.config import Bucket
from tcfs.project import Project
from tcfs.stores import Store, Unavailable
from tcfs.stores.deadline import remaining, within
from tcfs.tree import Caller, MountInfo, Refusals, root
from tcfs.tree.walk import Walk
from tcfs.wire.ids import AgentId
from tcfs.wire.text import on_one_line

T = TypeVar("T")

GRACE: Final = 1.0  # seconds past the deadline, for what does not look at it


@final
@dataclass(frozen=True, slots=True)
class Visit:
    """What a command acts on, and as whom."""

    project: Project
    walk: Walk
    agent: AgentId
    limit: float

    async def in_time(self, act: Awaitable[T]) -> T:
        """Wait for one operation, as long as it may take."""
        with within(self.limit), trio.fail_after(self.limit + GRACE):
            try:
                return await act
            except Unavailable as error:
                if remaining() > 0:  # it was told so before
                    raise
                raise Failure(str(error), Exit.TIMED_OUT) from error


Known = Callable[[Store, float], Awaitable[Store]]
"""Returns a bucket's store as it may be used, in so many seconds."""


def visit(where: Where, act: Callable[[Visit], Awaitable[T]]) -> T:
    """Open the project, act, and return what came of it, for an `act` that only reads.

    Raises as `visit_to_write` does.
    """
    return _visited(where, act, _as_known)


def visit_to_write(where: Where, act: Callable[[Visit], Awaitable[T]]) -> T:
    """Open the project, act, and return what came of it.

    A bucket that nothing here has tried out today is tried out first, as for a mount: whoever
    claims a step must be the only one.

    Raises:
        Failure: it took too long, or the system refused something.
        KeyboardInterrupt: the user did not want to wait for it.
        Exception: what `act` raises, as it is.
    """
    return _visited(where, act, _tried_out)


def _visited(where: Where, act: Callable[[Visit], Awaitable[T]], known: Known) -> T:
    logging.basicConfig(level=logging.WARNING, format="tcfs: %(message)s")
    try:
        return trio.run(_visit, where, act, known)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is not None:
            raise KeyboardInterrupt from None
        raise
    except trio.TooSlowError:
        raise Failure(
            f"{where.settings.store.url} took longer than {where.deadline:g} s; "
            "try again, or with --deadline",
            Exit.TIMED_OUT,
        ) from None


async def _visit(where: Where, act: Callable[[Visit], Awaitable[T]], known: Known) -> T:
    settings = where.settings
    caller = Caller(settings.agent, settings.agent_how, os.getpid())
    info = MountInfo(
        mountpoint="MOUNT",  # in the tree's README
        version=tcfs.__version__,
        config="".join(f"{line}\n" for line in settings.describe()),
        explain=lambda it: f"{it.how}\nfor this command; there is no mount\n",
    )
    store = store_of(settings.store, where.deadline)
    if isinstance(settings.store, Bucket):
        store = await known(store, where.deadline)
    host, state = socket.gethostname(), owned(state_home(os.environ))
    result: list[T] = []
    refused: Exception | None = None
    async with Project.visit(store, agent=settings.agent, host=host, state=state) as project:
        walk = Walk(root(project, info, Refusals(_warn)), caller)
        try:
            result.append(await act(Visit(project, walk, settings.agent, where.deadline)))
        except Exception as error:
            # Past the project, whose tasks would put it into groups.
            refused = error
    if refused is not None:
        raise _told(refused) from None
    return result[0]


def _warn(text: str) -> None:
    # A mount has `.tcfs/errors` for what is no refusal of the operation itself.
    click.echo(f"tcfs: {on_one_line(text)}", err=True)


async def _as_known(store: Store, limit: float) -> Store:
    from tcfs.cli._probed import as_known  # knows S3, which is imported only where it is used

    return as_known(store)


async def _tried_out(store: Store, limit: float) -> Store:
    from tcfs.cli import _probe_cache, _probed
    from tcfs.stores.s3 import S3Store

    assert isinstance(store, S3Store)
    path = _probe_cache.path_of(store.service, os.environ)
    with within(limit):
        if _probe_cache.read(path) is None:
            await _probed.reach(store)
        async with trio.open_nursery() as probing:
            return await _probed.probed(store, _probed.Trust(path), probing)


def _told(error: Exception) -> Exception:
    # The kernel passes the number on; here the text is what tells.
    if isinstance(error, OSError) and error.errno and error.filename is None:
        return Failure(error.strerror or os.strerror(error.errno))
    return error
