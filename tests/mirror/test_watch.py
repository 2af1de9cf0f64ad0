"""What tells that a source changed: the kernel's word, and where it has none to give."""

import errno
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from inotify_simple import INotify

from tcfs.mirror import _mounts
from tcfs.mirror import _watch as watch_module
from tcfs.mirror._mounts import Shares
from tcfs.mirror._watch import Watch

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2
31 30 0:41 / /home/a/local\040disk rw - xfs /dev/sdb1 rw
32 22 0:42 / /mnt/p rw,nosuid - fuse.tcfs tcfs rw
33 22 0:43 / /twice rw - cifs //server/x rw
34 33 0:44 / /twice rw - tmpfs tmpfs rw
""".strip()


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.close()


def settled(watch: Watch, source: str, *directories: Path) -> None:
    """Watch the directories, and take the news that this is."""
    watch.follow(source, directories)
    watch.taken()


def test_a_directory_is_news_when_it_is_first_watched(watch: Watch, tmp_path: Path) -> None:
    watch.follow("a", [tmp_path])
    assert watch.taken() == {"a"}
    watch.follow("a", [tmp_path])
    assert watch.taken() == set()


def test_each_kind_of_change_is_told_and_reading_is_none(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    settled(watch, "a", tmp_path)
    file, moved = tmp_path / "x.jsonl", tmp_path / "old" / "x.jsonl"
    for change in (
        file.touch,
        lambda: file.write_bytes(b"line\n"),
        lambda: file.chmod(0o600),
        lambda: file.rename(moved),
        lambda: moved.rename(file),
        file.unlink,
        (tmp_path / "new").mkdir,
        (tmp_path / "new").rmdir,
    ):
        change()
        assert watch.taken() == {"a"}
    (tmp_path / "y").write_bytes(b"line\n")
    watch.taken()
    assert (tmp_path / "y").read_bytes() == b"line\n"
    assert {it.name for it in tmp_path.iterdir()} == {"old", "y"}
    assert watch.taken() == set()


def test_only_the_sources_of_a_directory_are_told(watch: Watch, tmp_path: Path) -> None:
    one, both = tmp_path / "one", tmp_path / "both"
    for it in (one, both):
        it.mkdir()
    settled(watch, "a", one, both)
    settled(watch, "b", both)
    (one / "x").touch()
    assert watch.taken() == {"a"}
    (both / "x").touch()
    assert watch.taken() == {"a", "b"}
    settled(watch, "a", one)
    (both / "y").touch()
    assert watch.taken() == {"b"}
    settled(watch, "b", one)
    (both / "z").touch()
    assert watch.taken() == set()


def test_two_paths_to_one_directory_are_watched_until_both_go(watch: Watch, tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    settled(watch, "a", real)
    settled(watch, "b", link)
    (real / "x").touch()
    assert watch.taken() == {"a", "b"}
    settled(watch, "a", tmp_path)
    (real / "y").touch()
    assert watch.taken() == {"b"}


@pytest.mark.parametrize("away", ["removed", "moved"])
def test_another_directory_in_its_place_is_watched(watch: Watch, tmp_path: Path, away: str) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    settled(watch, "a", directory)
    if away == "removed":
        directory.rmdir()
    else:
        directory.rename(tmp_path / "e")
    directory.mkdir()
    assert watch.taken() == {"a"}
    settled(watch, "a", directory)
    (directory / "x").touch()
    assert watch.taken() == {"a"}
    if away == "moved":
        (tmp_path / "e" / "x").touch()
        assert watch.taken() == set()


def test_more_than_the_kernel_keeps_is_news_of_everything(watch: Watch, tmp_path: Path) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    busy, other = tmp_path / "busy", tmp_path / "other"
    for it in (busy, other):
        it.mkdir()
    settled(watch, "a", busy)
    settled(watch, "b", other)
    # The same again and again counts once, so these take turns.
    first, second = busy / "x", busy / "y"
    for it in (first, second):
        it.touch()
    for _ in range(most // 2 + 1):
        first.chmod(0o600)
        second.chmod(0o600)
    assert watch.taken() == {"a", "b"}


async def test_waiting_ends_with_the_first_news(watch: Watch, tmp_path: Path) -> None:
    settled(watch, "a", tmp_path)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.wait)
            await trio.testing.wait_all_tasks_blocked()
            (tmp_path / "x").touch()
    assert watch.taken() == {"a"}


def test_one_that_is_gone_by_now_or_not_ours_is_nothing_to_say(
    watch: Watch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settled(watch, "a", tmp_path, tmp_path / "gone")
    assert not watch.blind
    (tmp_path / "gone").mkdir()
    assert watch.taken() == {"a"}
    settled(watch, "a", tmp_path, tmp_path / "gone")
    (tmp_path / "gone" / "x").touch()
    assert watch.taken() == {"a"}
    assert caplog.messages == []


def test_a_source_without_a_directory_announces_nothing(watch: Watch) -> None:
    watch.follow("a", [])
    assert watch.blind == {"a"}


def test_where_no_more_can_be_watched_the_source_is_blind_until_it_can(
    watch: Watch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    room = 1
    add = INotify.add_watch

    def limited(self: INotify, path: Path, mask: int) -> Any:
        if len(watch._watched) >= room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(self, path, mask)

    monkeypatch.setattr(INotify, "add_watch", limited)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    watch.follow("a", [tmp_path])
    watch.follow("b", [tmp_path / "one"])
    watch.follow("c", [tmp_path / "two"])
    assert watch.blind == {"b", "c"}
    assert [it.levelno for it in caplog.records] == [logging.WARNING]  # once, whatever number
    assert "max_user_watches" in caplog.text
    room = 3
    watch.follow("b", [tmp_path / "one"])
    assert watch.blind == {"c"}


async def test_where_there_is_no_inotify_every_source_is_blind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(**_: Any) -> INotify:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(watch_module, "INotify", refused)
    watch = Watch()
    watch.follow("a", [tmp_path])
    assert watch.blind == {"a"}
    assert watch.taken() == set()
    assert "max_user_instances" in caplog.text
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    watch.close()


def test_what_another_machine_may_write_to_is_blind(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:4 / {tmp_path} rw - nfs4 s:/ rw"
    )
    monkeypatch.setattr(_mounts, "TABLE", table)
    watch.follow("a", [tmp_path])
    assert watch.blind == {"a"}


@pytest.mark.parametrize(
    ("directory", "is_shared"),
    [
        ("/", False),
        ("/home", True),
        ("/home/a/.claude", True),
        ("/homestead", False),
        ("/home/a/local disk/.claude", False),
        ("/mnt/p/steps", True),
        ("/twice", False),
    ],
)
def test_a_file_system_is_told_by_the_nearest_mount_point(directory: str, is_shared: bool) -> None:
    assert Shares(TABLE).holds(Path(directory)) is is_shared


def test_where_nothing_is_known_nothing_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_mounts, "TABLE", tmp_path / "none")
    assert not Shares.now().holds(tmp_path)
