"""Which parts make a transcript, and what it costs to know."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tcfs.project import sessions as sessions_module
from tcfs.project.errors import Missing
from tcfs.project.sessions import Gone, Session, Sessions, Totals, Transcript
from tcfs.stores import Denied, Entry, ETag, Object
from tcfs.wire import keys
from tests.memory_store import MemoryStore
from tests.project.mirrored import AT, HERE, mirror, named, part_key, write_meta
from tests.project.parties import mounted

pytestmark = pytest.mark.usefixtures("autojump_clock")

META = keys.session_meta(*HERE)
FOLDER = keys.session(*HERE)


@asynccontextmanager
async def seen(store: MemoryStore, state: Path) -> AsyncIterator[Sessions]:
    """Yield the sessions of a mount that has asked for nothing yet."""
    async with mounted(store, state) as project:
        store.requests.clear()
        yield project.sessions


async def whole(sessions: Sessions, session: Session = HERE) -> str:
    transcript = await sessions.transcript(session)
    return b"".join(await sessions.read(transcript, 0, transcript.size)).decode()


async def test_transcript_is_the_parts_that_meta_names_in_their_order(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n", "two\n", "three\n")
    store.place(part_key(1, "aaaaaaaa"), b"twice\n")
    store.place(part_key(7), b"not named\n")
    async with seen(store, tmp_path) as sessions:
        assert await whole(sessions) == "one\ntwo\nthree\n"


async def test_order_is_by_number_past_five_digits(tmp_path: Path) -> None:
    store = MemoryStore()
    for seq in (99_999, 100_000):
        store.place(part_key(seq), f"{seq}\n".encode())
    async with seen(store, tmp_path) as sessions:
        assert await whole(sessions) == "99999\n100000\n"
        write_meta(store, [named(99_999)])
        assert await whole(sessions) == "99999\n"
        write_meta(store, [named(99_999), named(100_000)])
        assert await whole(sessions) == "99999\n100000\n"


@pytest.mark.parametrize("meta", [None, b"junk", b"[]", b"{}", b'{"parts": [{"seq": 0}]}'])
async def test_without_meta_that_can_be_followed_the_listing_is(
    tmp_path: Path, meta: bytes | None
) -> None:
    store = MemoryStore()
    for seq, text in enumerate(("one\n", "two\n")):
        store.place(part_key(seq), text.encode())
    if meta is not None:
        store.place(META, meta)
    async with seen(store, tmp_path) as sessions:
        assert await whole(sessions) == "one\ntwo\n"
        store.place(part_key(2), b"three\n")
        assert await whole(sessions) == "one\ntwo\nthree\n"


async def test_foreign_objects_are_no_part(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place(part_key(0), b"one\n")
    for junk in ("junk.txt", "part-junk.jsonl", "part-00001-XXXXXXXX.jsonl", "transcript.jsonl"):
        store.place(f"{FOLDER}{junk}", b"junk\n")
    store.place(f"{FOLDER}sub/part-00001-0123abcd.jsonl", b"junk\n")
    async with seen(store, tmp_path) as sessions:
        assert await whole(sessions) == "one\n"
        assert [it.key for it in await sessions.parts(HERE)] == [part_key(0)]


async def test_a_part_of_ours_is_read_once_meta_names_it(tmp_path: Path) -> None:
    store = MemoryStore()
    write_meta(store, [], nonce="n1")
    store.place(part_key(0), b"an orphan of a crash\n")
    async with seen(store, tmp_path) as sessions:
        assert await whole(sessions) == ""
        write_meta(store, [named(0)], nonce="n2")
        assert await whole(sessions) == "an orphan of a crash\n"


async def test_newest_generation_is_the_transcript(tmp_path: Path) -> None:
    store = MemoryStore()
    for seq, text in enumerate(("old\n", "older tail\n", "new\n")):
        store.place(part_key(seq), text.encode())
    parts = [named(0, generation=0), named(1, generation=0), named(2, generation=1)]
    async with seen(store, tmp_path) as sessions:
        write_meta(store, parts[:2], nonce="n1", generation=0)
        assert await whole(sessions) == "old\nolder tail\n"
        write_meta(store, parts, nonce="n2", generation=1)
        assert await whole(sessions) == "new\n"


async def test_a_lost_part_of_the_reference_is_looked_for_in_the_listing(tmp_path: Path) -> None:
    """Its compaction, while another mirrors, can name a part that went into the merged one."""
    store = MemoryStore()
    store.place(part_key(0, "e187b609"), b"one\ntwo\n")
    write_meta(store, [named(0, "e187b609", compacted_from=2), named(1)])
    async with seen(store, tmp_path) as sessions:
        assert await whole(sessions) == "one\ntwo\n"
        store.place(part_key(2), b"three\n")
        assert await whole(sessions) == "one\ntwo\nthree\n"


async def test_a_lost_part_of_ours_is_left_out(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n", "two\n", "three\n", nonce="n1")
    store.place(part_key(1, "aaaaaaaa"), b"not named\n")
    store.remove(part_key(1))
    async with seen(store, tmp_path) as sessions:
        assert await whole(sessions) == "one\nthree\n"
        store.place(part_key(1), b"two\n")
        assert await whole(sessions) == "one\ntwo\nthree\n"


@pytest.mark.parametrize("verb", ["GET", "LIST", "RANGE"])
@pytest.mark.parametrize("known", [False, True])
async def test_compaction_while_it_is_read_is_not_a_loss(
    tmp_path: Path, verb: str, known: bool
) -> None:
    store = MemoryStore()
    mirror(store, "one\n", nonce="n1")

    async def compact() -> None:
        store.place(part_key(0, "aaaaaaaa"), b"one\ntwo\n")
        write_meta(store, [named(0, "aaaaaaaa", compacted_from=2)], nonce="n3")
        store.remove(part_key(0))
        store.remove(part_key(1))

    async with seen(store, tmp_path) as sessions:
        if known:
            await sessions.transcript(HERE)
        mirror(store, "two\n", since=1, nonce="n2")
        store.before(verb, f"{FOLDER}*", compact)
        try:
            text = await whole(sessions)
        except Gone:
            sessions.forget(HERE)
            text = await whole(sessions)
        assert text == "one\ntwo\n"


async def test_a_part_that_came_between_the_listing_and_meta_is_read(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n", nonce="n1")

    async def grow() -> None:
        mirror(store, "two\n", since=1, nonce="n2")

    store.after("LIST", FOLDER, grow)
    async with seen(store, tmp_path) as sessions:
        assert await whole(sessions) in ("one\n", "one\ntwo\n")
        assert await whole(sessions) == "one\ntwo\n"


async def test_what_is_asked_for(tmp_path: Path) -> None:
    """One get and one listing at first; one get while nothing changes; a short listing then."""
    store = MemoryStore(page=100)
    mirror(store, *(f"{it}\n" for it in range(300)))
    async with seen(store, tmp_path) as sessions:
        await sessions.transcript(HERE)
        assert store.asked("GET") == [META]
        assert store.asked("LIST") == [FOLDER] * 4  # its pages
        store.requests.clear()
        await sessions.transcript(HERE)
        assert store.requests == [("GET", META)]
        store.requests.clear()
        mirror(store, "more\n", since=300)
        transcript = await sessions.transcript(HERE)
        assert store.requests == [("GET", META), ("LIST", FOLDER)]
        store.requests.clear()
        await sessions.transcript(HERE, max_age=1.0)
        assert store.requests == []
        assert b"".join(await sessions.read(transcript, transcript.size - 7, 100)) == b"9\nmore\n"
        assert sorted(store.requests) == [("RANGE", part_key(299)), ("RANGE", part_key(300))]


async def test_a_range_asks_for_no_more_than_it_holds(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "", "one\n", "", "two\n", "three\n", "")
    text = b"one\ntwo\nthree\n"
    async with seen(store, tmp_path) as sessions:
        transcript = await sessions.transcript(HERE)
        for offset in range(len(text) + 2):
            for size in range(1, len(text) + 2):
                store.requests.clear()
                expected = text[offset : offset + size]
                assert b"".join(await sessions.read(transcript, offset, size)) == expected
                assert len(store.requests) <= 3
        assert b"".join(await sessions.read(transcript, 0, 0)) == b""
        store.requests.clear()
        assert b"".join(await sessions.read(transcript, 5, 2)) == b"wo"
        assert store.requests == [("RANGE", part_key(3))]


async def test_a_part_gone_is_said(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n", "two\n")
    async with seen(store, tmp_path) as sessions:
        transcript = await sessions.transcript(HERE)
        store.remove(part_key(1))
        with pytest.raises(Gone):
            await sessions.read(transcript, 0, 8)
        assert b"".join(await sessions.read(transcript, 0, 4)) == b"one\n"
        store.place(part_key(1), b"tw")
        with pytest.raises(Gone):
            await sessions.read(transcript, 0, 8)


async def test_what_one_reader_forgets_another_may_be_asking_for(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n")
    async with seen(store, tmp_path) as sessions:
        await sessions.transcript(HERE)

        async def forget() -> None:
            sessions.forget(HERE)

        store.before("GET", META, forget)
        assert await whole(sessions) == "one\n"


async def test_an_error_of_the_store_is_raised_as_it_is(tmp_path: Path) -> None:
    store = MemoryStore()
    mirror(store, "one\n", "two\n")

    async def denied() -> None:
        raise Denied("no")

    async with seen(store, tmp_path) as sessions:
        transcript = await sessions.transcript(HERE)
        store.before("RANGE", part_key(1), denied)
        with pytest.raises(Denied):
            await sessions.read(transcript, 0, 8)


async def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    store = MemoryStore()
    store.place("sessions/codex/odd/junk", b"")
    odd = Session("codex", "odd")
    async with seen(store, tmp_path) as sessions:
        assert await sessions.has(odd)
        assert not await sessions.has(HERE)
        assert not await sessions.has(Session("codex", "a\udcff"))
        assert not await sessions.has_harness("..")
        for session in (HERE, odd):
            with pytest.raises(Missing):
                await sessions.transcript(session)
            with pytest.raises(Missing):
                await sessions.meta(session)
        mirror(store, "one\n")
        assert await whole(sessions) == "one\n"
        store.remove(META)
        store.remove(part_key(0))
        with pytest.raises(Missing):
            await sessions.transcript(HERE)


async def test_listing_is_a_request_a_level(tmp_path: Path) -> None:
    store = MemoryStore()
    for harness in ("claude-code", "codex"):
        for number in range(3):
            mirror(store, "x\n", session=Session(harness, f"s{number}"))
    store.place("sessions/a\nb/s/meta.json", b"{}")
    store.place("sessions/plain", b"")
    async with seen(store, tmp_path) as sessions:
        assert await sessions.harnesses() == ["claude-code", "codex"]
        assert await sessions.of("codex") == ["s0", "s1", "s2"]
        assert store.requests == [("LIST", "sessions/"), ("LIST", "sessions/codex/")]


async def test_totals_are_one_listing_and_the_metas_that_changed(tmp_path: Path) -> None:
    store = MemoryStore()
    async with seen(store, tmp_path) as sessions:
        assert await sessions.totals() == Totals(0, 0, None)
        mirror(store, "one\n", total_uploaded_bytes=40)
        mirror(store, "x\n", session=Session("codex", "b"), total_uploaded_bytes=2)
        store.place("sessions/codex/odd/junk", b"")
        store.place("sessions/codex/part-00000-0123abcd.jsonl", b"no session's")
        assert await sessions.totals() == Totals(2, 42, AT)
        store.requests.clear()
        mirror(store, "y\n", session=Session("codex", "b"), total_uploaded_bytes=4)
        assert await sessions.totals() == Totals(2, 44, AT)
        assert store.requests == [
            ("LIST", "sessions/"),
            ("GET", keys.session_meta("codex", "b")),
        ]
        # Of a session without meta the parts count.
        store.place(part_key(0, session=Session("codex", "bare")), b"four")
        store.place(keys.session_meta("codex", "b"), b"junk")
        assert (await sessions.totals()).uploaded_bytes == 40 + 4 + 2
        assert (await sessions.totals()).count == 3


def test_ends_of_parts() -> None:
    sizes = (0, 4, 0, 2, 0)
    transcript = Transcript([Entry(str(n), ETag(""), size, n) for n, size in enumerate(sizes)])
    assert transcript.size == 6
    assert transcript.modified == 4
    assert [transcript.cut(1, it) for it in range(2, 8)] == [2, 3, 4, 4, 6, 6]
    assert [transcript.cut(4, it) for it in range(5, 8)] == [5, 6, 6]
    assert Transcript([], modified=7).modified == 7
    assert Transcript([]).size == 0


async def test_totals_hold_some_metas_at_once_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    for number in range(5):
        mirror(store, "x\n", session=Session("codex", f"s{number}"), total_uploaded_bytes=2)
    store.place(part_key(0, session=Session("codex", "bare")), b"four")
    monkeypatch.setattr(sessions_module, "MEASURED", 2)
    held: list[int] = []
    async with mounted(store, tmp_path) as project:
        ask = project.documents.read_many

        async def counted(entries: Iterable[Entry]) -> dict[str, Object]:
            found = await ask(entries)
            held.append(len(found))
            return found

        monkeypatch.setattr(project.documents, "read_many", counted)
        assert await project.sessions.totals() == Totals(6, 14, AT)
    assert sum(held) == 5
    assert max(held) <= 2
