"""What must hold of every parser of the wire, whatever the bytes: for hypothesis, and for atheris.

Each target takes bytes that somebody put into the bucket, or a name that somebody gave. It returns
where they are a value, or are refused by the error that the parser declares. Whatever else comes
of them, another exception or a value that does not survive being written, is a bug.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from tcfs.wire import InvalidName, Malformed, handoff, ids, json, keys, mail, times
from tcfs.wire.cursor import Cursor
from tcfs.wire.documents import After, Agent, Claim, Handoff, State, Status
from tcfs.wire.locks import Lock
from tcfs.wire.mail import Message
from tcfs.wire.memory import MemoryValue, split_newline
from tcfs.wire.sessions import Owner, SessionMeta
from tcfs.wire.text import escaped, on_one_line

DOCUMENTS: Final[tuple[Any, ...]] = (
    *(After, Agent, Claim, Handoff, Lock, MemoryValue, Message, SessionMeta, Status),
)
AGENT: Final = ids.agent_id("tester")
# What turns the order of a line's letters, so that it reads as another; and ends of lines.
TURNING: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"
)


def _document(kind: Any) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        try:
            found = kind.parse(data)
        except Malformed:
            return
        written = kind.parse(found.encode())
        assert written == _as_written(found)
        assert kind.parse(written.encode()) == written
        _shown(found)

    return check


def _as_written(found: Any) -> Any:
    match found:
        case Status():  # only who leaves the member `claim` out is foreign, and we do not
            return replace(found, foreign=False)
        case Agent():  # the reference wants a text
            return replace(found, summary=found.summary or "")
        case _:
            return found


def _shown(found: Any) -> None:
    """Do what is done to show a document."""
    match found:
        case MemoryValue():
            assert found.content().decode().endswith("\n") == found.newline or not found.newline
        case Message():
            line = found.line(broadcast=False)
            assert line.endswith("\n")
            _harmless(line)
            _harmless(found.letter())
        case Handoff():
            handoff.show(found)
        case Claim() | Lock() if found.lease is not None:
            times.iso(found.lease.seconds * 1_000_000_000)
            # The next claimant's: never a lower one, and it can be written.
            following = replace(found, generation=found.generation + 1)
            assert type(found).parse(following.encode()).generation >= found.generation
        case SessionMeta():
            found.newest()
            Owner.of(found.owner)


def _harmless(text: str) -> None:
    commands = [it for it in text if it not in "\t\n" and (ids.is_control(it) or it in TURNING)]
    assert not commands, text


def _cursor(data: bytes) -> None:
    found = Cursor.parse(data, AGENT)
    again = Cursor.parse(found.encode("2026-01-01T00:00:00+00:00"), AGENT)
    assert again == found
    found.merged(again).encode("")
    stream = found.direct
    stream.is_new("messages/tester/1700000000000000000_x_00000000.json")
    stream.after(stream.seen, ids.Mailbox(AGENT), 1_700_000_000_000_000_000)


def _json(data: bytes) -> None:
    try:
        value = json.load(data)
    except Malformed:
        return
    assert json.load(json.dump(value)) == value
    assert json.load(json.dump_line(value).encode()) == value
    assert json.load(json.view(value)) == value
    _harmless(json.view(value).decode())
    line = json.view_line(value)
    assert json.load(line.encode()) == value
    _harmless(line)
    assert "\n" not in line


def _text(check: Callable[[str], None]) -> Callable[[bytes], None]:
    # As the kernel hands over a name: what is no UTF-8 is there as lone surrogates.
    return lambda data: check(data.decode(errors="surrogateescape"))


def _ids(name: str) -> None:
    for make, key in (
        (ids.agent_id, keys.agent),
        (ids.lock_id, keys.lock),
        (ids.step_id, keys.claim),
        (ids.mailbox, keys.mail),
    ):
        try:
            made = make(name)
        except InvalidName:
            continue
        assert 0 < len(made.encode()) <= ids.MAX_ID
        _stays_below(key(made), 3)
        assert make(made) == made
    with suppress(InvalidName):
        step = ids.step_id(name)
        assert keys.step_of(keys.claim(step)) == step
    with suppress(InvalidName):
        lock = ids.lock_id(name)
        assert keys.lock_of(keys.lock(lock)) == (None if lock.endswith(".json") else lock)


def _memory(name: str) -> None:
    try:
        checked = keys.memory_name(name)
    except InvalidName:
        return
    key = keys.memory(checked)
    _stays_below(key, None)
    assert keys.memory_of(key) == checked
    _stays_below(keys.history(checked), None)


def _stays_below(key: str, parts: int | None) -> None:
    """Check that a key is below the project for whoever takes it for a path, on any system."""
    names = key.rstrip("/").replace("\\", "/").split("/")
    assert not {".."}.intersection(names) or "\\" in key, key  # see tcfs.stores.s3
    assert "" not in key.rstrip("/").split("/"), key
    assert not ids.is_control(key)
    assert parts is None or len(key.rstrip("/").split("/")) <= parts


def _keys(key: str) -> None:
    for prefix in ("", keys.STEPS, keys.LOCKS, keys.MEMORY, keys.MESSAGES):
        step, lock, memory = (
            keys.step_of(prefix + key),
            keys.lock_of(prefix + key),
            keys.memory_of(prefix + key),
        )
        assert step is None or (prefix + key).startswith(keys.step(ids.step_id(step)))
        assert lock is None or keys.lock(lock) == prefix + key
        assert memory is None or keys.memory(memory) == prefix + key
    leaf = keys.append_leaf(key)
    if leaf is not None:
        times.iso(leaf.time_ns)
    part = keys.part_leaf(key)
    assert part is None or str(part) == key
    if keys.is_session_name(key):
        _stays_below(keys.session_meta("claude-code", key), 4)


def _letters(content: str) -> None:
    step, text = mail.parse_text(content)
    assert step is None or (step.strip() and "\n" not in step)
    assert text in content
    said = handoff.parse_text(content)
    shown = handoff.show(
        Handoff(
            from_agent="a",
            from_step="s",
            note=said.note,
            next_agent=said.next_agent,
            next_action=said.next_action,
        )
    )
    # Without a note or a header that says something, what is shown may itself be a header.
    again = handoff.parse_text(shown)
    if said.next_agent or said.next_action:
        assert again[:3] == said[:3]
    _harmless(escaped(content))
    _harmless(on_one_line(content))
    assert "\n" not in on_one_line(content)
    State.parse(content)
    when = times.nanoseconds(content)
    assert when is None or times.nanoseconds(times.iso(when)) == when // 1000 * 1000


def _value(data: bytes) -> None:
    try:
        value, newline = split_newline(data)
    except Malformed:
        return
    assert MemoryValue(value=value, newline=newline, set_by="a").content() == data


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = MappingProxyType(
    {kind.__name__.lower(): _document(kind) for kind in DOCUMENTS}
    | {
        "cursor": _cursor,
        "json": _json,
        "ids": _text(_ids),
        "memory_name": _text(_memory),
        "keys": _text(_keys),
        "letters": _text(_letters),
        "value": _value,
    }
)
"""What is fuzzed, by name."""
