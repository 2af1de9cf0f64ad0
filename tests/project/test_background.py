"""What goes on in the background outlives its own bugs, and the mount them."""

from pathlib import Path

import pytest
import trio

from tcfs.project._project import HEARTBEAT
from tcfs.project._watch import TICK
from tcfs.wire import keys
from tcfs.wire.ids import StepId
from tests.memory_store import MemoryStore
from tests.project.parties import A, mounted

X = StepId("x")


def told(caplog: pytest.LogCaptureFixture) -> int:
    """Return how many bugs were logged, and take note that they were expected."""
    bugs = [it for it in caplog.records if it.exc_info]
    caplog.clear()
    return len(bugs)


@pytest.mark.usefixtures("autojump_clock")
async def test_a_heartbeat_with_a_bug_is_followed_by_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug is EIO and a logged traceback, never a dead mount."""
    store = MemoryStore()
    async with mounted(store, tmp_path, A) as project:
        await project.present()
        first = store.body(keys.agent(A))
        with monkeypatch.context() as patch:
            patch.setattr(project.agents, "beat", lambda _: 1 / 0)
            await trio.sleep(1.5 * HEARTBEAT)
        assert told(caplog) == 1
        assert store.body(keys.agent(A)) == first
        await trio.sleep(HEARTBEAT)
        assert store.body(keys.agent(A)) != first


@pytest.mark.usefixtures("autojump_clock")
async def test_who_waits_outlives_a_listing_with_a_bug(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path, A) as project:
        with project.watcher.watch(keys.STEPS) as watch:
            await watch.begin()
            with monkeypatch.context() as patch:
                patch.setattr(project.watcher, "_plan", lambda: 1 / 0)
                await trio.sleep(1.5 * TICK)
            assert told(caplog) >= 1
            await store.put(keys.claim(X), b"{}")
            with trio.fail_after(3 * TICK):
                assert list(await watch.changes()) == [keys.claim(X)]
