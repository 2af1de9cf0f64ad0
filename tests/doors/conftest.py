"""The two doors to the tree: a real mount and its shell, and the commands that need none.

A test that takes `door` runs through both. What only a mount has is tested with `mounted`, and says
why: `@pytest.mark.mount_only("no command renames")`. What only the commands have is in
test_commands.py.
"""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doors.command import Command
from tests.doors.hands import Bucket, Door
from tests.doors.shell import Mounts, Shell
from tests.mounts import Mount

_number = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "mount_only(reason): no command does this, so there is one door to it"
    )


@pytest.fixture(scope="session")
def doors_home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tcfs-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(path / "state"))
        patch.delenv("TRACECRAFT_AGENT", raising=False)
        yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def mounts(doors_home: Path) -> Iterator[Mounts]:
    """Yield the door that is a mount, for each of two agents."""
    store = doors_home / "mounted"
    with (
        Mount(doors_home, str(store), "designer") as designer,
        Mount(doors_home, str(store), "developer") as developer,
    ):
        yield Mounts(Shell(designer), Shell(developer), Bucket(store))


@pytest.fixture
def mounted(request: pytest.FixtureRequest, mounts: Mounts) -> Mounts:
    """Return the door that is a mount, to a test that says why it has no other."""
    marker = request.node.get_closest_marker("mount_only")
    assert marker is not None, "say why: @pytest.mark.mount_only(reason)"
    (reason,) = marker.args
    assert reason
    return mounts


@pytest.fixture(scope="session")
def store(doors_home: Path) -> Path:
    """Return the store of the door that has no mount."""
    return doors_home / "commanded"


@pytest.fixture(scope="session")
def designer(store: Path) -> Command:
    """Return an agent without a mount."""
    made = Command(store, "designer")
    made.write("agents/designer", "Initialized\n")
    return made


@pytest.fixture(scope="session")
def developer(store: Path) -> Command:
    """Return another agent without a mount."""
    made = Command(store, "developer")
    made.write("agents/developer", "Initialized\n")
    return made


@pytest.fixture(params=["mount", "command"])
def door(request: pytest.FixtureRequest) -> Door:
    """Return either door."""
    if request.param == "mount":
        mounts: Mounts = request.getfixturevalue("mounts")
        return Door(mounts.designer, mounts.developer, mounts.bucket)
    store: Path = request.getfixturevalue("store")
    designer: Command = request.getfixturevalue("designer")
    developer: Command = request.getfixturevalue("developer")
    return Door(designer, developer, Bucket(store))


@pytest.fixture
def x() -> str:
    """Return a name that no other test uses, and that is part of none."""
    return f"x{next(_number):04d}"
