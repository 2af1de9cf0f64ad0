"""What users and other tools can throw at a mount: a clear errno, a line, and all else works."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.mounts import Mount
from tests.servers import Account, boto3_client

DEEP = b'{"value": ' * 2000 + b"1" + b"}" * 2000


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo > steps/.x/claim", "No such file or directory"),
        ("mkdir 'steps/ '", "Invalid argument"),
        ("mkdir steps/_x", "Invalid argument"),
        ("mkdir $'steps/a\\tb'", "Invalid argument"),
        ("mkdir $'steps/\\xff'", "Invalid argument"),
        (f"mkdir steps/{'x' * 201}", "Invalid argument"),
        (f"echo v > memory/{'x' * 1000}", "Invalid argument"),
        ("echo v > $'memory/\\xff'", "Invalid argument"),
        ("echo v > $'memory/a\\nb'", "Invalid argument"),
        ("echo v > 'memory/  '", "Invalid argument"),
        ("mkdir messages/.x", "Invalid argument"),
        ("mkdir messages/_x", "Invalid argument"),
        ("echo x > agents/.x", "Invalid argument"),
        ("echo v > steps/x/.env", "Invalid argument"),
        ("ln memory/k memory/l", "Operation not permitted"),
        ("mkfifo memory/pipe", "Operation not permitted"),
        ("setfattr -n user.x -v y memory/k", "not supported"),
        ("mkdir steps/.x/y", "No such file or directory"),
    ],
)
def test_bad_names_are_refused_with_what_is_wrong(mount: Mount, script: str, says: str) -> None:
    """A name that cannot be an id or a key is EINVAL, with what is wrong with it in `errors`."""
    mount.out("echo v > memory/k")
    if script.startswith("setfattr"):
        script = "python3 -c \"import os; os.setxattr('memory/k', 'user.x', b'y')\""
    done = mount.sh(script)
    assert done.returncode != 0
    assert says in done.stderr, done.stderr
    assert mount.out("cat memory/k") == "v\n"
    if says == "Invalid argument":
        assert mount.errors()
    assert "Traceback" not in mount.log


@pytest.fixture
def bucket(seaweed: Account, project: str) -> Iterator[Any]:
    client = boto3_client(seaweed)

    def put(key: str, body: bytes) -> None:
        client.put_object(Bucket=seaweed.bucket, Key=f"{project}/{key}", Body=body)

    yield put
    client.close()


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00\xff", b"[]", b"null", b"{}", b'{"agent": 7, "value": {"a": [1]}}', DEEP],
    ids=["empty", "bytes", "list", "null", "object", "shapes", "deep"],
)
def test_foreign_objects_hide_nothing_else(remote: Mount, bucket: Any, body: bytes) -> None:
    """What is no document shows as little as can be said of it, and hides nothing else."""
    remote.out("echo v > memory/k; echo > steps/mine/claim; echo hi >> messages/designer/inbox")
    for key in (
        "memory/foreign.json",
        "memory/_history/k/1700000000000000000_x_00000000.json",
        "steps/foreign/claim.json",
        "steps/foreign/status.json",
        "steps/foreign/handoff.json",
        "messages/designer/1700000000000000000_x_00000000.json",
        "messages/designer/_cursor.json",
        "agents/foreign.json",
    ):
        bucket(key, body)
    for script in (
        "ls -l memory steps messages/designer agents steps/foreign memory/_history/k",
        "cat memory/k steps/mine/owner status status.json",
        "cat steps/foreign/status agents/foreign",
        "cat messages/designer/inbox | grep -c hi",
        "ls -R .tcfs/raw",
        "find . -maxdepth 3",
    ):
        assert remote.out(script)
    remote.sh("cat memory/foreign steps/foreign/claim steps/foreign/handoff steps/foreign/owner")
    remote.sh("echo mine > steps/foreign/claim")
    remote.out("echo new > memory/foreign; [ $(cat memory/foreign) = new ]; rm memory/foreign")
    assert "Traceback" not in remote.log


def test_foreign_keys_hide_nothing_else(remote: Mount, bucket: Any) -> None:
    """A key that no path can name shows nowhere, and hides nothing else."""
    remote.out("echo v > memory/k; echo > steps/mine/claim")
    for key in (
        "memory//double.json",
        "memory/a\x01b.json",
        "memory/a.b.json",
        "memory/noending",
        "memory/dir/",
        "steps/s/deep/er/claim.json",
        "steps//claim.json",
        "steps/UPPER/claim.json",
        "messages/designer/nested/x.json",
        "messages/.hidden/1700000000000000000_x_00000000.json",
        "agents/.hidden.json",
        "agents/_x.json",
        "rootfile",
        "rootfile/also-a-prefix",
    ):
        bucket(key, b'{"agent": "x", "value": "x"}')
    for script in (
        "ls -l . memory steps messages messages/designer agents",
        "ls -R .tcfs/raw > /dev/null",
        "cat status memory/k steps/mine/owner",
        "find . -maxdepth 3 > /dev/null",
    ):
        remote.sh(script)
        assert remote.sh(script).returncode == 0, (script, remote.sh(script).stderr)
    assert "k" in remote.out("ls memory").split()
    assert "Traceback" not in remote.log


def test_a_huge_foreign_object_is_not_read(remote: Mount, bucket: Any) -> None:
    """A larger object than 16 MiB is no document, and is not read."""
    remote.out("echo v > memory/k; echo > steps/mine/claim; echo hi >> messages/designer/inbox")
    huge = b"{" + b" " * (200 << 20) + b"}"
    for key in (
        "memory/huge.json",
        "steps/huge/claim.json",
        "messages/designer/1700000000000000000_x_00000000.json",
        "agents/huge.json",
    ):
        bucket(key, huge)
    before = _memory(remote.process.pid)
    assert "Invalid argument" in remote.sh("cat memory/huge").stderr
    assert remote.out("cat steps/huge/owner") == "unknown\n"
    assert "File exists" in remote.sh("echo > steps/huge/claim").stderr
    for script in (
        "ls -l memory steps messages/designer agents",
        "cat memory/k steps/mine/owner status",
        "cat messages/designer/inbox | grep hi",
    ):
        assert remote.out(script), script
    assert _memory(remote.process.pid) - before < 64 << 20
    assert "that is no document of this layout; read it in .tcfs/raw" in remote.log
    remote.out("echo v > memory/huge; [ $(cat memory/huge) = v ]")


def _memory(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123 - /proc, read whole
        fields = dict(line.split(":", 1) for line in file.read().splitlines())
    return int(fields["VmHWM"].split()[0]) << 10
