"""What only root can bring about; an ordinary user's run does not collect this file."""

import subprocess
import sys
from pathlib import Path

from tests.mount.test_artifacts import SHARED
from tests.mounts import SOURCE, Mount


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


# In a mount namespace of its own: /etc/fuse.conf and /dev/fuse are the machine's, and on minimal
# ones not for everybody; the source may be private.
ALLOWING_OTHERS = """
set -e
cd {home}
echo user_allow_other > fuse.conf
mount --bind fuse.conf /etc/fuse.conf
mkdir source mnt store dev
mount --bind {source} source
mount -t tmpfs -o dev tmpfs dev
cp -a /dev/fuse dev/fuse
chmod 666 dev/fuse
mount --bind dev/fuse /dev/fuse
chown bin mnt store .
export HOME={home} XDG_STATE_HOME={home}/state PYTHONPATH={home}/source
as() {{ user=$1; shift; setpriv --reuid $user --regid $user --clear-groups -- "$@"; }}
as bin {python} -m tcfs.cli mount store mnt --agent designer --allow-other > /dev/null
trap 'cd /; as bin {python} -m tcfs.cli umount {home}/mnt' EXIT
cd mnt
as bin bash -c 'echo v > memory/mine'
as daemon bash -c '
    cat memory/mine; cat .tcfs/agent
    for path in memory/k steps/x/claim messages/designer/inbox artifacts/shared/f agents/designer
    do echo v > $path || echo refused; done
    mkdir locks/x || echo refused
    echo v > as/tester/memory/k; echo > as/tester/steps/x/claim; cat steps/x/owner' 2> ../told
cat .tcfs/errors >> ../told
"""


def test_whose_environment_cannot_be_read_acts_by_the_path_only(home: Path) -> None:
    """Under `--allow-other` who acts by an environment that cannot be read is EPERM; `as/<agent>/`
    works."""
    home.chmod(0o755)
    python = home / "source" / Path(sys.executable).relative_to(SOURCE)
    script = ALLOWING_OTHERS.format(home=home, source=SOURCE, python=python)
    command = ["unshare", "-m", "bash", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    why = "nothing: the environment of this process cannot be read"
    assert done.stdout == f"v\ndesigner\n{why}\n" + 6 * "refused\n" + "tester\n"
    told = (home / "told").read_text()
    assert told.count("Operation not permitted") == 6
    assert told.count("who acts cannot be told") == 6
    assert "write below as/<agent>/ instead" in told
