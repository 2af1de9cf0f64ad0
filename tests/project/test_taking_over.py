"""Taking a step from its holder: as the next claimant does when a lease has run out."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tcfs.project import Project
from tcfs.project.errors import Held, NotHolder
from tcfs.stores import Capabilities
from tcfs.wire.documents import State
from tcfs.wire.handoff import HandoffText
from tests.memory_store import ALL, NO_DELETE, MemoryStore
from tests.project.parties import (
    CLAIM,
    COMPLETE,
    HANDOFF,
    IN_PROGRESS,
    STATUS,
    A,
    B,
    X,
    mounted,
    present,
    reference_claims,
    reference_status,
    state_of,
    take,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def take_over(project: Project) -> None:
    await project.steps.begin(await project.steps.take_over(X, A), None)


async def finish(project: Project) -> None:
    await project.steps.set_state(X, B, COMPLETE)


async def give_back(project: Project) -> None:
    await project.steps.give_back(X, B)


async def annotate(project: Project) -> None:
    await project.steps.annotate(X, B, "more\n")


async def hand_off(project: Project) -> None:
    await project.steps.hand_off(X, B, HandoffText("theirs"))


ACTS = (finish, give_back, annotate, hand_off)


@pytest.mark.parametrize("capabilities", [ALL, NO_DELETE], ids=["delete", "tombstone"])
@pytest.mark.parametrize("act", ACTS)
async def test_former_holder_is_refused_from_then_on(
    tmp_path: Path, capabilities: Capabilities, act: Callable[[Project], Awaitable[None]]
) -> None:
    store = MemoryStore(capabilities)
    async with (
        mounted(store, tmp_path / "b", B) as theirs,
        mounted(store.other(), tmp_path / "a") as ours,
    ):
        await take(theirs.steps, B)
        await take_over(ours)
        with pytest.raises(NotHolder, match="held by a, not by you"):
            await act(theirs)
        claim, status = present(store, CLAIM), present(store, STATUS)
        assert (claim["agent"], claim["generation"]) == ("a", 2)
        assert (status["agent"], status["claim"], status["generation"]) == ("a", claim["id"], 2)
        await ours.steps.hand_off(X, A, HandoffText("ours"))
        await ours.steps.set_state(X, A, COMPLETE)
        assert present(store, HANDOFF)["note"] == "ours"
    assert state_of(store).agent == A


@pytest.mark.parametrize("act", [finish, give_back, annotate])
@pytest.mark.parametrize(
    ("verb", "key"), [("GET", STATUS), ("PUT", CLAIM), ("PUT", STATUS)], ids=str
)
async def test_holder_that_acts_in_between_wins_or_is_refused_and_never_both(
    tmp_path: Path, act: Callable[[Project], Awaitable[None]], verb: str, key: str
) -> None:
    store = MemoryStore()
    shared = store.other()
    async with mounted(store, tmp_path / "b", B) as theirs, mounted(shared, tmp_path / "a") as ours:
        await take(theirs.steps, B)
        refused: list[NotHolder] = []

        async def meanwhile() -> None:
            try:
                await act(theirs)
            except NotHolder as error:
                refused.append(error)

        shared.before(verb, key, meanwhile)
        try:
            await take_over(ours)
        except Held:
            assert not refused, "somebody won"
            assert present(store, STATUS)["agent"] == "b"
        else:
            now = state_of(store)
            assert (now.state, now.agent) == (IN_PROGRESS, A)
            # What was done before the step was even looked at is over: it was given back.
            assert refused or (act in (give_back, annotate) and verb == "GET")
            await ours.steps.set_state(X, A, COMPLETE)
            assert state_of(store).state is COMPLETE


async def test_finished_step_is_not_taken_over(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, B)
        await finish(project)
        with pytest.raises(Held, match="is complete, finished by b"):
            await project.steps.take_over(X, A)


async def test_step_of_the_reference_is_taken_over(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_claims(store, "b")
    async with mounted(store, tmp_path) as project:
        await take_over(project)
        assert state_of(store).agent == A
        await project.steps.set_state(X, A, State.FAILED)
    claim = present(store, CLAIM)
    assert (claim["agent"], claim["result"]) == ("a", "failed")
    reference_status(store, "in_progress", "b")
    assert state_of(store).state is State.FAILED


async def test_files_that_changed_are_kept_with_the_handoff(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await take(project.steps, A)
        await project.steps.hand_off(X, A, HandoffText("n", changed_files=("a.py",)))
        assert present(store, HANDOFF)["changed_files"] == ["a.py"]
        await project.steps.hand_off(X, A, HandoffText("m"))
        found = present(store, HANDOFF)
    assert (found["note"], found["changed_files"]) == ("m", ["a.py"])
