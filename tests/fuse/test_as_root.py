"""What only root can bring about; an ordinary user's run does not collect this file."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.fuse.mounts import PATIENCE, Mount, mounted, until


def test_opener_in_another_mount_namespace_commits_at_its_close(
    mount: Mount, tmp_path: Path
) -> None:
    inside = tmp_path / "elsewhere"
    inside.mkdir()
    done = mount.sh(
        f"unshare -m bash -c 'mount --bind . {inside}; cd {inside}; "
        "exec 7>> mail/elsewhere; echo a >&7; /bin/echo b >&7; cat commits; exec 7>&-; "
        "echo now; cat commits'"
    )
    assert done.returncode == 0, done.stderr
    before, now = done.stdout.split("now\n")
    assert "/mail/elsewhere " not in before
    assert now.count("/mail/elsewhere ") == 1


def test_connection_cut_by_the_kernel_is_cleared(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount().ready()
    minor = os.minor(mount.path.stat().st_dev)
    control = Path("/sys/fs/fuse/connections")
    ours = not (control / str(minor)).exists()
    if ours:
        subprocess.run(["mount", "-t", "fusectl", "none", str(control)], check=True)
    try:
        (control / str(minor) / "abort").write_text("1")
    finally:
        if ours:
            subprocess.run(["umount", str(control)], check=True)
    assert mount.process.wait(PATIENCE) == 0
    assert mounted(mount.path) == ""


def test_auto_unmount_leaves_nothing_behind(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount(unmount="auto").ready()
    mount.process.kill()
    mount.process.wait()
    until(lambda: mounted(mount.path) == "", "fusermount3")


def test_what_the_kernel_forgets_leaves_the_table(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount().ready()
    mount.sh("ls many > /dev/null")
    assert int(mount.read("inodes")) > 2900

    def forgotten() -> bool:
        Path("/proc/sys/vm/drop_caches").write_text("2")
        return int(mount.read("inodes")) < 20

    until(forgotten, "the kernel to forget")
