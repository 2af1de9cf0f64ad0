"""The store of a mount, limited to what it was found to do: today already, or now."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import trio

from tcfs.cli import _probe_cache
from tcfs.stores import (
    Capabilities,
    Denied,
    ReadOnly,
    Store,
    StoreError,
    Unavailable,
    Unsupported,
)
from tcfs.stores.deadline import within
from tcfs.stores.limited import BestEffort, Limited, Otherwise, Refused
from tcfs.stores.probe import Findings, probe
from tcfs.stores.s3 import S3Store

REACH: Final = 3.0  # seconds for a store to answer at all: a mount of none fails at once
AGAIN: Final = (5.0, 15.0, 60.0, 300.0)  # seconds until what was not found out is tried again

log: Final = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class Trust:
    """How findings come about, and what is done without them.

    `cache` is the file they are kept in. `anew`: probe whatever is kept. `silent`: write nothing
    to the store. `best_effort`: imitate what it lacks. `lasting`: what is not found out at first,
    since requests fail, is tried again later.
    """

    cache: Path
    anew: bool = False
    silent: bool = False
    best_effort: bool = False
    lasting: bool = False


async def reach(store: Store) -> None:
    """See that the store answers to these credentials.

    Raises:
        Denied: no credentials, wrong ones, or no such bucket.
        Unavailable: it does not answer.
    """
    with within(REACH):
        await store.any_under("")


async def probed(store: Store, trust: Trust, background: trio.Nursery) -> Limited:
    """Return `store` as it may be used.

    Answers that a probe still waits for are waited for in `background`, and count when they come.
    A store that takes no probe can be read all the same.
    """
    kept = None if trust.anew else _probe_cache.read(trust.cache)
    if kept is not None:
        return Limited(store, *_judged(store, kept, trust))
    if trust.silent:
        return Limited(store, *_unproven(store, ReadOnly("the mount is read-only"), trust))
    limited: Limited = await background.start(_try_out, store, trust)
    return limited


def as_known(store: Store) -> Store:
    """Return a command's store as a mount of today found it; as it is where none was made."""
    if not isinstance(store, S3Store):
        return store
    path = _probe_cache.path_of(store.service, os.environ)
    found = _probe_cache.read(path)
    if found is None:
        return store
    return Limited(store, *_judged(store, found, Trust(path)))


async def _try_out(store: Store, trust: Trust, task_status: "trio.TaskStatus[Limited]") -> None:
    limited: Limited | None = None

    def judge(capabilities: Capabilities, otherwise: Otherwise) -> None:
        nonlocal limited
        if limited is None:
            limited = Limited(store, capabilities, otherwise)
            task_status.started(limited)
            return
        before = limited.capabilities.claims
        limited.judge(capabilities, otherwise)
        if limited.capabilities.claims != before:
            now = limited.capabilities
            log.error("claims are %s from now on: %s", now.claims, now.facts[0])

    for pause in (*(AGAIN if trust.lasting else ()), None):
        try:
            findings = await probe(store, lambda it: judge(*_judged(store, it, trust)))
        except StoreError as error:
            log.warning("%s is not probed: %s", store.url, error)
            judge(*_unproven(store, error, trust))
            known = not isinstance(error, Unavailable)
        else:
            judge(*_judged(store, findings, trust))
            known = findings.sure or findings.held
            await trio.to_thread.run_sync(keep, trust.cache, findings)
        if known or pause is None:
            return
        await trio.sleep(pause)


def keep(cache: Path, findings: Findings) -> None:
    """Keep what can be gone on with; without, or where it cannot be kept, the next mount probes."""
    try:
        if findings.settled:
            _probe_cache.write(cache, findings)
        else:
            cache.unlink(missing_ok=True)  # what was found before is in doubt
    except OSError as error:
        log.warning("what the store was found to do is not kept: %s", error)


def _judged(store: Store, findings: Findings, trust: Trust) -> tuple[Capabilities, Otherwise]:
    missing = "; ".join(
        f"{what}: {finding.text}"
        for what, finding in (
            ("create if absent", findings.create),
            ("replace if unchanged", findings.replace),
        )
        if not finding.held
    )
    why = (
        f"this store cannot decide who is first ({missing}); `tcfs mount --claims=best-effort` "
        "goes on without, and two agents may both win"
    )
    how = BestEffort(store) if trust.best_effort else Refused(Unsupported, why)
    return findings.capabilities(best_effort=trust.best_effort), how


def _unproven(store: Store, error: StoreError, trust: Trust) -> tuple[Capabilities, Otherwise]:
    capabilities = Capabilities(
        create=False,
        replace=False,
        delete=False,
        conditional_get=True,
        shared=True,
        best_effort=trust.best_effort,
        facts=(f"not probed: {error}",),
    )
    if trust.best_effort:
        return capabilities, BestEffort(store)
    # Refused as the store refused: this may be sent once it is known what becomes of it.
    if isinstance(error, Denied | ReadOnly):
        return capabilities, Refused(
            type(error), f"the store takes no writes here ({error}); then mount again"
        )
    return capabilities, Refused(
        Unsupported,
        f"it is not known whether this store can decide who is first ({error}); "
        "mount again with --probe",
    )
