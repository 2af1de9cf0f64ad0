"""Ordinary files through a real mount: artifacts, plain directories, plain files."""

import mmap
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mount.exerciser import Exerciser
from tests.mounts import SOURCE, Mount, until

MIB = 1 << 20
SHARED = "artifacts/shared"


def names(directory: Path) -> list[str]:
    return [it.name for it in directory.iterdir()]


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB])
def test_any_size_comes_back(mount: Mount, other: Mount, home: Path, size: int) -> None:
    (home / "f").write_bytes(os.urandom(size))
    mount.out(f"cp {home}/f {SHARED}/; cmp {home}/f {SHARED}/f")
    other.out(f"cmp {home}/f {SHARED}/f; [ $(stat -c %s {SHARED}/f) = {size} ]")


@pytest.mark.parametrize(
    "name",
    ["with space", "grüße 日本", "new\nline", ".hidden", "x~", "#x#", ".x.swp", "a.tmp", "-n"],
)
def test_any_name_is_a_file(mount: Mount, other: Mount, name: str) -> None:
    """Every name is kept in `artifacts/` and plain directories, an editor's own too."""
    (mount.path / SHARED / name).write_text("v")
    assert (other.path / SHARED / name).read_text() == "v"
    assert names(other.path / SHARED) == [name]


def test_a_source_tree_is_copied_in_and_is_the_same_elsewhere(mount: Mount, other: Mount) -> None:
    mount.out(f"cp -r {SOURCE}/tcfs {SHARED}/; cp -r {SOURCE}/tcfs runs")
    other.out(f"diff -r {SOURCE}/tcfs {SHARED}/tcfs; diff -r {SOURCE}/tcfs runs")
    mount.out(f"mkdir {SHARED}/tcfs/empty; rm -r {SHARED}/tcfs runs; [ -z $(ls {SHARED}) ]")
    assert "runs" not in mount.out("ls").split()


def test_git_works_in_a_clone(mount: Mount, other: Mount, home: Path) -> None:
    git = "git -c user.email=a@b -c user.name=a"
    mount.out(
        f"git init -q {home}/r; cd {home}/r; for i in $(seq 20); do echo $i > f$i; done;"
        f"git add .; {git} commit -qm one"
    )
    assert (
        mount.out(
            f"git clone -q {home}/r {SHARED}/c 2> /dev/null; cd {SHARED}/c; echo new > f1;"
            f"{git} commit -qam two; git fsck; git status --short; git log --format=%s"
        )
        == "two\none\n"
    )
    assert other.out(f"cd {SHARED}/c; git status --short; git log --format=%s; cat f1") == (
        "two\none\nnew\n"
    )


def test_a_database_with_a_rollback_journal_is_whole_after_a_thousand_commits(
    mount: Mount, other: Mount
) -> None:
    """`fsync` stores."""
    database = sqlite3.connect(mount.path / SHARED / "d.db")
    database.execute("create table t(i integer)")
    for number in range(1000):
        database.execute("insert into t values(?)", (number,))
        database.commit()
    there = sqlite3.connect(f"file:{other.path / SHARED}/d.db?immutable=1", uri=True)
    for each in (database, there):
        assert each.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert each.execute("select count(*), sum(i) from t").fetchall() == [(1000, 499_500)]
        each.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_random_operations_have_the_results_of_a_local_directory(
    mount: Mount, other: Mount, home: Path, seed: int
) -> None:
    """Writes through one descriptor are seen through every other of the mount at once."""
    for made in (mount.path / SHARED / "t", home / "model"):
        made.mkdir()
    Exerciser(mount.path / SHARED / "t", home / "model", seed).run(1000)
    # Both may be left with empty directories, which are this mount's only.
    mount.out(f"diff -r {home}/model {SHARED}/t")
    other.out(f"diff -r {home}/model {SHARED}/t | grep -v '^Only in {home}/model' || true")


def test_sixteen_writers_on_two_mounts_lose_no_line(mount: Mount, other: Mount) -> None:
    """`>>` of up to 8 MiB loses no line, whoever else adds."""
    script = "for i in $(seq 100); do echo $$ $i >> runs/1/metrics.jsonl; done"
    mount.out("mkdir -p runs/1")
    other.out("mkdir -p runs/1")
    running = [at.popen(script) for at in (mount, other) for _ in range(8)]
    for each in running:
        assert each.communicate() == ("", "")
        assert each.returncode == 0
    lines = (mount.path / "runs/1/metrics.jsonl").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 1600
    assert lines == (other.path / "runs/1/metrics.jsonl").read_text().splitlines()
    for pid in {line.split()[0] for line in lines}:
        numbers = [int(line.split()[1]) for line in lines if line.split()[0] == pid]
        assert numbers == sorted(numbers)


def test_adding_beside_an_open_writer_loses_no_line(mount: Mount, other: Mount) -> None:
    """What is added while others here have the file open comes after what others stored."""
    mount.out(f"echo one > {SHARED}/f")
    idle = os.open(mount.path / SHARED / "f", os.O_RDWR)
    for at, line in ((other, "b1"), (mount, "a1"), (other, "b2"), (mount, "a2")):
        at.out(f"echo {line} >> {SHARED}/f")
    os.close(idle)
    assert other.out(f"cat {SHARED}/f") == "one\nb1\na1\nb2\na2\n"


@pytest.mark.parametrize("create", [0, os.O_CREAT])
def test_a_descriptor_for_reading_and_adding_adds_at_the_end(
    mount: Mount, other: Mount, create: int
) -> None:
    """So does what is written with `O_APPEND` by who may also read it."""
    path = mount.path / SHARED / "f"
    if not create:
        path.write_bytes(b"one\n")
    log = os.open(path, os.O_RDWR | os.O_APPEND | create, 0o644)
    os.write(log, b"two\n")
    (other.path / SHARED / "f").write_bytes(b"a line that is longer than what was there\n")
    os.fsync(log)
    path.stat()
    other.out(f"echo and one more, in the second that a size may be old >> {SHARED}/f")
    second = os.open(path, os.O_RDWR | os.O_APPEND)
    os.write(second, b"three\n")
    os.write(log, b"four\n")
    os.close(second)
    os.close(log)
    lines = (other.path / SHARED / "f").read_bytes().splitlines()
    assert lines == [
        b"a line that is longer than what was there",
        b"two",
        b"and one more, in the second that a size may be old",
        b"three",
        b"four",
    ]


def test_of_two_mounts_that_write_a_file_the_last_to_store_wins(mount: Mount, other: Mount) -> None:
    """Whatever else is written replaces the file: of two mounts, the last to store wins."""
    mount.out(f"echo one > {SHARED}/f")
    here, there = [(it.path / SHARED / "f").open("r+b", buffering=0) for it in (mount, other)]
    here.write(b"HERE")
    there.seek(2)
    there.write(b"THERE")
    here.close()
    there.close()
    for each in (mount, other):
        assert each.out(f"cat {SHARED}/f") == "onTHERE"


def test_what_is_gathered_by_one_leaves_no_hole_in_what_another_adds(
    mount: Mount, other: Mount
) -> None:
    path = mount.path / SHARED / "f"
    path.write_bytes(b"one\n")
    adding = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(adding, b"gathered\n")
    with path.open("ab+") as file:
        file.write(b"plus\n")
    os.close(adding)
    assert (other.path / SHARED / "f").read_bytes() == b"one\nplus\ngathered\n"


def test_pages_of_a_mapping_stay_where_they_are_in_a_file_that_is_added_to(
    mount: Mount, other: Mount
) -> None:
    path = mount.path / SHARED / "f"
    path.write_bytes(bytes(10_000))
    with path.open("ab+") as file:
        memory = mmap.mmap(file.fileno(), 0)
        memory[5_000:5_005] = b"pages"
        memory.flush()
        file.write(b"end")
        memory.close()
    expected = bytes(5_000) + b"pages" + bytes(4_995) + b"end"
    until(lambda: (other.path / SHARED / "f").read_bytes() == expected, "what was mapped and added")


def test_a_file_moved_onto_itself_by_another_agents_path_stays(mount: Mount) -> None:
    mount.out(f"echo v > {SHARED}/f; mv {SHARED}/f as/x/{SHARED}/f")
    assert mount.out(f"cat {SHARED}/f") == "v\n"


def test_what_is_added_follows_a_file_that_is_moved_or_removed(mount: Mount, other: Mount) -> None:
    mount.out(
        f"cd {SHARED}; echo a > f; exec 7>> f; echo b >&7; mv f g; echo c >&7; exec 7>&-;"
        f"exec 7>> h; echo d >&7; mv h i; exec 7>&-; echo e > j; exec 7>> j; echo f >&7; rm j;"
        f"exec 7>&-"
    )
    assert other.out(f"cd {SHARED}; ls; cat g i") == "g\ni\na\nb\nc\nd\n"


def test_adding_to_a_large_file_fails_where_another_wrote_it_meanwhile(
    mount: Mount, other: Mount
) -> None:
    """Above 8 MiB, `>>` is ESTALE where another wrote meanwhile."""
    mount.out(f"head -c 9M /dev/zero > {SHARED}/big; echo end >> {SHARED}/big")
    assert other.out(f"tail -c 4 {SHARED}/big; stat -c %s {SHARED}/big") == f"end\n{9 * MIB + 4}\n"
    file = os.open(mount.path / SHARED / "big", os.O_WRONLY | os.O_APPEND)
    os.write(file, b"x" * (9 * MIB))
    other.out(f"echo other > {SHARED}/big")
    with pytest.raises(OSError, match="Stale"):
        os.fsync(file)
    with pytest.raises(OSError, match="Stale"):
        os.close(file)
    assert other.out(f"cat {SHARED}/big") == "other\n"
    assert "try again" in mount.errors()


def test_a_killed_writer_leaves_the_old_content(mount: Mount, other: Mount) -> None:
    """A file is stored when its opener lets go, whole or not at all."""
    mount.out(f"echo old > {SHARED}/f")
    script = "exec 3> {0}/f; echo new >&3; exec 4> {0}/g; echo x >&4; echo; kill -9 $$"
    running = mount.popen(script.format(SHARED))
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    until(lambda: not (mount.path / SHARED / "g").exists(), "the file that never was")
    for each in (mount, other):
        assert each.out(f"cat {SHARED}/f; ls {SHARED}") == "old\nf\n"


def test_what_is_being_written_shows_here_and_not_yet_elsewhere(mount: Mount, other: Mount) -> None:
    """A file that is being written is seen in its mount at once, elsewhere when it is stored."""
    path = mount.path / SHARED / "f"
    with path.open("wb", buffering=0) as file:
        file.write(b"half")
        assert path.read_bytes() == b"half"
        assert path.stat().st_size == 4
        assert names(path.parent) == ["f"]
        assert names(other.path / SHARED) == []
        os.truncate(path, 2)
        assert os.fstat(file.fileno()).st_size == 2
        file.write(b"whole")
        os.fsync(file.fileno())
        assert (other.path / SHARED / "f").read_bytes() == b"ha\0\0whole"


def test_a_mapping_is_stored(mount: Mount, other: Mount) -> None:
    path = mount.path / SHARED / "f"
    path.write_bytes(bytes(100_000))
    with path.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    memory[70_000:70_005] = b"pages"  # after the file was closed
    memory.close()
    until(lambda: (other.path / SHARED / "f").read_bytes()[70_000:70_005] == b"pages", "the pages")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        assert memory[70_000:70_005] == b"pages"


def test_an_open_file_keeps_its_version(mount: Mount, other: Mount) -> None:
    """An open file keeps the version it opened; it is ESTALE once that is gone."""
    path = mount.path / SHARED / "f"
    path.write_bytes(b"1" * (3 * MIB))
    with path.open("rb", buffering=0) as file:
        assert file.read(100) == b"1" * 100
        other.out(f"echo two > {SHARED}/f")
        file.seek(2 * MIB)
        with pytest.raises(OSError, match="Stale"):
            file.read(100)
    until(lambda: path.read_bytes() == b"two\n", "the newer version")


def test_renaming_moves_a_file_and_not_a_directory(mount: Mount, other: Mount) -> None:
    """A file is renamed by a copy in the store; a directory is EXDEV."""
    mount.out(f"mkdir -p runs/1; echo v > {SHARED}/a; mv {SHARED}/a runs/1/b; echo w > c")
    assert other.out("cat runs/1/b c") == "v\nw\n"
    # coreutils' mv -n asks the kernel for an exclusive rename.
    mount.out("mv -n c runs/1/b || true; cat c; mv c runs/1/b; [ ! -e c ]")
    assert other.out("cat runs/1/b; ls runs/1") == "w\nb\n"
    with pytest.raises(OSError, match="cross-device"):
        (mount.path / "runs/1").rename(mount.path / "runs/2")
    mount.out("mv runs/1 runs/2; [ ! -e runs/1 ]")
    assert other.out("cat runs/2/b") == "w\n"


def test_a_file_that_must_be_new_is_refused(mount: Mount, other: Mount) -> None:
    """`O_EXCL` is decided at `open` in a mount, and when the file is stored among mounts."""
    here = (mount.path / SHARED / "f").open("xb", buffering=0)
    with pytest.raises(FileExistsError):
        (mount.path / SHARED / "f").open("xb")
    there = (other.path / SHARED / "f").open("xb", buffering=0)
    here.write(b"here\n")  # a line is stored at once
    with pytest.raises(FileExistsError):
        there.write(b"there\n")
    here.close()
    there.close()
    assert (other.path / SHARED / "f").read_bytes() == b"here\n"


def test_directories_without_a_file_are_the_mounts_own(mount: Mount, other: Mount) -> None:
    """An empty directory is its mount's only."""
    mount.out("mkdir -p runs/1/2; [ -d runs/1/2 ]; rmdir runs/1/2; echo x > runs/1/x")
    assert "Directory not empty" in mount.sh("rmdir runs/1").stderr
    assert other.out("ls runs; ls runs/1") == "1\nx\n"
    mount.out("rm runs/1/x; [ -d runs/1 ]; rmdir runs/1; ! [ -e runs/1 ]; rmdir runs; ! ls runs")


def test_links_are_refused(mount: Mount) -> None:
    """Symbolic and hard links, in `artifacts/` and plain directories: EPERM."""
    mount.out(f"echo v > {SHARED}/f")
    for command in ("ln -s f g", "ln f g"):
        refused = mount.sh(f"cd {SHARED}; {command}")
        assert "Operation not permitted" in refused.stderr
    assert "copy the file" in mount.errors()


def test_modes_and_times_are_accepted(mount: Mount) -> None:
    """Modes and times are accepted, and not kept."""
    mount.out(f"echo v > {SHARED}/f; chmod +x {SHARED}/f; touch -d 2001-01-01 {SHARED}/f")
    mount.out(f"cp -p {SHARED}/f {SHARED}/g; [ ! -x {SHARED}/g ] && df {SHARED} > /dev/null")


def test_a_steps_artifacts_are_found_by_its_id(mount: Mount, other: Mount) -> None:
    """`artifacts/<step>/` is there once the step has anything; `artifacts/shared/` always."""
    assert mount.out("ls artifacts; ! ls artifacts/s1-a") == "shared\n"
    mount.out("echo > steps/S1.A/claim; echo v > artifacts/S1.A/f; readlink artifacts/S1.A")
    assert other.out("cat artifacts/s1-a/f; ls artifacts") == "v\ns1-a\nshared\n"
    mount.out("mkdir artifacts/New.Step; echo w > artifacts/New.Step/f")
    assert other.out("cat artifacts/new-step/f; cat as/x/artifacts/New.Step/f") == "w\nw\n"
    assert "Operation not permitted" in mount.sh("echo > artifacts/file").stderr
    assert "artifacts/shared/file" in mount.errors()


def test_other_prefixes_and_objects_are_at_the_root(mount: Mount, other: Mount) -> None:
    """Every other prefix of the bucket is a directory at the root, every object there a file."""
    mount.out("mkdir data; echo v > data/f; echo w > top.txt")
    assert {"data", "top.txt"} <= set(other.out("ls").split())
    assert other.out("cat data/f top.txt; rm top.txt; rm -r data; ls data top.txt || true") == (
        "v\nw\n"
    )
    for name in ("README", "agents", "as"):
        assert (
            "Read-only"
            in mount.sh(f"touch t; mv -T t {name}").stderr
            + mount.sh(f"rm -rf {name}/../README").stderr
        )


def test_the_exerciser_runs_as_a_command(mount: Mount) -> None:
    command = [sys.executable, str(SOURCE / "tests/mount/exerciser.py"), str(mount.path / SHARED)]
    done = subprocess.run(
        [*command, "--operations", "100", "--seed", "3"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "seed 3\n100 operations, all the same\n"


def test_a_stored_file_has_the_store_s_time_while_it_is_open(mount: Mount, other: Mount) -> None:
    """vim asks between `fsync` and `close`; another time, at its next save, is a change to it."""
    path = mount.path / "artifacts/shared/f"
    with path.open("wb", buffering=0) as file:
        file.write(b"v")
        os.fsync(file.fileno())
        shown = path.stat().st_mtime_ns
    assert shown == (other.path / "artifacts/shared/f").stat().st_mtime_ns
