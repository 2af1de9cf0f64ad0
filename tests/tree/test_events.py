"""`.tcfs/events` as a file: its lines, offsets, and how far back a reader may seek."""

import json
from errno import EINVAL, EROFS
from pathlib import Path

import pytest
import trio

from tcfs.project import events
from tcfs.tree._where import path_of
from tcfs.tree.events import AT_ONCE, KEPT
from tests.tree.walk import APPEND, READ, REPLACE, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_a_line_is_an_object_with_the_path_in_the_tree(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.project.present()
        handle = await tree.open(".tcfs/events", READ)
        await tree.write("memory/design.contract", "v\n")
        await tree.write("steps/x/claim", "mine\n")
        await trio.testing.wait_all_tasks_blocked()
        text = await handle.read(0, 1 << 20)
        assert text.endswith(b"}\n")
        lines = [json.loads(line) for line in text.splitlines()]
        assert [(it["what"], it["path"], it["key"]) for it in lines] == [
            ("created", "memory/design.contract", "memory/design/contract.json"),
            ("created", "steps/x/claim", "steps/x/claim.json"),
            ("created", "steps/x/status", "steps/x/status.json"),
        ]
        assert "state" not in lines[0]
        assert (lines[2]["state"], lines[2]["agent"]) == ("in_progress", "a")
        assert lines[0]["time"] <= lines[2]["time"]
        await handle.release()


async def test_it_is_unlisted_and_takes_no_writes(tmp_path: Path) -> None:
    """A file that blocks is not listed."""
    async with grown(tmp_path) as tree:
        assert "events" not in await tree.ls(".tcfs")
        for mode in (REPLACE, APPEND):
            with refused(EROFS, "is read"):
                await tree.open(".tcfs/events", mode)
        with refused(EROFS):
            await (await tree.file(".tcfs/events")).set_times(caller())
        assert (await (await tree.file(".tcfs/events")).attributes()).size == 0


async def test_reading_goes_on_where_it_ended_in_pieces_of_any_size(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.project.present()
        handle = await tree.open(".tcfs/events", READ)
        for name in ("one", "two"):
            await tree.write(f"memory/{name}", "v\n")
        await trio.testing.wait_all_tasks_blocked()
        whole = b""
        while whole.count(b"\n") < 2:
            assert handle.readable
            whole += await handle.read(len(whole), 7)
        assert not handle.readable
        assert [json.loads(line)["path"] for line in whole.splitlines()] == [
            "memory/one",
            "memory/two",
        ]
        # bash reads ahead, and goes back to the end of the line.
        assert await handle.read(10, 20) == whole[10:30]
        assert handle.readable
        await handle.release()


async def test_reading_waits_for_the_next_line(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree, trio.open_nursery() as nursery:
        await tree.project.present()
        handle = await tree.open(".tcfs/events", READ)
        got: list[bytes] = []

        async def read() -> None:
            got.append(await handle.read(0, 1 << 20))

        nursery.start_soon(read)
        await trio.sleep(100)
        assert got == []
        await tree.write("memory/k", "v\n")
        await trio.testing.wait_all_tasks_blocked()
        assert [json.loads(it)["path"] for it in got] == ["memory/k"]
        await handle.release()


async def test_what_was_read_long_ago_is_forgotten(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.project.present()
        handle = await tree.open(".tcfs/events", READ)
        for number in range(4 * AT_ONCE):
            tree.store.place(f"artifacts/{'x' * 200}/{number}", b"")
        await trio.sleep(2)
        offset = 0
        while handle.readable:
            offset += len(await handle.read(offset, 1 << 20))
        assert offset > 3 * KEPT
        assert len(await handle.read(offset - KEPT, 1 << 20)) == KEPT
        with refused(EINVAL, "open .tcfs/events anew"):
            await handle.read(0, 10)
        await handle.release()


async def test_slow_reader_is_told_how_much_it_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is 10,000 lines behind keeps the latest, after `{"dropped": n}`."""
    assert events.KEPT == 10_000
    monkeypatch.setattr(events, "KEPT", 3)
    async with grown(tmp_path) as tree:
        await tree.project.present()
        handle = await tree.open(".tcfs/events", READ)
        for number in range(5):
            tree.store.place(f"runs/{number}", b"")
        await trio.sleep(2)
        lines = [json.loads(it) for it in (await handle.read(0, 1 << 20)).splitlines()]
        assert lines[0] == {"dropped": 2}
        assert [it["path"] for it in lines[1:]] == ["runs/2", "runs/3", "runs/4"]
        await handle.release()


async def test_until_readable_takes_nothing(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.project.present()
        handle = await tree.open(".tcfs/events", READ)
        assert not handle.readable
        with trio.move_on_after(5) as scope:
            await handle.until_readable()
        assert scope.cancelled_caught
        await tree.write("memory/k", "v\n")
        await handle.until_readable()
        await handle.until_readable()
        assert handle.readable
        assert b"memory/k" in await handle.read(0, 1 << 20)
        await handle.release()


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("steps/x/claim.json", "steps/x/claim"),
        ("steps/x/status.json", "steps/x/status"),
        ("steps/x/handoff.json", "steps/x/handoff"),
        ("steps/x/after.json", "steps/x/after"),
        ("steps/x/notes.json", "steps/x/notes.json"),
        ("steps/x/y/claim.json", ".tcfs/raw/steps/x/y/claim.json"),
        ("steps/X/claim.json", ".tcfs/raw/steps/X/claim.json"),
        ("memory/a/b.json", "memory/a.b"),
        ("memory/a.b.json", ".tcfs/raw/memory/a.b.json"),
        ("memory/a", ".tcfs/raw/memory/a"),
        ("agents/dev.json", "agents/dev"),
        ("agents/a/b.json", ".tcfs/raw/agents/a/b.json"),
        ("locks/build.json", "locks/build"),
        ("locks/a.json.json", ".tcfs/raw/locks/a.json.json"),
        ("messages/dev/1_a_b.json", "messages/dev/1_a_b"),
        ("messages/_broadcast/1_a_b.json", "messages/_broadcast/1_a_b"),
        ("messages/dev/a/b.json", ".tcfs/raw/messages/dev/a/b.json"),
        ("messages/_x/1_a_b.json", ".tcfs/raw/messages/_x/1_a_b.json"),
        ("artifacts/x/model.bin", "artifacts/x/model.bin"),
        ("sessions/codex/s/meta.json", "sessions/codex/s/meta.json"),
        ("runs/1/metrics.jsonl", "runs/1/metrics.jsonl"),
        ("top", "top"),
        ("README", ".tcfs/raw/README"),
        ("ready/x", ".tcfs/raw/ready/x"),
        ("steps", ".tcfs/raw/steps"),
        ("a//b", None),
        ("a/../b", None),
        ("a/", None),
        ("a\tb", None),
    ],
)
def test_path_of_a_key(key: str, path: str | None) -> None:
    assert path_of(key) == path
