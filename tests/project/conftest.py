"""What all tests of a project share."""

import time
from types import SimpleNamespace

import pytest
import trio


@pytest.fixture(autouse=True)
def _one_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the journal's patience go by the mock clock, where everything else does."""
    if "autojump_clock" in request.fixturenames:
        clocks = SimpleNamespace(monotonic=_monotonic, time=time.time)
        monkeypatch.setattr("tcfs.project._journal.time", clocks)


def _monotonic() -> float:
    try:
        return trio.current_time()
    except RuntimeError:  # a test that runs no tasks
        return time.monotonic()
