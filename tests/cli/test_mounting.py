"""`tcfs mount` and `tcfs umount`, as processes, on the kernel."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tcfs.cli import _mountpoint
from tcfs.cli._failure import Exit

Tcfs = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "place"
    yield place
    if _mountpoint.kind_of_mount(place) is not None:
        _mountpoint.unmount(place, lazy=True)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def mounted(tcfs: Tcfs, store: Path, place: Path) -> Path:
    done = tcfs("mount", store, place, "--agent", "designer")
    assert done.stderr == ""
    assert done.stdout == (
        f"mounted {store.as_uri()} at {place} as agent designer\n"
        "this store is a directory of this host: it is not shared between hosts\n"
    )
    return place


def server(home: Path) -> int:
    """Return the process that serves the one mount of this home."""
    (record,) = (home / ".local/state/tcfs/mounts").iterdir()
    return int(json.loads(record.read_text())["pid"])


def has_ended(pid: int, within: float = 0) -> bool:
    """Tell whether a process ends in that many seconds; one that nobody has reaped has too."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([process], [], [], within)
    os.close(process)
    return bool(ended)


def test_mount_answers_when_the_command_returns(mounted: Path) -> None:
    assert (mounted / ".tcfs/agent").read_text().splitlines()[:2] == ["designer", "--agent"]
    assert "agent designer (--agent)\n" in (mounted / ".tcfs/config").read_text()


def test_umount_returns_when_all_is_over(tcfs: Tcfs, mounted: Path, home: Path) -> None:
    pid = server(home)
    done = tcfs("umount", mounted)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert has_ended(pid)
    assert not mounted.exists(), "the mount made it, so it goes with the mount"
    assert list((home / ".local/state/tcfs/mounts").iterdir()) == []


def test_what_was_written_is_there_after_umount(tcfs: Tcfs, mounted: Path, store: Path) -> None:
    (mounted / "memory/key").write_text("value\n")
    tcfs("umount", mounted)
    assert json.loads((store / "memory/key.json").read_text())["value"] == "value"


def test_place_that_was_there_stays(tcfs: Tcfs, store: Path, place: Path) -> None:
    place.mkdir()
    assert tcfs("mount", store, place).returncode == 0
    assert tcfs("umount", place).returncode == 0
    assert list(place.iterdir()) == []


def test_second_mount_on_one_place_is_refused(tcfs: Tcfs, mounted: Path, store: Path) -> None:
    done = tcfs("mount", store, mounted, "--agent", "developer")
    assert done.returncode == Exit.FAILED
    assert f"{mounted} has {store.as_uri()} as agent designer mounted already" in done.stderr
    assert (mounted / ".tcfs/agent").read_text().startswith("designer\n")


def test_mount_of_another_home_on_one_place_is_refused(
    tcfs: Tcfs, mounted: Path, store: Path, tmp_path: Path
) -> None:
    done = tcfs("mount", store, mounted, XDG_STATE_HOME=str(tmp_path / "other"))
    assert done.returncode == Exit.FAILED
    assert "is a tcfs mount already" in done.stderr
    assert (mounted / ".tcfs/agent").read_text().startswith("designer\n")


def test_mount_in_use_says_who_uses_it(tcfs: Tcfs, mounted: Path, home: Path) -> None:
    pid = server(home)
    user = subprocess.Popen(["sleep", "60"], cwd=mounted)
    try:
        done = tcfs("umount", mounted)
        assert done.returncode == Exit.FAILED
        assert f"{mounted} is in use by sleep (pid {user.pid});" in done.stderr
        assert tcfs("umount", "--lazy", mounted).returncode == 0
        assert _mountpoint.kind_of_mount(mounted) is None
    finally:
        user.kill()
        user.wait()
    assert has_ended(pid, within=30)


def test_only_mounts_of_tcfs_are_unmounted(tcfs: Tcfs, tmp_path: Path) -> None:
    done = tcfs("umount", "/proc")
    assert "tcfs: /proc is a mount of another kind (proc); use umount" in done.stderr
    done = tcfs("umount", tmp_path)
    assert f"tcfs: nothing is mounted at {tmp_path};" in done.stderr


def test_mount_whose_process_died_is_mounted_again(
    tcfs: Tcfs, mounted: Path, store: Path, home: Path
) -> None:
    pid = server(home)
    os.kill(pid, signal.SIGKILL)
    assert has_ended(pid, within=30)
    done = tcfs("mount", store, mounted, "--agent", "developer")
    assert (done.returncode, done.stderr) == (0, "")
    assert (mounted / ".tcfs/agent").read_text().startswith("developer\n")


def test_options_may_be_fstab_s(tcfs: Tcfs, store: Path, place: Path) -> None:
    done = tcfs("mount", store, place, "-o", "rw,noauto,agent=tester,ro")
    assert "as agent tester" in done.stdout
    with pytest.raises(OSError, match="Read-only file system"):
        (place / "memory/key").write_text("value\n")
    assert not (store / "agents").exists(), "who may not write is not registered"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_foreground_stays_until_a_signal(
    store: Path, place: Path, home: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "tcfs.cli", "mount", store, place, "--foreground"]
    with subprocess.Popen(
        command,
        env=os.environ | {"HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"mounted {store.as_uri()} at {place}")
        (place / "memory/key").write_text("value\n")
        process.send_signal(number)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"ending on {number.name}" in log
    assert not place.exists()
    assert (store / "memory/key.json").exists()


def test_log_is_in_the_state_directory_or_where_it_is_told(
    tcfs: Tcfs, store: Path, place: Path, home: Path, work: Path
) -> None:
    assert tcfs("mount", store, place, TCFS_LOG="here.log").returncode == 0
    assert tcfs("umount", place).returncode == 0
    assert (work / "here.log").stat().st_mode & 0o777 == 0o600
    assert tcfs("mount", store, place).returncode == 0
    assert tcfs("umount", place).returncode == 0
    assert len(list((home / ".local/state/tcfs").glob("place-*.log"))) == 1


def test_store_and_place_are_kept_apart(tcfs: Tcfs, tmp_path: Path) -> None:
    for store, place in ((tmp_path / "a", tmp_path / "a/b"), (tmp_path / "a/b", tmp_path / "a")):
        done = tcfs("mount", store, place)
        assert done.returncode == Exit.FAILED
        assert "would hide the store" in done.stderr
    assert not (tmp_path / "a").exists()


def test_status_needs_no_mount(tcfs: Tcfs, mounted: Path, store: Path) -> None:
    (mounted / "steps/design/claim").write_text("on it\n")
    done = tcfs("status", store)
    assert done.returncode == 0
    assert "LOCAL ONLY, not shared between hosts" in done.stdout
    assert "design" in done.stdout
    agents = json.loads(tcfs("status", store, "--json").stdout)["agents"]
    assert [agent["id"] for agent in agents] == ["designer"]


def test_demo_behaves_and_leaves_nothing(tcfs: Tcfs, tmp_path: Path, home: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = tcfs("demo", TMPDIR=str(temporary), TRACECRAFT_AGENT="somebody")
    assert (done.returncode, done.stderr) == (0, "")
    assert "steps/design/claim: File exists" in done.stdout
    assert "Everything behaved." in done.stdout
    assert list(temporary.iterdir()) == []
    assert list(home.iterdir()) == []
