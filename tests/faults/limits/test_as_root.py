"""A full disk under what is being written; only root can make one: no other user collects this."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import disk_usage

import pytest

from tests.faults.limits import cases as limits
from tests.mounts import Mount

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("act", ["> artifacts/shared/f", ">> artifacts/shared/f", "> runs/f"])
def test_full_disk_is_told_to_who_writes_and_is_usable_again(act: str) -> None:
    """A local disk that is full is ENOSPC to the writer."""
    with (
        limits.room() as home,
        _small_disk(home / "state"),
        Mount(home, str(home / "store"), "designer") as mount,
    ):
        mount.out("echo old > artifacts/shared/f; mkdir -p runs; echo old > runs/f")
        for _ in range(3):  # what was refused leaves no room taken
            refused = mount.sh(f"head -c 20M /dev/zero {act}")
            assert "No space left" in refused.stderr
            limits.assert_unhurt(mount)
            mount.out("head -c 6M /dev/zero > artifacts/shared/fits; rm artifacts/shared/fits")
        kept = mount.out("cat runs/f; wc -c < artifacts/shared/f").split()
        assert kept == ["old", "3"]


def test_on_a_full_disk_nothing_is_claimed_and_the_rest_goes_on() -> None:
    """A claim is noted on this host before it is sent, so that a crash leaves none behind."""
    with (
        limits.room() as home,
        _small_disk(home / "state"),
        Mount(home, str(home / "store"), "designer") as mount,
    ):
        mount.out("echo > steps/held/claim")
        filler = home / "state" / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        assert disk_usage(filler).free == 0
        for act in ("echo > steps/x/claim", "mkdir locks/l", "(exec 9> steps/y/hold)"):
            assert "No space left" in mount.sh(act).stderr
        for line in mount.errors().splitlines():
            assert "ENOSPC" in line
            assert "for what must survive a crash; free some" in line
        assert mount.out("ls steps locks | xargs") == "locks: steps: held\n"
        mount.out("echo v > memory/k; echo more >> memory/k; echo complete > steps/held/status")
        assert mount.out("cat memory/k steps/held/owner") == "v\nmore\ndesigner\n"
        filler.unlink()
        mount.out("echo > steps/x/claim; mkdir locks/l")
        assert mount.out("cat steps/x/owner") == "designer\n"


@contextmanager
def _small_disk(path: Path) -> Iterator[None]:
    path.mkdir()
    options = ("-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs")
    subprocess.run(["mount", *options, str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
