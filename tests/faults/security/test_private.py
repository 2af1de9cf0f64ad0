"""What a mount is and keeps on its host is its user's alone, whatever the umask."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounts import SOURCE, Mount


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tcfs-") as path:
        yield Path(path)


def open_to_others(path: Path) -> list[str]:
    """Return what others may read or write at a path or below, links apart."""
    found = [path, *path.rglob("*")]
    return [
        f"{stat.filemode(it.lstat().st_mode)} {it}"
        for it in found
        if not it.is_symlink() and it.lstat().st_mode & 0o077
    ]


def tcfs(home: Path, *arguments: str, umask: int = 0, **environ: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tcfs.cli", *arguments],
        cwd=home,
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(SOURCE)} | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        umask=umask,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_all_that_is_kept_is_its_user_s_only(home: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        mount = Mount(home, str(home / "new" / "store"), "designer")
    finally:
        os.umask(before)
    with mount:
        mount.out("echo > steps/x/claim; mkdir locks/l; echo hi >> messages/designer/inbox")
        mount.out("exec 7> artifacts/shared/f; head -c 3M /dev/zero >&7; ls -l .tcfs; exec 7>&-")
        assert stat.S_IMODE(mount.path.stat().st_mode) == 0o700
        assert open_to_others(home / "state") == []
        # Who does not get into a directory reads nothing below it.
        for made in (home / "new", home / "new" / "store"):
            assert stat.S_IMODE(made.stat().st_mode) == 0o700
        held = [str(it.readlink()) for it in Path(f"/proc/{mount.process.pid}/fd").iterdir()]
        assert not [it for it in held if "/staging/" in it and "(deleted)" not in it]
    assert open_to_others(home / "state") == []


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_configuration_log_and_mount_point_are_private(home: Path, umask: int) -> None:
    kept = home / "a" / "state"
    environ = {"XDG_STATE_HOME": str(kept), "XDG_DATA_HOME": str(home / "data")}
    code, said = tcfs(home, "init", "--backend", "file", "--project", "p", umask=umask, **environ)
    assert code == 0, said
    point = home / "point"
    code, said = tcfs(home, "mount", str(home / "store"), str(point), umask=umask, **environ)
    try:
        assert code == 0, said
        assert stat.S_IMODE(point.stat().st_mode) == 0o700
    finally:
        tcfs(home, "umount", str(point), **environ)
    assert stat.S_IMODE((home / ".tracecraft.json").stat().st_mode) == 0o600
    logs = list((kept / "tcfs").glob("*.log"))
    assert len(logs) == 1
    assert open_to_others(home / "a") == []
    assert stat.S_IMODE((home / "data").stat().st_mode) == 0o700


def test_a_log_that_is_begun_anew_is_private(home: Path) -> None:
    before = os.umask(0)
    try:
        code = (
            "import logging; from pathlib import Path; from tcfs.cli import _log;"
            f"path = Path({str(home / 'log')!r}); _log._SIZE = 200; _log.make(path);"
            "_log.to_file(path);"
            "[logging.getLogger('tcfs').warning('a\\x1b[2J\\nforged %d', n) for n in range(9)]"
        )
        command = [sys.executable, "-c", code]
        subprocess.run(command, check=True, cwd=SOURCE, timeout=60)
    finally:
        os.umask(before)
    assert {it.name for it in home.iterdir()} == {"log", "log.1"}
    assert open_to_others(home) == []
    text = (home / "log").read_text()
    assert "\x1b" not in text
    assert not [it for it in text.splitlines() if it.startswith("forged")]


@pytest.mark.parametrize("how", ["open to others", "a link of another's", "another's"])
def test_a_state_directory_that_others_have_is_refused(home: Path, how: str) -> None:
    """Whoever else may write there could have locks and journals of ours, or show our mail."""
    state = home / "state"
    state.mkdir()
    ours = state / "tcfs"
    match how:
        case "open to others":
            ours.mkdir()
            ours.chmod(0o777)
        case "a link of another's":
            (home / "elsewhere").mkdir(mode=0o700)
            ours.symlink_to(home / "elsewhere")
            _give_away(ours)
        case _:
            ours.mkdir(mode=0o700)
            _give_away(ours)
    environ = {"XDG_STATE_HOME": str(state)}
    code, said = tcfs(home, "mount", str(home / "store"), str(home / "mnt"), **environ)
    assert (code, "another user's" in said or "others may write" in said) == (1, True), said
    code, said = tcfs(home, "put", "--store", str(home / "store"), "memory/k", **environ)
    assert code != 0, said
    assert not (home / "elsewhere").exists() or not list((home / "elsewhere").iterdir())
    assert "Traceback" not in said


def _give_away(path: Path) -> None:
    if os.geteuid() == 0:
        os.lchown(path, 1, 1)
    else:  # an ordinary user cannot; what is open to others is refused as well
        path.unlink() if path.is_symlink() else path.rmdir()
        path.mkdir()
        path.chmod(0o777)
