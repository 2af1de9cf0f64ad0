"""What only root can bring about; an ordinary user's run does not collect this file."""

import subprocess
from pathlib import Path

from tests.mount.test_artifacts import SHARED
from tests.mounts import Mount


def test_a_full_staging_disk_hurts_its_writer_only(home: Path) -> None:
    """A local disk that is full is ENOSPC to the writer."""
    state = home / "state"
    state.mkdir()
    with _small_disk(state), Mount(home, str(home / "store"), "designer") as mount:
        mount.out(f"echo old > {SHARED}/f")
        refused = mount.sh(f"head -c 20M /dev/zero > {SHARED}/f")
        assert "No space left" in refused.stderr
        assert mount.out(f"cat {SHARED}/f; echo v > memory/k; cat memory/k") == "old\nv\n"
        assert "free some" in mount.errors()


class _small_disk:
    """A file system of 8 MiB on a directory, made as root: no user can make one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._run("mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs", str(self._path))

    def __exit__(self, *_: object) -> None:
        self._run("umount", "-l", str(self._path))

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run(command, check=True)
