"""Memory: values, versions and appends (protocol.md, memory)."""

import json
from pathlib import Path

import pytest
import trio
import trio.testing

from tcfs.project.errors import Exists, Invalid, Missing, TooLarge
from tcfs.project.memory import MAX_VALUE, RECENT
from tcfs.stores import Conflict, OutcomeUnknown, Unavailable
from tcfs.stores.deadline import within
from tcfs.wire import Malformed
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import A, B, mounted, place, present

pytestmark = pytest.mark.usefixtures("autojump_clock")

KEY = "memory/a/b.json"


def versions(store: MemoryStore) -> list[object]:
    found = [json.loads(store.body(key) or b"") for key in store.stored() if "_history" in key]
    return [it["value"] for it in found]


async def test_set_keeps_the_version_before_the_value(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.memory.set("a.b", A, b"one\n")
        writes = store.asked("PUT")
        assert writes[0].startswith("memory/_history/a/b/")
        assert writes[1:] == [KEY]
        assert (await project.memory.read("a.b")).content == b"one\n"
    value, version = present(store, KEY), present(store, writes[0])
    assert (value["value"], value["set_by"]) == ("one", "a")
    assert "newline" not in value
    assert (version["key"], version["value"]) == ("a.b", "one")
    assert "recent" not in version


async def test_value_without_final_newline_says_so(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.memory.set("a.b", A, b"one")
        assert present(store, KEY)["newline"] is False
        assert (await project.memory.read("a.b")).content == b"one"


async def test_value_is_not_written_when_its_version_cannot_be(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        store.fail("memory/_history/*", Fault.REFUSED)
        with pytest.raises(Unavailable):
            await project.memory.set("a.b", A, b"one\n")
    assert store.stored() == []


async def test_version_that_is_not_taken_at_once_comes_after_the_value(tmp_path: Path) -> None:
    """A version that follows its value is tried again for half a minute."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        store.fail("memory/_history/*", Fault.REFUSED)
        await project.memory.create("k", A, b"one\n")
        store.fail("memory/_history/*", Fault.ANSWER_LOST)
        await project.memory.append("k", A, b"two\n")
    assert versions(store) == ["one", "one\ntwo"], "each once"


async def test_create_is_for_keys_without_a_value(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.memory.create("a.b", A, b"mine\n")
        with pytest.raises(Exists, match="set by a; > replaces it"):
            await project.memory.create("a.b", B, b"mine\n")
        store.fail("memory/c.json", Fault.ANSWER_LOST)
        await project.memory.create("c", A, b"mine\n")
    assert versions(store) == ["mine", "mine"]


async def test_append_adds_to_whatever_is_there(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.memory.append("a.b", A, b"one\n")
        await project.memory.append("a.b", B, b"two")
        await project.memory.append("a.b", A, b" three\n")
        assert (await project.memory.read("a.b")).content == b"one\ntwo three\n"
    assert versions(store) == ["one", "one\ntwo", "one\ntwo three"]


async def test_appending_nothing_changes_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.memory.set("a.b", A, b"one\n")
        writes = len(store.asked("PUT"))
        await project.memory.append("a.b", A, b"")
        assert len(store.asked("PUT")) == writes
        await project.memory.append("new", A, b"")
        assert (await project.memory.read("new")).content == b""


async def test_value_that_is_no_text_is_read_and_added_to_as_json(tmp_path: Path) -> None:
    store = MemoryStore()
    place(store, KEY, value={"n": [1, None]}, set_by="r", colour="red")
    async with mounted(store, tmp_path) as project:
        assert (await project.memory.read("a.b")).content == b'{"n":[1,null]}\n'
        await project.memory.append("a.b", A, b"more\n")
        assert (await project.memory.read("a.b")).content == b'{"n":[1,null]}\nmore\n'
    assert present(store, KEY)["colour"] == "red"


@pytest.mark.parametrize(
    "fault", [Fault.ANSWER_LOST, Fault.DELAYED, Fault.REFUSED, Fault.CONFLICT, Fault.BROKEN]
)
@pytest.mark.parametrize("begun", [False, True], ids=["new", "added"])
async def test_append_whose_answer_is_lost_is_not_doubled(
    tmp_path: Path, fault: Fault, begun: bool
) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        if begun:
            await project.memory.set("a.b", A, b"base\n")
        store.fail(KEY, fault)
        await project.memory.append("a.b", A, b"line\n")
        store.deliver()
        await project.memory.append("a.b", A, b"last\n")
        base = b"base\n" if begun else b""
        assert (await project.memory.read("a.b")).content == base + b"line\nlast\n"


async def test_append_overtaken_by_another_of_ours_finds_itself_in_recent(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "a") as one, mounted(store.other(), tmp_path / "b") as two:
        await one.memory.set("a.b", A, b"base\n")
        store.fail(KEY, Fault.ANSWER_LOST)

        async def overtake() -> None:
            await two.memory.append("a.b", B, b"theirs\n")

        store.before("GET", KEY, overtake)
        await one.memory.append("a.b", A, b"mine\n")
        assert (await two.memory.read("a.b")).content == b"base\nmine\ntheirs\n"


async def test_append_overtaken_before_it_landed_is_tried_again(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "a") as one, mounted(store.other(), tmp_path / "b") as two:
        await one.memory.set("a.b", A, b"base\n")
        store.fail(KEY, Fault.DELAYED)

        async def overtake() -> None:
            await two.memory.append("a.b", B, b"theirs\n")

        store.before("GET", KEY, overtake)
        await one.memory.append("a.b", A, b"mine\n")
        store.deliver()
        assert (await two.memory.read("a.b")).content == b"base\ntheirs\nmine\n"


async def test_append_whose_base_the_reference_overwrote_is_unknown(tmp_path: Path) -> None:
    """An append of unknown outcome that another tool wrote over is EIO, and is not tried again.

    It keeps no `recent`: whether the line was there for a moment cannot be told.
    """
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.memory.set("a.b", A, b"base\n")

        async def overwrite() -> None:
            place(store, KEY, value="base\nline", set_by="r", set_at="2026-03-22T15:00:00+00:00")

        store.fail(KEY, Fault.ANSWER_LOST)
        store.before("GET", KEY, overwrite)
        with pytest.raises(OutcomeUnknown, match="read it, and add again what is missing"):
            await project.memory.append("a.b", A, b"line\n")
        assert (await project.memory.read("a.b")).content == b"base\nline\n"


async def test_append_the_reference_overwrote_before_it_was_sent_is_tried_again(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.memory.set("a.b", A, b"base\n")

        async def overwrite() -> None:
            place(store, KEY, value="theirs", set_by="r")

        store.before("PUT", KEY, overwrite)
        await project.memory.append("a.b", A, b"line\n")
        assert (await project.memory.read("a.b")).content == b"theirs\nline\n"


async def test_recent_is_kept_through_sets_and_pruned_with_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        now = 1_800_000_000 * 10**9
        monkeypatch.setattr(project.clock, "now", lambda: now)
        await project.memory.append("a.b", A, b"one\n")
        first = present(store, KEY)["nonce"]
        await project.memory.set("a.b", A, b"two\n")
        recent = [nonce for nonce, _ in present(store, KEY)["recent"]]
        assert recent == [first, present(store, KEY)["nonce"]]
        now += int(RECENT) * 10**9
        await project.memory.set("a.b", A, b"three\n")
        assert len(present(store, KEY)["recent"]) == 3, "two deadlines are not over"
        now += 10**9
        await project.memory.set("a.b", A, b"four\n")
        assert first not in str(present(store, KEY)["recent"])
        for _ in range(50):
            now += 30 * 10**9
            await project.memory.append("a.b", A, b"x\n")
        assert len(present(store, KEY)["recent"]) <= 3


async def test_concurrent_appenders_lose_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    lines = {f"{who} {number}" for who in range(16) for number in range(3)}
    async with trio.open_nursery() as nursery:

        async def appender(who: int) -> None:
            async with mounted(store.other(), tmp_path / str(who)) as project:
                for number in range(3):
                    await project.memory.append("a.b", A, f"{who} {number}\n".encode())

        for who in range(16):
            nursery.start_soon(appender, who)
    content = present(store, KEY)["value"].split("\n")
    assert sorted(content) == sorted(lines)


async def test_appends_of_one_mount_go_together(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        for number in range(16):
            nursery.start_soon(project.memory.append, "a.b", A, f"{number}\n".encode())
    assert len(store.asked("PUT")) == 2, "one value, and one version of it"
    lines = present(store, KEY)["value"].split("\n")
    assert sorted(lines, key=int) == [str(number) for number in range(16)]


async def test_appends_of_two_agents_are_each_set_by_its_own(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        for agent in (A, A, B, B):
            nursery.start_soon(project.memory.append, "a.b", agent, f"{agent}\n".encode())
    kept = [present(store, key) for key in sorted(store.stored()) if "/_history/" in key]
    assert {it["set_by"] for it in kept} == {A, B}
    before = ""
    for version in kept:
        added = version["value"].removeprefix(before).split()
        assert set(added) == {version["set_by"]}
        before = version["value"]


async def test_what_is_refused_of_several_appends_is_told_to_its_own_caller(tmp_path: Path) -> None:
    store = MemoryStore()
    told: dict[int, type[Exception]] = {}

    async with mounted(store, tmp_path) as project:

        async def append(number: int, content: bytes) -> None:
            try:
                await project.memory.append("a.b", A, content)
            except Exception as error:
                told[number] = type(error)

        async with trio.open_nursery() as nursery:
            for number, content in enumerate((b"0\n", b"\xff", b"2\n", b"x" * (MAX_VALUE + 1))):
                nursery.start_soon(append, number, content)
    assert told == {1: Invalid, 3: TooLarge}
    assert sorted(present(store, KEY)["value"].split("\n")) == ["0", "2"]


async def test_limits(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.memory.set("a.b", A, b"x" * MAX_VALUE)
        with pytest.raises(TooLarge, match="artifacts/"):
            await project.memory.append("a.b", A, b"x")
        with pytest.raises(TooLarge):
            await project.memory.set("a.b", A, b"x" * (MAX_VALUE + 1))
        with pytest.raises(Invalid, match="UTF-8"):
            await project.memory.set("a.b", A, b"\xff")
        assert (await project.memory.read("a.b")).content == b"x" * MAX_VALUE


async def test_deleted_value_keeps_its_versions(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.memory.set("a.b", A, b"one\n")
        await project.memory.delete("a.b")
        with pytest.raises(Missing, match="ls memory"):
            await project.memory.read("a.b", max_age=1.0)
        assert len(await project.memory.versions("a.b")) == 1
        await project.memory.delete("a.b")


async def test_delete_is_seen_at_once_whatever_was_read_meanwhile(tmp_path: Path) -> None:
    """A read that began before the delete and is answered after it changes nothing."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        await project.memory.set("a.b", A, b"one\n")
        await trio.sleep(1)
        hold, reached = trio.Event(), trio.Event()

        async def slow() -> None:
            reached.set()
            await hold.wait()

        store.after("GET", KEY, slow)
        nursery.start_soon(project.memory.read, "a.b")
        await reached.wait()
        await trio.sleep(0.01)
        await project.memory.delete("a.b")
        hold.set()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Missing):
            await project.memory.read("a.b", max_age=0.05)


async def test_listing_shows_what_can_be_read_and_names_only_keys(tmp_path: Path) -> None:
    store = MemoryStore()
    deep = b'{"value": ' + b"[" * 300 + b"]" * 300 + b"}"
    for key, body in {
        "memory/good.json": b'{"value": "v"}',
        "memory/deep.json": deep,
        "memory/not/json.json": b"{",
        "memory/no-value.json": b"{}",
        "memory/foreign.txt": b"",
        "memory/dotted.name.json": b'{"value": 1}',
        "memory/_history/good/1742655600000000000_a_0123abcd.json": b'{"value": "v"}',
    }.items():
        store.place(key, body)
    async with mounted(store, tmp_path) as project:
        listed = await project.memory.list()
        assert [key for key, _ in listed] == ["deep", "good", "no-value", "not.json"]
        values = await project.memory.values([entry for _, entry in listed])
        assert list(values) == ["memory/good.json"]
        for name in ("deep", "not.json", "no-value"):
            with pytest.raises(Malformed):
                await project.memory.read(name)
            await project.memory.set(name, A, b"new\n")
            assert (await project.memory.read(name)).content == b"new\n"


async def test_errors_of_many_reads_at_once_are_plain_ones(tmp_path: Path) -> None:
    store = MemoryStore()
    for number in range(10):
        place(store, f"memory/{number}.json", value="v")

    async def fail() -> None:
        raise Unavailable("not now")

    async with mounted(store, tmp_path) as project:
        listed = await project.memory.list()
        for _ in range(3):
            store.before("GET", "memory/*", fail)
        with pytest.raises(Unavailable, match="not now"):
            await project.memory.values([entry for _, entry in listed])


async def test_append_gives_up_at_its_deadline(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        store.fail(KEY, Fault.CONFLICT, times=100_000)
        with pytest.raises((Unavailable, Conflict)), within(5):
            await project.memory.append("a.b", A, b"line\n")
        assert trio.current_time() < 1000
    assert store.body(KEY) is None
