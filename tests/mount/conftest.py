"""Real mounts of the whole thing, used as a user would."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mounts import Mount, credentials
from tests.servers import Account

# It makes a small disk to fill: nobody else may.
collect_ignore = [] if os.geteuid() == 0 else ["test_as_root.py"]

_number = itertools.count()


@contextmanager
def _short() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tcfs-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a directory with a short path: a mount point is in every message."""
    with _short() as path:
        yield path


@pytest.fixture
def mount(home: Path) -> Iterator[Mount]:
    """Yield a mount of a local store, for the agent designer."""
    with Mount(home, str(home / "store"), "designer") as made:
        yield made


@pytest.fixture
def other(home: Path, mount: Mount) -> Iterator[Mount]:
    """Yield a second mount of the same store, for the agent developer."""
    with Mount(home, str(home / "store"), "developer") as made:
        yield made


@pytest.fixture
def remote(home: Path, seaweed: Account, project: str) -> Iterator[Mount]:
    """Yield a mount of a project on a real S3 server, for the agent designer."""
    store = f"s3://{seaweed.bucket}/{project}"
    options = ("--endpoint", seaweed.endpoint)
    with Mount(home, store, "designer", *options, environment=credentials(seaweed)) as made:
        yield made


@pytest.fixture(scope="session")
def here() -> Iterator[Mount]:
    """Yield a mount for designer that many tests use, each with names of its own."""
    with _short() as path, Mount(path, str(path / "store"), "designer") as made:
        made.out("echo > as/present/steps/present/claim")  # for test_presence.py
        yield made


@pytest.fixture(scope="session")
def there(here: Mount) -> Iterator[Mount]:
    """Yield a second mount of the same store, for developer."""
    with Mount(here.path.parent, str(here.path.parent / "store"), "developer") as made:
        yield made


@pytest.fixture
def x() -> str:
    """Return a name that no other test uses, and that is part of none."""
    return f"x{next(_number):04d}"
