"""Many writers at once, through two mounts and the command line: nothing lost, nothing twice."""

import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from tests.interop.fleet import Fleet
from tests.interop.reference import inherited
from tests.mounts import Mount

LIMIT = 100  # seconds


def loop(mount: Mount, count: int, line: str, path: str) -> subprocess.Popen[bytes]:
    """Start a shell that writes `line`, with a number, to `path` so many times."""
    script = f"for i in {{1..{count}}}; do echo {line}-$i >> {path} || exit 1; done"
    return subprocess.Popen(["bash", "-c", script], cwd=mount.path, env=inherited())


def finish(loops: list[subprocess.Popen[bytes]]) -> None:
    """Wait for shells, which must all have succeeded."""
    try:
        assert [each.wait(LIMIT) for each in loops] == [0] * len(loops)
    finally:
        for each in loops:
            each.kill()
        for each in loops:
            each.wait()


def test_messages_of_sixteen_writers_all_arrive_once(make_fleet: Callable[..., Fleet]) -> None:
    fleet = make_fleet("designer", "developer")
    fleet.tree.out("echo here > as/dev/agents/dev")
    expected = Counter(f"tree-{w}-{i}" for w in range(8) for i in range(1, 61))
    expected += Counter(f"cli-{w}-{i}" for w in range(8) for i in range(1, 61))
    with ExitStack() as stack:
        start = fleet.reference.start
        workers = [stack.enter_context(start("command_line.py")) for _ in range(8)]
        for each in workers:
            assert each.receive() == "ready"
        for w, each in enumerate(workers):
            for i in range(1, 61):
                each.send([f"writer{w}", "send", "dev", f"cli-{w}-{i}"])
        finish([loop(fleet.mounts[w % 2], 60, f"tree-{w}", "messages/dev/inbox") for w in range(8)])
        for w, each in enumerate(workers):
            for i in range(1, 61):
                assert each.receive() == [0, f"Sent to dev: cli-{w}-{i}\n"]
        inboxes = [mount.out("cat messages/dev/inbox") for mount in fleet.mounts]
        workers[0].send(["dev", "inbox"])
        code, theirs = workers[0].receive()
        assert code == 0
    for inbox in (*inboxes, theirs):
        assert Counter(line.rpartition(": ")[2] for line in inbox.splitlines()) == expected


def test_lines_appended_by_32_processes_on_two_mounts_are_all_there_once_and_whole(
    make_fleet: Callable[..., Fleet],
) -> None:
    fleet = make_fleet("designer", "developer")
    finish([loop(fleet.mounts[w % 2], 50, f"writer-{w}", "memory/log") for w in range(32)])
    log = fleet.tree.out("cat memory/log")
    lines = log.splitlines()
    assert sorted(lines) == sorted(f"writer-{w}-{i}" for w in range(32) for i in range(1, 51))
    for w in range(32):
        mine = [line for line in lines if line.startswith(f"writer-{w}-")]
        assert mine == [f"writer-{w}-{i}" for i in range(1, 51)]
    assert fleet.mounts[1].out("cat memory/log") == log
    assert fleet.reference.out("memory", "get", "log") == log
