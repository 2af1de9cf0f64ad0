"""From mount to unmount: nothing is lost, nothing hangs, nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tcfs.fuse import CannotMount, clear_stale
from tests.fuse.mounts import PATIENCE, Mount, mounted, until


def test_it_shows_as_a_tcfs_mount(mount: Mount) -> None:
    assert mounted(mount.path) == "fuse.tcfs"


def test_umount_ends_the_server(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount().ready()
    mount.sh("echo x >> mail/last")
    subprocess.run(["umount", str(mount.path)], check=True)
    assert mount.process.wait(PATIENCE) == 0
    assert "/mail/last b'x\\n'" in mount.log
    assert mounted(mount.path) == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_unmounts_cleanly(make_mount: Callable[..., Mount], number: signal.Signals) -> None:
    mount = make_mount().ready()
    mount.process.send_signal(number)
    assert mount.process.wait(PATIENCE) == 0
    assert "ENDED" in mount.log
    assert mounted(mount.path) == ""


def test_signal_stores_and_releases_what_is_open(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount().ready()
    with (mount.path / "mail/open").open("a", buffering=1) as file:
        file.write("a\n")
        began = time.monotonic()
        mount.process.send_signal(signal.SIGTERM)
        assert mount.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 5
        with pytest.raises(OSError, match=r"not connected|connection abort"):
            file.write("b\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
    commits, released = mount.log.split("RELEASED")
    assert "/mail/open b'a\\n'" in commits
    assert "WARNING /mail/open: the mount ends while this file is open" in commits
    assert released.count("/mail/open") == 1


def test_signal_answers_waiting_readers(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount().ready()
    with subprocess.Popen(
        ["cat", "wait"], cwd=mount.path, stderr=subprocess.PIPE, text=True
    ) as cat:
        until(lambda: mount.read("readers") == "1", "the read")
        mount.process.send_signal(signal.SIGTERM)
        assert "No such device" in cat.communicate(timeout=PATIENCE)[1]
    assert mount.process.wait(PATIENCE) == 0


def test_program_that_is_closing_may_finish_first(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount().ready()
    script = (
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "file = open('mail/finishing', 'a', buffering=1)\nfile.write('a\\n')\n"
        "print('go', flush=True)\nsignal.sigwait([signal.SIGTERM])\n"
        "file.write('b\\n')\nfile.close()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=mount.path, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "go\n"
        mount.process.send_signal(signal.SIGTERM)
        writer.send_signal(signal.SIGTERM)
    assert writer.returncode == 0
    assert mount.process.wait(PATIENCE) == 0
    assert "/mail/finishing b'a\\nb\\n'" in mount.log


def test_directory_in_use_does_not_keep_the_server(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount().ready()
    with subprocess.Popen(["sleep", "60"], cwd=mount.path) as user:
        mount.process.send_signal(signal.SIGTERM)
        assert mount.process.wait(PATIENCE) == 0
        user.kill()
    assert mounted(mount.path) == ""


def test_stale_mount_is_cleared_and_mounted_anew(make_mount: Callable[..., Mount]) -> None:
    dead = make_mount().ready()
    dead.process.kill()
    dead.process.wait()
    with pytest.raises(OSError, match="not connected"):
        dead.path.stat()
    again = make_mount().ready()
    assert again.sh("echo x > docs/x; cat docs/x").stdout == "x\n"


def test_auto_unmount_lets_the_server_end_as_well(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount(unmount="auto").ready()
    mount.process.terminate()
    assert mount.process.wait(PATIENCE) == 0
    again = make_mount(unmount="auto").ready()
    assert again.sh("echo x > docs/x; cat docs/x").stdout == "x\n"


def test_living_mount_is_not_mounted_over(mount: Mount, make_mount: Callable[..., Mount]) -> None:
    second = Mount(mount.path, mount.path.parent / "second.log")
    assert second.process.wait(PATIENCE) == 1
    assert "is a tcfs mount already; unmount it first" in second.log
    assert mount.read("readers") == "0"


async def test_what_is_no_directory_is_not_mounted_on(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(CannotMount, match="plain cannot be mounted on: Not a directory"):
        await clear_stale(str(tmp_path / "plain"))
    with pytest.raises(CannotMount, match="nothing cannot be mounted on: No such file"):
        await clear_stale(str(tmp_path / "nothing"))


def test_sigusr1_logs_the_stacks_of_all_tasks(mount: Mount) -> None:
    mount.process.send_signal(signal.SIGUSR1)
    until(lambda: "stacks of all tasks" in mount.log, "the stacks")
    until(lambda: "_obey_signals" in mount.log, "the stacks")
    assert "pyfuse-" in mount.log
