"""Mounts for tests, taken down whatever happens."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuse.mounts import Mount

# These cut a connection in the kernel, enter a namespace, or empty its caches: nobody else may.
collect_ignore = [] if os.geteuid() == 0 else ["test_as_root.py"]


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    """A mount shared by the tests of a module, which use names of their own."""
    folder = tmp_path_factory.mktemp("shared")
    one = Mount(folder / "mnt", folder / "log")
    try:
        yield one.ready()
    finally:
        one.end()


@pytest.fixture
def make_mount(tmp_path: Path) -> Iterator[Callable[..., Mount]]:
    """Make mounts of one's own."""
    made: list[Mount] = []

    def make(name: str = "mnt", *, limit: float = 30, unmount: str = "manual") -> Mount:
        path = tmp_path / name
        made.append(Mount(path, tmp_path / f"{name}{len(made)}.log", limit=limit, unmount=unmount))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.end()
