"""`poll`, `select` and `epoll`: ordinary files are always ready, those that wait when they are."""

import errno
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import pytest
import trio
from pyfuse3 import PollHandle

from tcfs.fuse.polls import ALWAYS, READ, Polls
from tcfs.tree._base import Handle
from tests.fuse.mounts import Mount, until

PATIENCE = 10_000  # milliseconds


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def poller(*fds: int) -> "select.poll":
    made = select.poll()
    for fd in fds:
        made.register(fd, select.POLLIN)
    return made


def polled(mount: Mount) -> int:
    """Return how many questions of the kernel were answered."""
    return int(mount.read("polls"))


def open_gate(mount: Mount) -> None:
    (mount.path / "gate").write_text("open\n")


def test_ordinary_files_are_ready_for_all_they_were_opened_for(mount: Mount) -> None:
    everything = select.POLLIN | select.POLLOUT
    for name, flags in (
        ("docs/polled", os.O_RDWR | os.O_CREAT),
        ("files/polled", os.O_RDWR | os.O_CREAT),
        ("mail/polled", os.O_WRONLY),
        ("commits", os.O_RDONLY),
        ("told", os.O_RDONLY),
        ("odd", os.O_RDWR),
    ):
        with opened(mount.path / name, flags) as fd:
            poll = select.poll()
            poll.register(fd, everything)
            assert poll.poll(PATIENCE) == [(fd, everything)], name
            assert select.select([fd], [fd], [], 10) == ([fd], [fd], [])
            with select.epoll() as epoll:
                epoll.register(fd, everything)
                assert epoll.poll(10) == [(fd, everything)]


def test_file_that_waits_is_not_ready_until_it_is(mount: Mount) -> None:
    with opened(mount.path / "wait") as fd:
        poll = poller(fd)
        assert poll.poll(0) == []
        began = time.monotonic()
        assert poll.poll(300) == []
        assert time.monotonic() - began >= 0.3
        open_gate(mount)
        assert poll.poll(PATIENCE) == [(fd, select.POLLIN)]
        assert poll.poll(0) == [(fd, select.POLLIN)]
        assert os.read(fd, 100) == b"complete\n"
        assert os.read(fd, 100) == b""


@pytest.mark.parametrize("how", ["poll", "select", "epoll", "edge", "asyncio"])
def test_who_waits_is_woken(mount: Mount, how: str) -> None:
    scripts = {
        "poll": "p = select.poll(); p.register(fd, select.POLLIN); print(p.poll(20000) != [])",
        "select": "print(select.select([fd], [], [], 20)[0] == [fd])",
        "epoll": "e = select.epoll(); e.register(fd, select.EPOLLIN); print(e.poll(20) != [])",
        "edge": "e = select.epoll(); e.register(fd, select.EPOLLIN | select.EPOLLET)\n"
        "print(e.poll(20) != [])",
        "asyncio": "import asyncio\n"
        "async def main():\n"
        "    ready = asyncio.Event()\n"
        "    asyncio.get_running_loop().add_reader(fd, ready.set)\n"
        "    await asyncio.wait_for(ready.wait(), 20); print(True)\n"
        "asyncio.run(main())",
    }
    before = polled(mount)
    script = f"import os, select; fd = os.open('wait', os.O_RDONLY)\n{scripts[how]}"
    with subprocess.Popen(
        ["python3", "-c", script], cwd=mount.path, stdout=subprocess.PIPE, text=True
    ) as waiting:
        until(lambda: polled(mount) > before, "the question")
        open_gate(mount)
        assert waiting.communicate(timeout=10)[0] == "True\n"


def test_all_who_poll_one_open_file_are_woken(mount: Mount) -> None:
    with opened(mount.path / "wait") as fd:
        got: list[object] = []
        threads = [
            threading.Thread(target=lambda: got.append(poller(fd).poll(PATIENCE)))
            for _ in range(20)
        ]
        before = polled(mount)
        for it in threads:
            it.start()
        until(lambda: polled(mount) >= before + 20, "the questions")
        open_gate(mount)
        for it in threads:
            it.join(10)
        assert got == [[(fd, select.POLLIN)]] * 20


def test_more_can_poll_than_may_read(mount: Mount) -> None:
    """Who polls holds no request: there is no limit but that on open files."""
    fds = [os.open(mount.path / "wait", os.O_RDONLY) for _ in range(700)]
    try:
        poll = poller(*fds)
        assert poll.poll(50) == []
        assert mount.sh("echo x > docs/beside; cat docs/beside").stdout == "x\n"
        open_gate(mount)
        ready: set[int] = set()
        until(lambda: ready.update(fd for fd, _ in poll.poll(100)) or len(ready) == 700, "all")
    finally:
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signal_ends_a_poll_at_once(mount: Mount, number: signal.Signals) -> None:
    script = "import os, select; select.select([os.open('wait', os.O_RDONLY)], [], [])"
    before = polled(mount)
    with subprocess.Popen(["python3", "-c", script], cwd=mount.path) as waiting:
        until(lambda: polled(mount) > before, "the question")
        began = time.monotonic()
        waiting.send_signal(number)
        assert waiting.wait(10) == -number
        assert time.monotonic() - began < 0.5


def test_mount_that_ends_wakes_who_polls(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount().ready()
    fd = os.open(mount.path / "wait", os.O_RDONLY)
    got: list[object] = []
    waiting = threading.Thread(target=lambda: got.append(poller(fd).poll(PATIENCE)))
    waiting.start()
    try:
        until(lambda: polled(mount) > 0, "the question")
        mount.process.send_signal(signal.SIGTERM)
        waiting.join(10)
        assert got != []
        assert got != [[]]
        with pytest.raises(OSError) as error:  # noqa: PT011  # by its errno
            os.read(fd, 10)
        assert error.value.errno in (errno.ENODEV, errno.ENOTCONN, errno.ECONNABORTED)
    finally:
        os.close(fd)
    assert mount.process.wait(10) == 0


def test_connection_that_is_cut_wakes_who_polls(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount().ready()
    with suppress(OSError), opened(mount.path / "wait") as fd:  # closing it is told, too
        got: list[object] = []
        waiting = threading.Thread(target=lambda: got.append(poller(fd).poll(PATIENCE)))
        waiting.start()
        until(lambda: polled(mount) > 0, "the question")
        mount.process.kill()
        waiting.join(10)
        assert got != []
        assert got != [[]]


# What no kernel is needed for


class Told:
    """What stands for the kernel's handle."""

    def __init__(self, *, gone: bool = False) -> None:
        self.times = 0
        self.gone = gone

    def notify(self) -> None:
        self.times += 1
        if self.gone:
            raise OSError(errno.ENODEV, "the mount is gone")


class Slow(Handle):
    blocking = True

    def __init__(self) -> None:
        self.event = trio.Event()
        self.waiting = 0
        self.error: Exception | None = None

    @property
    def readable(self) -> bool:
        return self.event.is_set() and self.error is None

    async def until_readable(self) -> None:
        self.waiting += 1
        try:
            await self.event.wait()
        finally:
            self.waiting -= 1
        if self.error is not None:
            raise self.error


def ask(polls: Polls, handle: Handle, told: Told | None, fh: int = 1) -> int:
    return polls.answer(fh, handle, cast("PollHandle | None", told))


async def test_the_latest_question_is_answered_once() -> None:
    polls, slow, first, second = Polls(), Slow(), Told(), Told()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(polls.run)
        await trio.testing.wait_all_tasks_blocked()
        assert ask(polls, slow, first) == 0
        assert ask(polls, slow, second) == 0
        assert ask(polls, slow, None) == 0, "a poll without a time-out says nothing of the others"
        await trio.testing.wait_all_tasks_blocked()
        assert slow.waiting == 1
        slow.event.set()
        await trio.testing.wait_all_tasks_blocked()
        assert (first.times, second.times, len(polls)) == (0, 1, 0)
        assert ask(polls, slow, first) == READ
        assert ask(polls, Handle(), first) == ALWAYS
        nursery.cancel_scope.cancel()


async def test_what_would_fail_is_ready_and_is_not_tried_again() -> None:
    polls, slow, told = Polls(), Slow(), Told()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(polls.run)
        await trio.testing.wait_all_tasks_blocked()
        assert ask(polls, slow, told) == 0
        slow.error = ValueError("a bug, or a refusal")
        slow.event.set()
        await trio.testing.wait_all_tasks_blocked()
        assert told.times == 1
        assert ask(polls, slow, told) == READ
        await trio.testing.wait_all_tasks_blocked()
        assert slow.waiting == 0
        polls.forget(1)
        assert len(polls) == 0
        nursery.cancel_scope.cancel()


async def test_file_that_is_closed_is_watched_no_more() -> None:
    polls, slow, told = Polls(), Slow(), Told()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(polls.run)
        await trio.testing.wait_all_tasks_blocked()
        assert ask(polls, slow, told) == 0
        await trio.testing.wait_all_tasks_blocked()
        polls.forget(1)
        polls.forget(1)
        await trio.testing.wait_all_tasks_blocked()
        assert (slow.waiting, told.times, len(polls)) == (0, 0, 0)
        nursery.cancel_scope.cancel()


async def test_file_that_is_closed_at_the_moment_it_is_ready_harms_nobody() -> None:
    polls, slow, told = Polls(), Slow(), Told()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(polls.run)
        await trio.testing.wait_all_tasks_blocked()
        assert ask(polls, slow, told) == 0
        await trio.testing.wait_all_tasks_blocked()
        slow.event.set()
        polls.forget(1)
        await trio.testing.wait_all_tasks_blocked()
        assert (told.times, len(polls)) == (0, 0)
        assert ask(polls, Slow(), told) == 0, "it goes on"
        nursery.cancel_scope.cancel()


async def test_end_wakes_all_and_a_kernel_that_is_gone_is_no_error() -> None:
    polls, told = Polls(), [Told(gone=True), Told()]
    assert ask(polls, Slow(), told[0]) == READ, "nobody would wake it"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(polls.run)
        await trio.testing.wait_all_tasks_blocked()
        for fh, it in enumerate(told):
            assert ask(polls, Slow(), it, fh) == 0
        polls.end()
        assert [it.times for it in told] == [1, 1]
        assert ask(polls, Slow(), told[0]) == READ
        nursery.cancel_scope.cancel()
