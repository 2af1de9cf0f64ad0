"""What all tests share: servers, a project of one's own, and how `async def test_*` runs."""

import inspect
import itertools
import os
import re
import signal
from collections.abc import Iterator
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from tests.servers import Account, Moto, SeaweedFS

_number = itertools.count()

# A run begun in the background is told to ignore Ctrl-C, and so would be all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers `--numprocesses auto` is: half of their time is waiting."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test with trio, on the mock clock if it asks for `autojump_clock`."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    clock = pyfuncitem.funcargs.get("autojump_clock")
    trio.run(partial(pyfuncitem.obj, **arguments), clock=clock)
    return True


@pytest.fixture(scope="session", autouse=True)
def _nobody_elses_account() -> Iterator[None]:
    """Keep a developer's own AWS settings out of the tests, and proxies off loopback."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        yield


@pytest.fixture(autouse=True)
def _no_bugs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which a task in the background met a bug: it is logged, and goes on."""
    yield
    met = [it for it in caplog.get_records("call") if it.exc_info and it.name.startswith("tcfs")]
    assert not met, "a traceback was logged"


@pytest.fixture
def autojump_clock() -> MockClock:
    """Return the clock that jumps to the next deadline whenever all tasks wait."""
    return MockClock(autojump_threshold=0)


@pytest.fixture(scope="session")
def seaweed(_nobody_elses_account: None) -> Iterator[Account]:
    """Yield the account of a real S3 server that runs as long as the tests."""
    with SeaweedFS() as server:
        yield server.account


@pytest.fixture(scope="session")
def moto(_nobody_elses_account: None) -> Iterator[Account]:
    """Yield the account of a moto server that runs as long as the tests."""
    with Moto() as server:
        yield server.account


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """Return the name of a project no other test uses."""
    name = re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name).strip("-")[:60]
    return f"{name}-{os.getpid()}-{next(_number)}"
