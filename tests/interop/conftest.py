"""A tree and the reference's command line on one project, of a real server, for both versions."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.fleet import Fleet, assemble
from tests.interop.reference import NEWEST, VERSIONS
from tests.servers import Account


@pytest.fixture(scope="module", params=VERSIONS)
def fleet(
    request: pytest.FixtureRequest, seaweed: Account, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Yield a mount of the agent `tree`, and `cli` of either version; a test has its own names."""
    version = request.param
    module = Path(request.node.name).stem
    project = f"{module}-{version}-{os.getpid()}"
    with ExitStack() as stack:
        home = tmp_path_factory.mktemp("fleet")
        yield assemble(stack, home, seaweed, project, version, "tree")


@pytest.fixture
def newest(fleet: Fleet) -> bool:
    """Tell whether the reference is the newest version; the older one knows less."""
    return fleet.reference.version == NEWEST


@pytest.fixture
def make_fleet(seaweed: Account, tmp_path: Path, project: str) -> Iterator[Callable[..., Fleet]]:
    """Make a fleet of mounts of one's own for the agents named, with the newest reference."""
    with ExitStack() as stack:

        def make(*agents: str) -> Fleet:
            return assemble(stack, tmp_path, seaweed, project, NEWEST, *agents)

        yield make
