"""`.tcfs/events` and `.tcfs/metrics` as people and programs read them."""

import json
import os
import select
import subprocess
import time
from typing import Any

from tests.exposition import parse
from tests.mounts import Mount, family, is_reading, until


def following(mount: Mount, script: str) -> "subprocess.Popen[str]":
    """Start a script that reads `events`, and return when it waits for a line."""
    process = mount.popen(script)
    until(lambda: any(is_reading(it, "events") for it in family(process.pid)), "the reader")
    return process


def paths(text: str) -> list[str]:
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    return [it["path"] for it in lines]


def test_cat_shows_what_any_mount_changes(mount: Mount, other: Mount) -> None:
    """`.tcfs/events` tells what changes from its opening on, a JSON object a line."""
    mount.out("echo before > memory/k")
    with following(mount, "timeout 4 cat .tcfs/events") as reader:
        mount.out("echo v > memory/design.contract; rm memory/k")
        other.out("echo mine > steps/x/claim; echo complete > steps/x/status")
        other.out("cp /etc/hostname artifacts/shared/host; echo hi >> messages/designer/inbox")
        out, err = reader.communicate(timeout=20)
    assert (reader.returncode, err) == (124, "")
    lines = [json.loads(it) for it in out.splitlines()]
    found = {it["path"]: it for it in lines}
    assert {
        "memory/design.contract",
        "memory/k",
        "steps/x/claim",
        "steps/x/handoff",
        "steps/x/status",
        "artifacts/shared/host",
    } <= set(found)
    assert found["memory/k"]["what"] == "removed"
    assert (found["steps/x/status"]["state"], found["steps/x/status"]["agent"]) == (
        "complete",
        "developer",
    )
    (message,) = (it for it in found if it.startswith("messages/designer/"))
    assert found[message]["agent"] == "developer"
    assert "hi" in other.out(f"cat {message}")


def test_a_line_can_be_waited_for(mount: Mount, other: Mount) -> None:
    with following(mount, "read -r line < .tcfs/events; echo $line") as reader:
        other.out("echo v > memory/k")
        out, _ = reader.communicate(timeout=20)
    assert paths(out) == ["memory/k"]


def test_bash_reads_line_after_line_from_one_descriptor(mount: Mount, other: Mount) -> None:
    script = (
        "exec 9< .tcfs/events; for n in 1 2 3 4; do read -r line <&9; echo $line; done; exec 9<&-"
    )
    with following(mount, script) as reader:
        other.out("for n in 1 2 3; do echo v > memory/k$n; done")
        mount.out("echo v > memory/k4")
        out, _ = reader.communicate(timeout=20)
    assert sorted(paths(out)) == [f"memory/k{n}" for n in (1, 2, 3, 4)]


def test_jq_picks_what_a_script_waits_for(mount: Mount, other: Mount) -> None:
    pick = '--unbuffered -r "select(.state == \\"complete\\") | .path"'
    script = f"head -1 <(timeout 20 cat .tcfs/events | jq {pick})"
    with mount.popen(script) as reader:
        until(lambda: "tcfs_blocked_reads 1" in mount.out("cat .tcfs/metrics"), "the reader")
        other.out("echo v > memory/k; echo > steps/x/claim; echo complete > steps/x/status")
        assert reader.stdout is not None
        assert reader.stdout.readline().startswith("steps/x/")


def test_own_changes_are_told_at_once(mount: Mount) -> None:
    fd = os.open(mount.path / ".tcfs/events", os.O_RDONLY)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(0) == []
        took = []
        for number in range(10):
            begin = time.monotonic()
            (mount.path / f"memory/k{number}").write_text("v\n")
            assert poll.poll(10_000) == [(fd, select.POLLIN)]
            took.append(time.monotonic() - begin)
            assert paths(os.read(fd, 1 << 20).decode()) == [f"memory/k{number}"]
            assert poll.poll(0) == []
        assert sorted(took)[5] < 0.2, "not a tick"
    finally:
        os.close(fd)


def test_events_of_a_real_server_are_told_once(remote: Mount) -> None:
    """A listing there shows the version that the write was told."""
    begin = (
        "echo before > memory/k; dd if=/dev/zero of=artifacts/shared/f bs=1M count=20 status=none"
    )
    remote.out(begin)
    with following(remote, "timeout 5 cat .tcfs/events") as reader:
        remote.out(
            f"{begin}; echo more >> artifacts/shared/f; mv artifacts/shared/f artifacts/shared/g"
        )
        remote.out("echo mine > steps/x/claim; echo hi >> messages/designer/inbox")
        out, _ = reader.communicate(timeout=30)
    seen = [(it["what"], it["path"]) for it in map(json.loads, out.splitlines())]
    messages = [path for _, path in seen if path.startswith("messages/")]
    assert len(messages) == 1
    assert [it for it in seen if it[1] not in messages] == [
        ("changed", "memory/k"),
        ("changed", "artifacts/shared/f"),
        ("changed", "artifacts/shared/f"),
        ("created", "artifacts/shared/g"),  # the name is taken, then the file copied to it
        ("changed", "artifacts/shared/g"),
        ("removed", "artifacts/shared/f"),
        ("created", "steps/x/claim"),
        ("created", "steps/x/status"),
    ]


def test_metrics_are_well_formed_and_tell_no_path(mount: Mount) -> None:
    mount.out("echo v > memory/some.key; echo > steps/some-step/claim; ls steps > /dev/null")
    assert mount.sh("echo x > .tcfs/version").returncode != 0
    assert "metrics" in mount.out("ls .tcfs").split()
    text = mount.out("cat .tcfs/metrics")
    for secret in ("some", str(mount.path), "designer", str(mount.path.parent)):
        assert secret not in text
    found = parse(text)
    operations = found["tcfs_fuse_operations_total"]
    assert operations.values(operation="create", outcome="ok") > [0]
    assert operations.values(operation="open", outcome="EROFS") == [1]
    assert found["tcfs_refusals_total"].values() == [1]
    assert found["tcfs_held"].values() == [1]
    assert found["tcfs_store_requests_total"].values(verb="PUT", outcome="ok") > [0]
    assert found["tcfs_uptime_seconds"].values() > [0]
    again = parse(mount.out("cat .tcfs/metrics"))
    for name in ("tcfs_store_requests_total", "tcfs_store_request_seconds"):
        requests = [sum(it[name].values()) for it in (found, again)]
        assert requests[0] == requests[1]
