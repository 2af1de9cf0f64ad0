"""A mount that promises to change nothing."""

from pathlib import Path

from tests.mounts import Mount


def objects(home: Path) -> dict[str, bytes]:
    store = home / "store"
    return {str(it.relative_to(store)): it.read_bytes() for it in store.rglob("*") if it.is_file()}


def test_it_writes_nothing_by_itself_either(home: Path, mount: Mount) -> None:
    """A mount with `--read-only` writes nothing, not by itself either."""
    mount.out(
        "mkdir messages/guest; echo hi >> messages/guest/inbox; echo pending > steps/x/status"
    )
    mount.end()
    before = objects(home)
    with Mount(home, str(home / "store"), "guest", "--read-only") as guest:
        for _ in range(2):  # shown, and not marked, which the close tells
            shown = guest.sh("cat messages/guest/unread")
            assert shown.stdout.endswith("hi\n")
            assert "Read-only file system" in shown.stderr
        for attempt in (
            "echo > steps/x/claim",
            "exec 9> steps/x/hold",
            "cat ready/take",
            "mkdir locks/l",
            "echo v > memory/k",
            "echo hi >> messages/designer/inbox",
            "echo f > artifacts/shared/f",
            "echo me > agents/guest",
            "rm -r steps/x",
        ):
            done = guest.sh(attempt)
            assert done.returncode != 0, attempt
            assert "Read-only file system" in done.stderr, (attempt, done.stderr)
        assert guest.out("cat steps/x/status") == "pending\n"
    assert objects(home) == before
