"""Names, attributes and listings."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from tests.fuse.mounts import Mount, until


def test_size_of_a_file_being_written_is_what_was_written(mount: Mount) -> None:
    path = mount.path / "docs/growing"
    path.write_bytes(b"")
    with path.open("wb", buffering=0) as file:
        assert path.stat().st_size == 0
        file.write(b"x" * 10)
        assert path.stat().st_size == 10
        file.truncate(4)
        assert os.fstat(file.fileno()).st_size == 4
        os.truncate(path, 2)
        assert path.stat().st_size == 2
    assert path.stat().st_size == 2
    assert mount.commits("/docs/growing") == ["0", "2"]


def test_new_file_can_be_looked_at_through_its_descriptor(mount: Mount) -> None:
    with (mount.path / "docs/new").open("wb", buffering=0) as file:
        file.write(b"12345")
        assert os.fstat(file.fileno()).st_size == 5
        os.utime(file.fileno())
        os.fchmod(file.fileno(), 0o600)
    assert mount.commits("/docs/new") == ["5"]


def test_removed_file_can_be_read_on(mount: Mount) -> None:
    path = mount.path / "files/removed"
    path.write_text("still here")
    with path.open() as file:
        path.unlink()
        path.write_text("another")
        assert os.fstat(file.fileno()).st_size == 10
        assert file.read() == "still here"
    assert path.read_text() == "another"


def test_truncate_of_a_file_that_is_not_open(mount: Mount) -> None:
    (mount.path / "docs/cut").write_text("long")
    os.truncate(mount.path / "docs/cut", 2)
    assert mount.read("docs/cut") == "lo"


@pytest.mark.parametrize("folder", ["docs", "files"])
def test_editors_and_copies_behave(mount: Mount, folder: str, tmp_path: Path) -> None:
    mount.sh(f"echo one > {folder}/edited; sed -i s/one/two/ {folder}/edited")
    assert mount.read(f"{folder}/edited") == "two\n"
    mount.sh(f"vim -es -u NONE -c 'normal Athree' -c wq {folder}/edited")
    assert mount.read(f"{folder}/edited") == "twothree\n"
    (tmp_path / "copy").write_text("copied")
    mount.sh(f"cp -p {tmp_path}/copy {folder}/copy; mv {folder}/copy {folder}/moved")
    assert mount.read(f"{folder}/moved") == "copied"
    assert mount.sh(f"cat {folder}/copy").returncode == 1
    assert mount.sh(f"touch {folder}/touched && rm {folder}/touched").returncode == 0


def test_renamed_file_goes_by_its_new_name_at_once(mount: Mount) -> None:
    done = mount.sh(
        "echo x > files/a; cat files/a >/dev/null; mv files/a files/b; cat files/b; "
        "stat -c %s files/b; echo yy >> files/b; cat files/b; cat files/a"
    )
    assert done.stdout == "x\n2\nx\nyy\n"
    assert done.returncode == 1


def test_file_renamed_while_open_is_committed_at_its_close(mount: Mount) -> None:
    path = mount.path / "docs/before"
    with path.open("w") as file:
        file.write("x")
        file.flush()
        path.rename(mount.path / "docs/after") if path.exists() else None
        subprocess.run(["true"], check=True, stdout=file)
        assert not mount.commits("/docs/before")
    assert mount.commits("/docs/before") == ["1"]


def test_exchange_of_two_names_is_einval(mount: Mount) -> None:
    mount.sh("echo 1 > docs/x1; echo 2 > docs/x2")
    done = mount.sh(
        "python3 -c 'import ctypes; c = ctypes.CDLL(None, use_errno=True); "
        'print(c.renameat2(-100, b"docs/x1", -100, b"docs/x2", 2), ctypes.get_errno())\''
    )
    assert done.stdout == f"-1 {errno.EINVAL}\n"


def test_hard_links_and_devices_are_eperm_and_say_why(mount: Mount) -> None:
    mount.sh("echo 1 > docs/linked; ln docs/linked docs/hard; mkfifo docs/pipe")
    text = mount.read("refusals")
    assert "/docs/linked EPERM there are no hard links here" in text
    assert "/docs/pipe EPERM there are no devices" in text


def test_extended_attributes_are_not_supported(mount: Mount) -> None:
    (mount.path / "docs/attributed").write_text("")
    with pytest.raises(OSError, match="not supported") as caught:
        os.setxattr(mount.path / "docs/attributed", "user.x", b"y")
    assert caught.value.errno == errno.ENOTSUP
    assert "user.x" not in mount.read("refusals")


def test_directory_made_may_be_a_file_at_the_next_look(mount: Mount) -> None:
    assert mount.sh("mkdir claims/one").returncode == 0
    assert mount.sh("cat claims/one").stdout == "dev\n"
    assert "File exists" in mount.sh("mkdir claims/one").stderr


def test_touch_of_what_is_refused_is_refused(mount: Mount) -> None:
    done = mount.sh("touch held")
    assert done.returncode == 1
    assert "File exists" in done.stderr
    assert mount.sh("chmod 600 held").returncode == 1
    assert "/held EEXIST somebody has it" in mount.read("refusals")


def test_views_are_shown_read_only(mount: Mount) -> None:
    assert mount.sh("test -w commits").returncode == 1 or os.getuid() == 0
    assert not os.access(mount.path / "commits", os.W_OK)
    assert os.access(mount.path / "docs", os.R_OK | os.W_OK | os.X_OK)


def test_listing_of_many_shows_each_once(mount: Mount) -> None:
    names = mount.sh("ls -a many").stdout.split()
    assert names[:2] == [".", ".."]
    assert names[2:] == [f"{n:05}" for n in range(3000) if n != 7]
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(mount.path / "many")}
    assert sizes["00042"] == 42


def test_names_that_are_not_utf8_pass(mount: Mount) -> None:
    name = os.fsencode(mount.path / "docs") + b"/caf\xe9"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    assert b"caf\xe9" in b"".join(os.fsencode(one) for one in (mount.path / "docs").iterdir())
    Path(os.fsdecode(name)).unlink()


def test_there_is_room(mount: Mount) -> None:
    assert os.statvfs(mount.path).f_bavail > 1 << 20


def test_private_mapping_and_shared_mapping(mount: Mount) -> None:
    script = (
        "import mmap\n"
        "with open('files/mapped', 'w+b') as file:\n"
        "    file.truncate(4096)\n"
        "    with mmap.mmap(file.fileno(), 4096) as map: map[:5] = b'hello'\n"
    )
    done = subprocess.run(["python3", "-c", script], cwd=mount.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    until(lambda: mount.read("files/mapped").startswith("hello"), "the pages")
