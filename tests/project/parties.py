"""Mounts without a kernel, and the other tool: who acts on a bucket in these tests."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tcfs.project import Project
from tcfs.project._clock import Clock
from tcfs.project._journal import Holding
from tcfs.project.steps import Steps, Tenure, effective
from tcfs.project.steps._look import of_objects
from tcfs.project.steps._state import Effective
from tcfs.stores import Object
from tcfs.wire import keys
from tcfs.wire.documents import State
from tcfs.wire.ids import AgentId, StepId
from tests.memory_store import MemoryStore, monotonic

A, B = AgentId("a"), AgentId("b")
X = StepId("x")
CLAIM, STATUS, HANDOFF = keys.claim(X), keys.status(X), keys.handoff(X)
PENDING, IN_PROGRESS, COMPLETE = State.PENDING, State.IN_PROGRESS, State.COMPLETE


@asynccontextmanager
async def mounted(
    store: MemoryStore, state: Path, agent: AgentId = A, lease: int = 900
) -> AsyncIterator[Project]:
    """Yield a project as a mount has it. `state` is what outlives a crash of it."""
    host = f"host-{agent}"
    async with Project.open(
        store, agent=agent, host=host, state=state, lease=lease, clock=Clock(monotonic)
    ) as project:
        yield project


def forget(project: Project) -> None:
    """Let a mount know nothing of what it holds, as the next one of that agent would not."""
    project.steps._context.tenures._held.clear()


def stop(project: Project) -> None:
    """Let a mount renew nothing from now on, as one that was stopped."""

    async def never(holding: Holding) -> bool:
        await trio.sleep_forever()
        return False

    project.upkeep._renew = never  # type: ignore[method-assign]  # it is not there to do it


async def take(steps: Steps, agent: AgentId, step: StepId = X, note: str | None = None) -> Tenure:
    """Claim a step, and write its status as an opener that lets go does."""
    won = await steps.claim(step, agent)
    await steps.begin(won, note)
    return won


def document(store: MemoryStore, key: str) -> dict[str, Any] | None:
    """Return what is at a key; None if nothing is."""
    body = store.body(key)
    return json.loads(body) if body is not None else None


def present(store: MemoryStore, key: str) -> dict[str, Any]:
    found = document(store, key)
    assert found is not None, f"nothing at {key}"
    return found


def state_of(store: MemoryStore, step: StepId = X) -> Effective:
    """Return the effective state by what lies in the bucket, without a request."""

    def at(key: str) -> Object | None:
        return store._bucket.objects.get(key)

    seen = of_objects(at(keys.claim(step)), at(keys.status(step)))
    return effective(seen.claim, seen.status, ran_out=False)


def place(store: MemoryStore, key: str, **members: object) -> None:
    """Write a document as another tool does."""
    store.place(key, json.dumps(members, indent=2).encode())


def reference_claims(store: MemoryStore, agent: str, step: StepId = X) -> None:
    place(store, keys.claim(step), agent=agent, claimed_at="2026-03-22T15:00:00+00:00")
    reference_status(store, "in_progress", agent, step)


def reference_status(store: MemoryStore, state: str, agent: str, step: StepId = X) -> None:
    """Write a status as the reference does: whole, and without a condition."""
    at = "2026-03-22T15:00:00+00:00"
    more = {"completed_at": at} if state == "complete" else {}
    place(store, keys.status(step), status=state, agent=agent, started_at=at, **more)
