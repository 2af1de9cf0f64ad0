"""What is known of all steps: however it was learnt, it is what a look from afresh tells."""

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from tcfs.project import Project
from tcfs.project._backlog import Backlog, _cycles
from tcfs.project.steps import Context
from tcfs.stores import ETag
from tcfs.wire import keys
from tcfs.wire.ids import StepId
from tests.memory_store import MemoryStore
from tests.project.parties import mounted, place, reference_status

pytestmark = pytest.mark.usefixtures("autojump_clock")

STEPS = [StepId(f"s{number}") for number in range(8)]
WORDS = ("pending", "in_progress", "complete", "complete", "complete", "failed")


def context(project: Project) -> Context:
    return project.ready._context


def changed(store: MemoryStore, dice: random.Random) -> None:
    """Let somebody write or remove something of a step."""
    step = dice.choice(STEPS)
    lease = {"seconds": dice.choice((5, 60)), "renewed_at": ""}
    match dice.randrange(8):
        case 0 | 1:
            first = dice.sample(STEPS, dice.randrange(3))
            place(store, keys.after(step), after=first)
        case 2 | 3:
            place(store, keys.status(step), status=dice.choice(WORDS), agent="r")
        case 4:
            place(store, keys.claim(step), agent="r", id="t", nonce="t", generation=1, lease=lease)
        case 5:
            place(store, f"steps/{step}/notes.txt", n=dice.random())
        case 6:
            store.place(dice.choice((keys.after, keys.claim, keys.status))(step), b"{")
        case 7:
            for key in dice.sample(store.stored(), min(2, len(store.stored()))):
                store.remove(key)


def versions(store: MemoryStore) -> dict[str, ETag]:
    return {key: it.etag for key, it in store._bucket.objects.items() if key.startswith("steps/")}


def shown(backlog: Backlog) -> tuple[object, ...]:
    return (
        sorted(backlog.ready()),
        [it for it in STEPS if backlog.is_ready(it)],
        backlog.is_done(),
        backlog.next_end(),
        sorted(map(list, backlog.cycles())),
    )


async def test_changes_come_to_the_same_as_a_look_from_afresh(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    store = MemoryStore()
    store.tell_time()
    async with mounted(store, tmp_path) as project:
        await project.present()
        backlog = Backlog(context(project))
        known: Mapping[str, ETag] = {}
        for _ in range(400):
            for _ in range(dice.randrange(4)):
                changed(store, dice)
            await trio.sleep(dice.random() * 4)
            now = versions(store)
            if dice.random() < 0.8:
                changes = {key: now.get(key) for key in {*known, *now}}
                await backlog.change(
                    {key: it for key, it in changes.items() if it != known.get(key)}
                )
            elif dice.random() < 0.5:
                await backlog.list()
            else:
                for step in STEPS:
                    await backlog.refresh(step)
                await backlog.list()
            known = now
            afresh = Backlog(context(project))
            await afresh.list()
            assert shown(backlog) == shown(afresh)


async def test_an_answer_that_comes_late_changes_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        x = STEPS[0]
        place(store, keys.status(x), status="pending", agent="r")
        backlog = Backlog(context(project))

        async def meanwhile() -> None:
            place(store, keys.claim(x), agent="r")
            reference_status(store, "in_progress", "r", x)
            await trio.sleep(0.1)
            await backlog.refresh(x)

        store.after("LIST", "steps/", meanwhile)
        await backlog.list()
        assert (backlog.ready(), backlog.is_done()) == ([], False)
        await backlog.list()
        assert (backlog.ready(), backlog.is_done()) == ([], False)


def test_cycles_are_found_in_every_knot_and_nowhere_else() -> None:
    def found(**after: str) -> list[list[str]]:
        wanted = {StepId(step): [StepId(it) for it in first] for step, first in after.items()}
        return [list(it) for it in _cycles(wanted)]

    assert found(a="b", b="cd", c="d", d="", e="abcd") == []
    assert found(a="b", b="a", c="a", d="c") == [["a", "b"]]
    assert found(a="a") == [["a"]]
    assert found(c="b", b="a", a="c", x="yc", y="x") == [["a", "c", "b"], ["x", "y"]]
    long = {StepId(f"{number:05}"): [StepId(f"{number + 1:05}")] for number in range(20_000)}
    assert _cycles(long) == []
