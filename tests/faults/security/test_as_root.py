"""Who may look into a mount: only root can try it as several users.

An ordinary user's run does not collect this file.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mounts import SOURCE

# In a mount namespace of its own, with a /dev/fuse for everybody: minimal machines keep theirs.
# The Python that runs this may lie where only root gets, so tcfs may read what it likes; FUSE's
# gate does not ask for that.
AS_ANOTHER = """
set -e
cd {home}
mkdir source mnt dev
mount --bind {source} source
mount -t tmpfs -o dev tmpfs dev
cp -a /dev/fuse dev/fuse
chmod 666 dev/fuse
mount --bind dev/fuse /dev/fuse
echo user_allow_other > fuse.conf
mount --bind fuse.conf /etc/fuse.conf
chown bin mnt .
export HOME={home} XDG_STATE_HOME={home}/state PYTHONPATH={home}/source
as() {{ user=$1; shift; setpriv --reuid $user --regid $user --clear-groups -- "$@"; }}
tcfs() {{
    setpriv --reuid bin --regid bin --clear-groups --inh-caps +dac_read_search \
        --ambient-caps +dac_read_search -- {python} -m tcfs.cli "$@"
}}
tcfs mount store mnt --agent designer {options} > /dev/null
trap 'cd {home}; tcfs umount {home}/mnt' EXIT
as bin bash -c 'echo v > mnt/memory/k; stat -c "%a %U" mnt'
for user in daemon root; do
    as $user ls mnt > /dev/null 2>&1 && echo "$user sees" || echo "$user is refused"
    as $user cat mnt/memory/k 2> /dev/null || true
    as $user bash -c 'echo $0 > mnt/memory/by-$0' $user 2> /dev/null || true
    as $user bash -c 'echo > mnt/as/$0/steps/$0/claim' $user 2> /dev/null || true
    as $user cat store/memory/k.json > /dev/null 2>&1 && echo "$user reads the store" || true
done
as bin bash -c 'ls mnt/memory; cat mnt/steps/*/owner 2> /dev/null' || true
"""


@pytest.mark.parametrize(
    ("options", "shows"),
    [
        ("", ["700 bin", "daemon is refused", "root is refused", "root reads the store", "k"]),
        (
            "--allow-other",
            [
                *("755 bin", "daemon sees", "v", "root sees", "v", "root reads the store"),
                # Both can be any agent by a path. Root's environment is not ours to read.
                *("k", "daemon", "root"),
            ],
        ),
    ],
)
def test_other_users_are_let_in_by_a_flag_only(home: Path, options: str, shows: list[str]) -> None:
    """The kernel keeps everybody else out, root too, unless `--allow-other` was asked for."""
    home.chmod(0o755)
    script = AS_ANOTHER.format(home=home, source=SOURCE, python=sys.executable, options=options)
    command = ["unshare", "-m", "bash", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert done.stdout.splitlines() == shows, done.stderr
