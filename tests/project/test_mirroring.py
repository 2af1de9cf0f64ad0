"""What a mirror stores, and what that costs (protocol.md, mirror)."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tcfs.project import mirroring as mirroring_module
from tcfs.project.errors import Invalid, Missing
from tcfs.project.mirroring import Ended, Owned
from tcfs.project.sessions import Session
from tcfs.stores import OutcomeUnknown, Unsupported
from tests.memory_store import ALL, Fault, MemoryStore
from tests.project.mirrored import HERE, part_key
from tests.project.mirrors import (
    META,
    ORIGIN,
    Source,
    meta_of,
    mirror,
    named_parts,
    parts_in,
    reference_compacts,
    reference_mirrors,
    shown,
    try_to_mirror,
)
from tests.project.parties import B, mounted

pytestmark = pytest.mark.usefixtures("autojump_clock")

LINES = ("one\n", "two\n", "three\n")


async def test_every_line_is_there_once_in_its_order(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source()
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        for text in LINES:
            source.says(text)
            await mirror(here, source)
        assert shown(store) == "one\ntwo\nthree\n"
        found = await project.sessions.transcript(HERE)
        parts = await project.sessions.read(found, 0, found.size)
        assert b"".join(parts) == source.text.encode()


async def test_meta_tells_of_each_part_and_of_the_whole(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, replace(ORIGIN, agent_id=B, parent_session_id="p"))
        flush = source.read(await here.cursor(), 1)
        assert flush is not None
        await here.flush(replace(flush, source_bytes=9, redactions={"token": 2}))
        source.says("two\n")
        flush = source.read(await here.cursor(), 1)
        assert flush is not None
        await here.flush(replace(flush, redactions={"token": 1, "jwt": 1}))
    meta = meta_of(store)
    assert meta is not None
    assert meta.parts is not None
    assert (meta.harness, meta.session_id) == HERE
    assert (meta.source_path, meta.cwd) == (ORIGIN.source_path, ORIGIN.cwd)
    assert (meta.agent_id, meta.parent_session_id) == (B, "p")
    assert (meta.total_source_bytes, meta.total_uploaded_bytes) == (13, 8)
    assert meta.redaction_counts == {"token": 3, "jwt": 1}
    assert meta.started_at is not None
    assert meta.started_at == meta.parts[0].uploaded_at
    assert meta.last_uploaded_at == meta.parts[1].uploaded_at
    assert [it.cursor_range for it in meta.parts] == [[0, 1], [1, 2]]
    assert [it.seq for it in meta.parts] == [0, 1]
    assert [it.source_bytes for it in meta.parts] == [9, 4]
    assert [it.redactions for it in meta.parts] == [{"token": 2}, {"token": 1, "jwt": 1}]
    assert [it.generation for it in meta.parts] == [1, 1]
    assert meta.cursor == {"lines": 2, "rewriting": 0}


async def test_a_session_costs_a_get_and_a_list_and_each_flush_two_puts(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        store.requests.clear()
        await mirror(here, source)
        assert [it for it, _ in store.requests] == ["GET", "LIST", "PUT", "PUT"]
        source.says("two\n")
        store.requests.clear()
        await mirror(here, source)
        assert [it for it, _ in store.requests] == ["PUT", "PUT"]
        store.requests.clear()
        await mirror(here, source)
        await trio.sleep(10_000)
        await mirror(here, source)
        assert [it for it in store.requests if it[1].startswith("sessions/")] == []


async def test_the_next_mirror_goes_on_where_the_last_let_go(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    async with mounted(store, tmp_path / "a") as project:
        assert await try_to_mirror(project, source)
    source.says("two\n")
    async with mounted(store.other(), tmp_path / "b", B) as project:
        assert await try_to_mirror(project, source)
    assert shown(store) == "one\ntwo\n"
    meta = meta_of(store)
    assert meta is not None
    assert meta.epoch == 2


async def test_letting_go_costs_nothing_when_the_lease_ran_out(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    async with mounted(store, tmp_path) as project:
        for pause, puts in ((10, 1), (1000, 0)):
            here = project.mirrors.of(HERE, ORIGIN)
            source.says("more\n")
            await mirror(here, source)
            await trio.sleep(pause)
            store.requests.clear()
            await here.release()
            assert store.asked("PUT").count(META) == puts


async def test_a_mirror_that_is_cancelled_as_it_stores_lets_go_all_the_same(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    store.tell_time()
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        with trio.CancelScope() as life:

            async def end() -> None:
                life.cancel()

            store.after("PUT", META, end)
            await mirror(here, source)
        assert life.cancelled_caught
        assert shown(store) == source.text
        await here.release()
        source.says("two\n")
        assert await try_to_mirror(project, source)
        assert shown(store) == source.text


async def test_one_owns_a_session_and_others_take_over_when_its_lease_ran_out(
    tmp_path: Path,
) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    store.tell_time()
    async with (
        mounted(store, tmp_path / "a") as project,
        mounted(store.other(), tmp_path / "b", B) as other,
    ):
        here, there = project.mirrors.of(HERE, ORIGIN), other.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        source.says("two\n")
        with pytest.raises(Owned, match="mirrored by a on host-a") as error:
            await there.cursor()
        assert 85 < error.value.left <= 92
        await trio.sleep(error.value.left + 1)
        await mirror(there, source)
        assert shown(store) == "one\ntwo\n"
        source.says("three\n")
        with pytest.raises(Owned, match="mirrored by b on host-b"):
            await mirror(here, source)
        assert parts_in(store) == named_parts(store)
        await mirror(there, source)
        assert shown(store) == "one\ntwo\nthree\n"


async def test_a_source_that_was_rewritten_begins_a_generation_and_old_parts_stay(
    tmp_path: Path,
) -> None:
    """A transcript that was truncated or rewritten begins anew; what was stored before stays in
    `parts/`.
    """
    store, source = MemoryStore(), Source(["one\n", "two\n"])
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        before = named_parts(store)
        source.rewrite("uno\n", "dos\n")
        await mirror(here, source)
        assert shown(store) == "uno\ndos\n"
        assert set(before) < set(named_parts(store))
        found = await project.sessions.transcript(HERE)
        parts = await project.sessions.read(found, 0, found.size)
        assert b"".join(parts) == b"uno\ndos\n"
        source.says("tres\n")
        assert await try_to_mirror(project, source) is False  # it is this mount's
        await here.release()
        assert await try_to_mirror(project, source)
        assert shown(store) == "uno\ndos\ntres\n"


async def test_what_a_crash_left_is_deleted_by_the_next_owner(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    async with mounted(store, tmp_path) as project:
        assert await try_to_mirror(project, source)
        store.place(part_key(1, "aaaaaaaa"), b"two\n")
        source.says("two\n")
        assert await try_to_mirror(project, source)
    assert shown(store) == "one\ntwo\n"
    assert parts_in(store) == named_parts(store)


async def test_unknown_outcome_deletes_nothing_and_the_line_is_there_once(tmp_path: Path) -> None:
    for fault in (Fault.ANSWER_LOST, Fault.DELAYED, Fault.BROKEN):
        for key in (META, "*/part-*"):
            store, source = MemoryStore(), Source(["one\n"])
            async with mounted(store, tmp_path) as project:
                here = project.mirrors.of(HERE, ORIGIN)
                await mirror(here, source)
                source.says("two\n")
                store.fail(key, fault, times=10_000)
                if (fault, key) == (Fault.ANSWER_LOST, META):
                    await mirror(here, source)
                else:
                    with pytest.raises(OutcomeUnknown):
                        await mirror(here, source)
                assert store.asked("DELETE") == []
                store._scripts.clear()
                store.deliver()
                await mirror(here, source)
                assert shown(store) == "one\ntwo\n"


async def test_stores_that_do_not_compare_are_refused_with_the_reason(tmp_path: Path) -> None:
    """Where the store replaces without comparing, nothing is mirrored."""
    store = MemoryStore(replace(ALL, replace=False))
    async with mounted(store, tmp_path) as project:
        with pytest.raises(Unsupported, match="without comparing"):
            project.mirrors.of(HERE, ORIGIN)


async def test_meta_that_cannot_be_read_is_never_replaced(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        for body in (b"junk", b'{"parts": [{"seq": 0}]}'):
            store.place(META, body)
            with pytest.raises(Invalid, match="remove it"):
                await mirror(project.mirrors.of(HERE, ORIGIN), Source(["one\n"]))
            assert store.body(META) == body
        with pytest.raises(Invalid):
            project.mirrors.of(Session("x/y", "z"), ORIGIN)


# ending


async def test_who_is_told_to_stop_notices_at_the_next_line(tmp_path: Path) -> None:
    """`tcfs session stop` ends the mirroring of a session; a mirror that is begun later goes on."""
    store, source = MemoryStore(), Source(["one\n"])
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        assert await project.mirrors.stop(HERE)
        assert not await project.mirrors.stop(HERE)
        meta = meta_of(store)
        assert meta is not None
        assert meta.ended_at is not None
        source.says("two\n")
        with pytest.raises(Ended):
            await mirror(here, source)
        assert parts_in(store) == named_parts(store)
        assert await try_to_mirror(project, source)
        assert shown(store) == "one\ntwo\n"
        meta = meta_of(store)
        assert meta is not None
        assert meta.ended_at is None
        with pytest.raises(Missing):
            await project.mirrors.stop(Session("x", "y"))


async def test_that_a_mirror_of_the_reference_ended_ends_no_other(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        known = json.loads(store.body(META) or b"")
        source.says("two\n")
        await mirror(here, source)
        # It read meta before that, and writes it now.
        known["ended_at"] = "2026-03-22T15:00:00+00:00"
        store.place(META, json.dumps(known, indent=2).encode())
        source.says("three\n")
        await mirror(here, source)
        assert shown(store) == source.text
        assert parts_in(store) == named_parts(store)


# merging


async def test_more_parts_than_256_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More parts than 256 are merged, never leaving a gap."""
    monkeypatch.setattr(mirroring_module, "MANY", 3)
    store, source = MemoryStore(), Source()
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        for number in range(20):
            source.says(f"{number}\n")
            await mirror(here, source)
            assert len(named_parts(store)) <= 3
            assert parts_in(store) == named_parts(store)
            assert shown(store) == source.text
    meta = meta_of(store)
    assert meta is not None
    assert meta.parts is not None
    assert sum(it.compacted_from or 1 for it in meta.parts) == 20
    assert meta.parts[0].cursor_range[0] == 0


async def test_merging_on_command_leaves_the_mirror_going(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source([f"{it}\n" for it in range(9)])
    async with (
        mounted(store, tmp_path / "a") as project,
        mounted(store.other(), tmp_path / "b", B) as other,
    ):
        here = project.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        assert await other.mirrors.compact(HERE, keep_tail=2) == (9, 3)
        assert shown(store) == source.text
        assert await other.mirrors.compact(HERE, keep_tail=2) == (3, 3)
        source.says("more\n")
        await mirror(here, source)
        assert shown(store) == source.text
        assert await other.mirrors.compact(HERE) == (4, 1)
        source.rewrite("uno\n")
        await mirror(here, source)
        assert await other.mirrors.compact(HERE) == (2, 2)  # each of its own generation
        assert shown(store) == "uno\n"
        assert parts_in(store) == named_parts(store)


async def test_large_parts_are_not_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tcfs.project._merging.LARGEST", 8)
    monkeypatch.setattr("tcfs.project._merging.LARGE", 4)
    store, source = MemoryStore(), Source(["12345\n", "a\n", "b\n", "123456789\n", "c\n", "d\n"])
    async with mounted(store, tmp_path) as project:
        await mirror(project.mirrors.of(HERE, ORIGIN), source)
        large = [named_parts(store)[it] for it in (0, 3)]
        assert await project.mirrors.compact(HERE) == (6, 4)
        assert set(large) < set(named_parts(store))
    assert shown(store) == source.text


async def test_a_part_that_is_gone_is_not_merged_away(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n", "two\n"])
    async with mounted(store, tmp_path) as project:
        await mirror(project.mirrors.of(HERE, ORIGIN), source)
        first = named_parts(store)[0]
        store.place(first, b"one, and more\n")
        with pytest.raises(Missing, match="not what meta"):
            await project.mirrors.compact(HERE)
        store.remove(first)
        with pytest.raises(Missing, match="is gone"):
            await project.mirrors.compact(HERE)


# the reference


@pytest.mark.parametrize("tail", [0, 1])
async def test_what_the_reference_merged_is_gone_on_with(tmp_path: Path, tail: int) -> None:
    store, source = MemoryStore(), Source(list(LINES))
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        reference_compacts(store, tail)()
        source.says("four\n")
        await mirror(here, source)
        assert shown(store) == source.text
        assert len(named_parts(store)) == 2 + tail
        await here.release()
        reference_compacts(store, tail)()
        source.says("five\n")
        assert await try_to_mirror(project, source)
        assert shown(store) == source.text
        meta = meta_of(store)
        assert meta is not None
        assert meta.generation == 1


async def test_parts_that_the_reference_left_out_as_it_merged_are_added_again(
    tmp_path: Path,
) -> None:
    """It lists, then we flush, and it rewrites meta from what it merged."""
    store, source = MemoryStore(), Source(list(LINES))
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        rest = reference_compacts(store)
        source.says("four\n", "five\n")
        await mirror(here, source)
        kept = named_parts(store)[-2:]
        rest()
        assert shown(store) == "one\ntwo\nthree\n"
        source.says("six\n")
        await mirror(here, source)
        assert shown(store) == source.text
        assert set(kept) < set(named_parts(store))
        meta = meta_of(store)
        assert meta is not None
        assert meta.generation == 1


async def test_what_the_reference_left_out_begins_a_generation_for_who_did_not_see_it(
    tmp_path: Path,
) -> None:
    store, source = MemoryStore(), Source(list(LINES))
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        rest = reference_compacts(store)
        source.says("four\n")
        await mirror(here, source)
        await here.release()
        rest()
        assert await try_to_mirror(project, source)
        assert shown(store) == source.text
        meta = meta_of(store)
        assert meta is not None
        assert meta.generation == 2


@pytest.mark.parametrize("same_mirror", [True, False])
async def test_an_orphan_that_the_reference_merged_is_shown_once(
    tmp_path: Path, same_mirror: bool
) -> None:
    store, source = MemoryStore(), Source(list(LINES))
    store.tell_time()
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        store.place(part_key(2, "ffffffff"), b"an orphan\n")
        reference_compacts(store)()
        assert "an orphan" in shown(store)
        source.says("four\n")
        if same_mirror:
            await mirror(here, source)
        else:
            await trio.sleep(200)
            assert await try_to_mirror(project, source)
        assert shown(store) == source.text


async def test_a_session_that_the_reference_began_is_gone_on_with(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(["one\n"])
    reference_mirrors(store, 0, "one\n", "aaaaaaaa")
    source.says("two\n")
    reference_mirrors(store, 4, "two\n", "bbbbbbbb")
    before = named_parts(store)
    source.says("three\n")
    async with mounted(store, tmp_path) as project:
        assert await try_to_mirror(project, source)
    assert shown(store) == source.text
    assert named_parts(store)[:2] == before
    meta = meta_of(store)
    assert meta is not None
    assert meta.parts is not None
    assert [it.generation for it in meta.parts] == [1, 1, 1]


async def test_what_both_mirrored_at_once_begins_a_generation(tmp_path: Path) -> None:
    store, source = MemoryStore(), Source(list(LINES))
    async with mounted(store, tmp_path) as project:
        here = project.mirrors.of(HERE, ORIGIN)
        await mirror(here, source)
        reference_mirrors(store, 0, source.text, "aaaaaaaa")
        source.says("four\n")
        await mirror(here, source)
        assert shown(store) == source.text
        reference_mirrors(store, 14, "four\n", "bbbbbbbb")
        source.says("five\n")
        assert await try_to_mirror(project, source)
        assert shown(store) == source.text


async def test_what_the_reference_has_twice_begins_a_generation(tmp_path: Path) -> None:
    """Its place is in a local file: without that it begins at 0."""
    store, source = MemoryStore(), Source(["one\n"])
    reference_mirrors(store, 0, "one\n", "aaaaaaaa")
    source.says("two\n")
    reference_mirrors(store, 0, "one\ntwo\n", "bbbbbbbb")
    async with mounted(store, tmp_path) as project:
        assert await try_to_mirror(project, source)
    assert shown(store) == source.text
