"""Editors and desktops, on every directory that has a meaning."""

import os
from pathlib import Path

import pytest

from tests.mount.editors import EDITORS
from tests.mounts import Mount

TEXT = b"what is to be done\nand by whom\n"


def raw(mount: Mount) -> list[str]:
    """Return every object of the bucket."""
    return mount.out("find .tcfs/raw -type f | sort").splitlines()


def left(mount: Mount, directory: str) -> set[str]:
    """Return what programs made for themselves and left, but backups."""
    names = mount.out(f"ls -A {directory}").splitlines()
    return {it for it in names if it.startswith((".", "#", "sed", "4913"))}


@pytest.mark.parametrize("editor", EDITORS)
def test_an_editor_saves_a_new_file_and_an_old_one(mount: Mount, editor: str) -> None:
    """What editors and desktops make for themselves is never stored: it lives in the memory of
    this mount. Renamed onto a real name it is one write of that."""
    save = EDITORS[editor]
    for path in ("memory/plan", "steps/x/handoff", "steps/x/notes.txt"):
        file = mount.path / path
        save(file, b"first\n")
        assert file.read_bytes() == b"first\n"
        save(file, TEXT)
        assert file.read_bytes() == TEXT
        assert left(mount, str(file.parent)) == set()
    stored = [it.removeprefix(".tcfs/raw/") for it in raw(mount)]
    assert [it for it in stored if not it.startswith("memory/_history/plan/")] == [
        "agents/designer.json",
        "memory/plan.json",
        "steps/x/handoff.json",
        "steps/x/notes.txt",
    ]
    assert mount.out("cat memory/_history/plan/*") == "first\n" + TEXT.decode()


@pytest.mark.parametrize("editor", EDITORS)
def test_an_editor_saves_an_artifact(mount: Mount, other: Mount, editor: str) -> None:
    mount.out("mkdir artifacts/shared/plans")
    file = mount.path / "artifacts" / "shared" / "plans" / "plan.txt"
    for content in (b"first\n", TEXT):
        EDITORS[editor](file, content)
        assert file.read_bytes() == content
    # Backups are files like any other there; nothing else is left.
    assert set(other.out("ls -A artifacts/shared/plans").split()) <= {"plan.txt", "plan.txt~"}


@pytest.mark.parametrize("editor", ["sed", "vim_with_backup", "gedit", "vscode"])
def test_an_editor_saves_to_a_server(remote: Mount, editor: str) -> None:
    for path in ("memory/plan", "steps/x/handoff", "steps/x/notes.txt"):
        file = remote.path / path
        for content in (b"first\n", TEXT):
            EDITORS[editor](file, content)
            assert file.read_bytes() == content
    assert remote.out("cat memory/_history/plan/*") == "first\n" + TEXT.decode()


@pytest.mark.parametrize("editor", EDITORS)
def test_an_editor_saves_ones_own_summary(mount: Mount, editor: str) -> None:
    """An editor that saves an agent's file sets the summary only."""
    mount.out("echo busy > agents/designer")
    file = mount.path / "agents" / "designer"
    shown = file.read_bytes()
    EDITORS[editor](file, shown.replace(b"busy", b"ready"))
    assert file.read_bytes() == shown.replace(b"busy", b"ready")


@pytest.mark.parametrize("editor", EDITORS)
def test_a_draft_saved_in_a_mailbox_is_sent_once(mount: Mount, other: Mount, editor: str) -> None:
    EDITORS[editor](mount.path / "messages" / "developer" / "draft.txt", TEXT)
    letters = [it for it in other.out("ls messages/developer").splitlines() if it[0].isdigit()]
    assert len(letters) == 1
    assert other.out(f"cat messages/developer/{letters[0]}").encode().endswith(b"\n\n" + TEXT)
    assert left(mount, "messages/developer") == set()


def test_what_programs_make_for_themselves_is_a_file_like_any(mount: Mount, other: Mount) -> None:
    before = raw(mount)
    for directory in ("memory", "steps/x", "messages/developer", "agents"):
        mount.out(
            f"cd {directory}; echo 12345 > .k.swp; echo 6 >> .k.swp; [ $(stat -c %s .k.swp) = 8 ];"
            " chmod 600 .k.swp; touch -d '1 hour ago' .k.swp; truncate -s 6 .k.swp;"
            " ls -a | grep -qxF .k.swp; mv .k.swp .k.swo; [ $(cat .k.swo) = 12345 ];"
            " ln -s me@host.1 .#k; [ $(readlink .#k) = me@host.1 ]; ! ln -s again .#k 2> /dev/null;"
            " exec 7<> .k.swo; rm .k.swo .#k; echo 7 >&7; exec 7>&-; ! ls -A | grep '^[.]'"
        )
        mount.out(f"echo x > {directory}/.k.swp")
        assert ".k.swp" not in other.out(f"ls -A {directory}")
    assert raw(mount) == before


@pytest.mark.parametrize("name", [".k.swp", "k~", "#k#", ".goutputstream-A1B2C3", ".k.aB3dE6"])
def test_renamed_onto_what_is_meant_it_is_one_write_of_that(
    mount: Mount, other: Mount, name: str
) -> None:
    """A claim is won by one agent, whichever tool or host the others use."""
    mount.out(f"echo note > 'steps/x/{name}'; mv 'steps/x/{name}' steps/x/claim")
    assert other.out("cat steps/x/owner; tail -1 steps/x/claim") == "designer\nnote\n"
    lost = other.sh(f"echo note > 'steps/x/{name}'; mv 'steps/x/{name}' steps/x/claim")
    assert lost.returncode != 0
    assert "File exists" in lost.stderr
    assert other.out(f"cat 'steps/x/{name}'") == "note\n"
    mount.out(f"echo complete > 'memory/{name}'; mv 'memory/{name}' steps/x/status")
    assert other.out("cat steps/x/status steps/x/owner") == "complete\ndesigner\n"
    mount.out(f"echo v > 'agents/{name}'; mv 'agents/{name}' memory/new")
    assert other.out("cat memory/new memory/_history/new/*") == "v\nv\n"


def test_a_file_written_after_it_was_renamed_is_refused(mount: Mount) -> None:
    done = mount.sh("exec 7> memory/.k.swp; echo v >&7; mv memory/.k.swp memory/k; echo w >&7")
    assert "Stale file handle" in done.stderr
    assert mount.out("cat memory/k") == "v\n"


def test_a_backup_is_a_copy(mount: Mount, other: Mount) -> None:
    """A real name renamed to such a one is copied, and stays."""
    mount.out("echo v > memory/k; mv memory/k memory/k~; echo w >> memory/k")
    assert mount.out("cat memory/k~ memory/k; ls memory") == "v\nv\nw\nk\nk~\n"
    assert other.out("cat memory/k; ls memory") == "v\nw\nk\n"
    mount.out("echo > steps/x/claim; mv steps/x/claim steps/x/claim~")
    assert other.out("cat steps/x/owner") == "designer\n"


def test_names_that_count_only_when_made_exclusively(mount: Mount, other: Mount) -> None:
    """`4913`, `sed??????`, `*.tmp` and `*.part` are such names only if made with `O_EXCL`."""
    for name in ("4913", "sedAbCdEf", "x.tmp", "x.part"):
        mount.out(f"set -C; echo v > memory/{name}")
        assert other.out("ls memory") == ""
        mount.out(f"mv memory/{name} memory/k.{name}")
        assert other.out(f"cat memory/_history/k.{name}/*; rm memory/k.{name}") == "v\n"
    mount.out("echo v > memory/4913; echo v > memory/sedAbCdEf; echo v > memory/x.part")
    assert other.out("ls memory") == "4913\nsedAbCdEf\nx.part\n"


@pytest.mark.parametrize("suffix", ["tmp", "part", "tmp.4711.1700000000"])
def test_a_key_that_waits_for_a_rename_makes_no_directory(
    mount: Mount, other: Mount, suffix: str
) -> None:
    mount.out(f"echo v > memory/k.{suffix} && mv memory/k.{suffix} memory/k")
    assert other.out("cat memory/k; ls memory") == "v\nk\n"
    mount.out(f"echo w > memory/k.{suffix} && mv memory/k.{suffix} memory/k")
    assert other.out("cat memory/k; ls memory") == "w\nk\n"
    # With another key below it is a directory, as ever.
    mount.out(f"echo v > memory/d.e; echo v > memory/d.{suffix}; ls memory/d | grep -x e")


@pytest.mark.parametrize("directory", ["memory", "steps/x", "messages/designer", "agents"])
def test_other_names_that_begin_with_a_dot_are_refused(mount: Mount, directory: str) -> None:
    """Any other name that begins with `.` is EINVAL there."""
    for name in (".env", ".git", ".hidden", ".DS_Store", "._k"):
        for verb in ("echo v >", "mkdir", "ln -s v"):
            assert "Invalid argument" in mount.sh(f"{verb} '{directory}/{name}'").stderr
        assert f"/{directory}/{name} EINVAL" in mount.errors()
    assert "use artifacts/" in mount.errors()


def test_they_are_bounded(mount: Mount) -> None:
    """They may hold 64 MiB in all; more is ENOSPC."""
    full = mount.sh("head -c 70000000 /dev/zero > memory/.k.swp")
    assert "No space left on device" in full.stderr
    mount.out("rm memory/.k.swp; head -c 60000000 /dev/zero > steps/x/.k.swp; rm steps/x/.k.swp")
    mount.out("head -c 60000000 /dev/zero > memory/.k.swp; : > memory/.k.swp; echo v > memory/k~")


def test_what_is_left_of_them_has_a_line_in_the_log(mount: Mount) -> None:
    """What is left of them has a line in `.tcfs/errors` after a minute, and in the log when the
    mount ends."""
    mount.out("echo v > memory/.k.swp; echo v > memory/gone~; rm memory/gone~")
    mount.end()
    assert "'/memory/.k.swp' was in the memory of this mount only: 2 bytes" in mount.log
    assert "gone~" not in mount.log


def test_a_file_manager_makes_renames_and_deletes(mount: Mount, other: Mount) -> None:
    """`mkdir .Trash*` is EPERM everywhere, so that file managers offer to delete."""
    for directory in (".", "memory", "steps", "steps/x", "messages/designer", "agents"):
        for name in (".Trash", ".Trash-1000"):
            refused = mount.sh(f"mkdir {directory}/{name}").stderr
            assert "Operation not permitted" in refused, directory
    folder = mount.path / "memory" / "New Folder"
    folder.mkdir()
    (folder / "Untitled").write_text("v\n")
    (folder / "Untitled").rename(folder / "plan")
    assert other.out("cat 'memory/New Folder.plan'") == "v\n"
    with pytest.raises(OSError, match="cross-device"):
        folder.rename(mount.path / "memory" / "plans")
    (folder / "plan").unlink()
    folder.rmdir()
    assert other.out("ls memory") == ""


def test_a_directory_with_such_a_file_is_not_empty(mount: Mount) -> None:
    mount.out("mkdir memory/d; echo v > memory/d/.k.swp")
    assert "Directory not empty" in mount.sh("rmdir memory/d").stderr
    mount.out("rm -r memory/d; ! ls memory/d 2> /dev/null")


def test_moving_such_a_file_out_of_the_mount(mount: Mount, home: Path) -> None:
    mount.out(f"echo v > memory/.k.swp; mv memory/.k.swp {home}/swp; ! ls memory/.k.swp")
    assert (home / "swp").read_text() == "v\n"
    # And in, through a name of its own.
    os.replace(home / "swp", home / ".k.swp")  # noqa: PTH105
    mount.out(f"mv {home}/.k.swp memory/; cat memory/.k.swp | grep -x v")
