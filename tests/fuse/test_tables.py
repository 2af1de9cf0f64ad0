"""The tables behind a mount, without one."""

import errno
import os
from collections import defaultdict
from collections.abc import Sequence

import pytest
import trio
from pyfuse3 import FUSEError

from tcfs.fuse import Identity, mountpoints, proc
from tcfs.fuse.guard import Where, guarded
from tcfs.fuse.handles import OpenFile, OpenFiles
from tcfs.fuse.inodes import ROOT, Inodes
from tcfs.project import Served
from tcfs.project.errors import Held, Invalid
from tcfs.tree._base import Caller, Directory, File, Handle, Kind, Node, OpenMode
from tcfs.wire.ids import AgentId

DEV = Caller(AgentId("dev"), "--agent")


class Folder(Directory):
    async def lookup(self, name: str, caller: Caller) -> Node:
        return Leaf(self.child(name))

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        return []


class Leaf(File):
    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        return Handle()


def test_path_keeps_its_number_while_the_kernel_holds_it() -> None:
    inodes = Inodes(Folder("/"))
    first = inodes.hold(Leaf("/a"))
    newest = Leaf("/a")
    assert inodes.hold(newest) == first
    assert inodes.node(first) is newest
    inodes.forget(first, 1)
    assert inodes.number("/a", Kind.FILE) == first
    inodes.forget(first, 1)
    assert inodes.number("/a", Kind.FILE) is None
    assert len(inodes) == 1
    assert inodes.hold(Leaf("/a")) != first


async def test_what_is_on_its_way_out_is_nobodys_file_to_write_to() -> None:
    """RELEASE comes late, and a `truncate` by path may come before it: it is another open."""
    files = OpenFiles("/mnt")
    mode = OpenMode(write=True)
    older, newer = (OpenFile(Handle(), 1, "/a", DEV, os.getpid(), mode) for _ in range(2))
    for file in (older, newer):
        files.add(file)
    assert files.writer(1, os.getpid()) is newer
    await newer.release()
    assert files.writer(1, os.getpid()) is older
    await older.release()
    assert files.writer(1, os.getpid()) is None


def test_directory_that_becomes_a_file_gets_another_number() -> None:
    inodes = Inodes(Folder("/"))
    assert inodes.hold(Folder("/a")) != inodes.hold(Leaf("/a"))


def test_removed_path_comes_back_under_another_number() -> None:
    inodes = Inodes(Folder("/"))
    first = inodes.hold(Leaf("/a"))
    inodes.removed("/a")
    assert not inodes.named(first)
    second = inodes.hold(Leaf("/a"))
    assert second != first
    inodes.forget(first, 1)
    assert inodes.number("/a", Kind.FILE) == second


def test_renamed_path_takes_its_number_along() -> None:
    inodes = Inodes(Folder("/"))
    first, replaced = inodes.hold(Leaf("/a")), inodes.hold(Leaf("/b"))
    assert inodes.moved("/a", Leaf("/b")) == first
    assert inodes.node(first).path == "/b"
    assert not inodes.named(replaced)
    assert inodes.number("/a", Kind.FILE) is None


def test_root_is_never_forgotten() -> None:
    inodes = Inodes(Folder("/"))
    assert inodes.hold(Folder("/")) == ROOT
    inodes.forget(ROOT, 1000)
    inodes.forget(12345, 1)
    assert inodes.directory(ROOT).path == "/"


def test_forgotten_number_is_estale() -> None:
    with pytest.raises(OSError, match="open it again") as caught:
        Inodes(Folder("/")).node(12345)
    assert caught.value.errno == errno.ESTALE


class Room:
    """Stands in for the requests' room."""

    limit = 5.0

    def __init__(self) -> None:
        self.lines: list[tuple[Where, int, str]] = []
        self.served: Served = defaultdict(int)

    def unhurried(self, fh: int) -> bool:
        return fh == 7

    def refused(self, where: Where, code: int, text: str) -> None:
        self.lines.append((where, code, text))

    @guarded(lambda *_: (DEV.agent, "/x"), on_handle=True)
    async def fails(self, fh: int, error: Exception) -> None:
        raise error

    @guarded(lambda *_: (DEV.agent, "/x"), on_handle=True)
    async def sleeps(self, fh: int) -> None:
        await trio.sleep(60)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Held("held"), errno.EEXIST),
        (OSError(errno.EBADF, "not open"), errno.EBADF),
        (ZeroDivisionError(), errno.EIO),
        (ExceptionGroup("", [Held("held")]), errno.EEXIST),
        (ExceptionGroup("", [ExceptionGroup("", [KeyError("x"), Held("held")])]), errno.EEXIST),
        (ExceptionGroup("", [KeyError("x")]), errno.EIO),
        (trio.TooSlowError(), errno.ETIMEDOUT),
    ],
)
async def test_every_error_becomes_an_errno_and_a_line(
    error: Exception, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    room = Room()
    with pytest.raises(FUSEError) as caught:
        await room.fails(1, error)
    assert caught.value.errno == code
    assert [(where, number) for where, number, _ in room.lines] == [((DEV.agent, "/x"), code)]
    assert room.served == {("fails", code): 1}
    assert any(it.exc_info for it in caplog.records) == (code == errno.EIO), (
        "of a bug, and no other"
    )
    caplog.clear()


async def test_request_ends_one_second_past_its_deadline(autojump_clock: object) -> None:
    room = Room()
    began = trio.current_time()
    with pytest.raises(FUSEError) as caught:
        await room.sleeps(1)
    assert caught.value.errno == errno.ETIMEDOUT
    assert trio.current_time() - began == pytest.approx(6.0)


async def test_unhurried_file_has_no_deadline(autojump_clock: object) -> None:
    room = Room()
    await room.sleeps(7)
    assert room.served == {("sleeps", 0): 1}


async def test_cancellation_passes_the_guard() -> None:
    room = Room()
    with trio.CancelScope() as scope:
        scope.cancel()
        await room.sleeps(1)
    assert scope.cancelled_caught
    assert not room.lines


def environment(monkeypatch: pytest.MonkeyPatch, answer: str | OSError | None) -> None:
    def variable(pid: int, name: str) -> str | None:
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(proc, "variable", variable)


@pytest.mark.parametrize(("value", "agent"), [(None, "dev"), ("", "dev"), ("other", "other")])
def test_environment_decides_before_the_mount(
    monkeypatch: pytest.MonkeyPatch, value: str | None, agent: str
) -> None:
    environment(monkeypatch, value)
    assert Identity(DEV).of(4).agent == agent


def test_unreadable_environment_is_trusted_only_on_a_mount_of_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment(monkeypatch, PermissionError())
    assert Identity(DEV).of(4) == Caller(DEV.agent, DEV.how, 4)
    assert not Identity(DEV, shared=True).of(4).trusted


def test_invalid_name_is_refused_to_writers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, "a/b")
    with pytest.raises(Invalid, match="TRACECRAFT_AGENT of process 4"):
        Identity(DEV).of(4)
    assert not Identity(DEV).reader(4).trusted


def test_refusals_in_an_agents_tree_are_that_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, "other")
    identity = Identity(DEV)
    assert identity.acting("/as/me/steps/x/claim", 4) == "me"
    assert identity.acting("/steps/x/claim", 4) == "other"
    assert identity.acting("/as/me", 4) == "other"


@pytest.mark.parametrize(
    ("error", "text"),
    [(PermissionError(), "chmod 666 /dev/fuse"), (FileNotFoundError(), "modprobe fuse")],
)
def test_fuse_that_cannot_be_used_says_how_to_mend_it(
    monkeypatch: pytest.MonkeyPatch, error: OSError, text: str
) -> None:
    def refuse(path: str, flags: int) -> int:
        raise error

    monkeypatch.setattr(mountpoints.os, "open", refuse)
    with pytest.raises(mountpoints.CannotMount, match=text):
        mountpoints.check_fuse()
