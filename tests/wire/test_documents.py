"""Documents keep what they do not know, and read all that the reference ever wrote."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcfs.wire import Malformed
from tcfs.wire import json as wire_json
from tcfs.wire.documents import Agent, Claim, Handoff, Lease, State, Status
from tcfs.wire.mail import Message
from tcfs.wire.memory import MemoryValue

AT = "2026-03-22T15:00:00.123456+00:00"
KINDS: list[Any] = [Claim, Status, Handoff, Agent, Message, MemoryValue]

texts = st.text(st.characters(codec="utf-8"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
strange = st.dictionaries(texts.map(lambda it: "x-" + it), values, max_size=4)
words = st.none() | texts.filter(bool)
states = st.sampled_from(State)


@given(
    st.builds(
        Claim, agent=texts.filter(bool), claimed_at=words, id=words, nonce=words,
        generation=st.integers(0, 2**40), host=words, mount=words, result=st.none() | states,
        lease=st.none() | st.builds(Lease, st.integers(0, 10**6), texts), released=st.booleans(),
        extra=strange,
    ),
    st.integers(1, 5),
)  # fmt: skip
def test_claim_round_trips(claim: Claim, attempt: int) -> None:
    assert Claim.parse(claim.encode(attempt)) == claim


@given(
    st.builds(
        Status, state=states, agent=texts.filter(bool), started_at=words, completed_at=words,
        claim=words, generation=st.integers(0, 2**40), nonce=words, note=words, extra=strange,
    ),
    st.integers(1, 5),
)  # fmt: skip
def test_status_round_trips(status: Status, attempt: int) -> None:
    assert Status.parse(status.encode(attempt)) == status


@given(
    st.builds(
        Handoff, from_agent=texts.filter(bool), from_step=texts, next_agent=words, state=words,
        next_action=words, note=texts, created_at=words, claim=words,
        generation=st.integers(0, 2**40), nonce=words, extra=strange,
    ),
)  # fmt: skip
def test_handoff_round_trips(handoff: Handoff) -> None:
    assert Handoff.parse(handoff.encode()) == handoff


@given(
    st.builds(
        Agent, id=texts.filter(bool), status=texts.filter(bool), step=words, started_at=words,
        heartbeat=words, summary=texts, worktree=words, host=words, mount=words, tcfs=words,
        extra=strange,
    ),
)  # fmt: skip
def test_agent_round_trips(agent: Agent) -> None:
    assert Agent.parse(agent.encode()) == agent


@given(
    st.builds(
        MemoryValue, value=values, set_by=texts.filter(bool), set_at=words, newline=st.booleans(),
        nonce=words, key=words, extra=strange,
        recent=st.lists(st.tuples(texts, st.integers(0, 2**40)), max_size=3).map(tuple),
    ),
    st.integers(1, 5),
)  # fmt: skip
def test_memory_value_round_trips(value: MemoryValue, attempt: int) -> None:
    assert MemoryValue.parse(value.encode(attempt)) == value


@given(
    st.builds(
        Message, sender=texts.filter(bool), to=texts, text=texts, sent_at=words, step=words,
        id=words, extra=strange,
    ),
)  # fmt: skip
def test_message_round_trips(message: Message) -> None:
    assert Message.parse(message.encode()) == message


def test_no_two_attempts_have_the_same_bytes() -> None:
    for document in (
        Claim(agent="a", nonce="n"),
        Status(state=State.PENDING, agent="a", nonce="n"),
        Handoff(from_agent="a", from_step="x", nonce="n"),
        MemoryValue(value="v", set_by="a", nonce="n"),
    ):
        assert len({document.encode(attempt) for attempt in (1, 2, 3)}) == 3
        assert b"attempt" not in document.encode()


def test_status_of_no_tenure_says_null_and_only_the_reference_leaves_it_out() -> None:
    assert json.loads(Status(state=State.PENDING, agent="a").encode())["claim"] is None
    assert Status.parse(b'{"status": "complete", "agent": "a"}').foreign
    assert not Status.parse(b'{"status": "complete", "agent": "a", "claim": null}').foreign


def test_layout_is_the_reference_s() -> None:
    body = Claim(agent="a", claimed_at=AT).encode()
    assert body.startswith(b'{\n  "agent": "a",\n  "claimed_at": "2026')


# what the reference writes, both versions

STATUS = {"status": "in_progress", "agent": "r", "started_at": AT}
HANDOFF_1 = {"from_agent": "r", "from_step": "Design.v1", "note": "n", "created_at": AT}
HANDOFF_2 = HANDOFF_1 | {
    "schema": 2, "next_agent": None, "state": "needs_review", "next_action": None,
    "changed_files": ["a.py"],
}  # fmt: skip
AGENT = {
    "id": "r", "status": "active", "step": None, "started_at": AT, "heartbeat": AT,
    "summary": "Initialized",
}  # fmt: skip
MESSAGE = {"from": "r", "to": "a", "message": "hi", "sent_at": AT}
MEMORY = {"value": "v", "set_by": "r", "set_at": AT}
WRITTEN: list[tuple[Any, dict[str, Any]]] = [
    (Claim, {"agent": "r", "claimed_at": AT}),
    (Status, STATUS),
    (Status, STATUS | {"status": "complete", "completed_at": AT}),
    (Status, STATUS | {"status": "blocked"}),
    (Status, STATUS | {"status": "needs_review"}),
    (Handoff, HANDOFF_1),
    (Handoff, HANDOFF_2),
    (Agent, AGENT),
    (Message, MESSAGE),
    (Message, MESSAGE | {"step": "Design.v1"}),
    (MemoryValue, MEMORY),
    (MemoryValue, {"key": "a.b", **MEMORY}),
]


@pytest.mark.parametrize(("kind", "written"), WRITTEN)
def test_reference_s_document_is_read_and_loses_nothing(kind: Any, written: dict[str, Any]) -> None:
    document = kind.parse(json.dumps(written, indent=2).encode())
    again = json.loads(document.encode())
    assert {name: again[name] for name in written if name != "schema"} == {
        name: value for name, value in written.items() if name != "schema"
    }


def test_reference_s_members_mean_what_they_say() -> None:
    status = Status.parse(json.dumps(STATUS | {"status": "needs_review"}).encode())
    assert (status.state, status.agent, status.foreign) == (State.NEEDS_REVIEW, "r", True)
    claim = Claim.parse(json.dumps({"agent": "r", "claimed_at": AT}).encode())
    assert (claim.agent, claim.id, claim.generation, claim.lease) == ("r", None, 0, None)
    assert Handoff.parse(json.dumps(HANDOFF_1).encode()).note == "n"


# tolerance


@pytest.mark.parametrize("kind", [it for it in KINDS if it is not MemoryValue])
def test_every_member_may_be_missing_or_of_another_type(kind: Any) -> None:
    kind.parse(b"{}")
    names = set(kind.__dataclass_fields__) | {"status", "from", "message", "schema", "lease"}
    for wrong in ("null", "[]", "{}", "1.5", "true", '"x"', "-1"):
        body = "{" + ", ".join(f'"{name}": {wrong}' for name in sorted(names)) + "}"
        kind.parse(kind.parse(body.encode()).encode())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe\x00", b"{}x"])
def test_what_is_no_object_is_malformed(kind: Any, body: bytes) -> None:
    with pytest.raises(Malformed):
        kind.parse(body)


def test_memory_document_needs_a_value() -> None:
    with pytest.raises(Malformed, match="value"):
        MemoryValue.parse(b"{}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [2000, 100_000])
def test_absurd_nesting_is_malformed(kind: Any, depth: int) -> None:
    with pytest.raises(Malformed):
        kind.parse(b'{"value": ' + b"[" * depth + b"]" * depth + b"}")


def test_value_nested_deeper_than_can_be_written_is_malformed_when_it_is_shown() -> None:
    deep = b"[" * 300 + b"]" * 300
    with pytest.raises(Malformed):
        MemoryValue.parse(b'{"value": ' + deep + b"}").content()
    with pytest.raises(Malformed):
        Message.parse(b'{"message": ' + deep + b"}")


def test_nan_and_lone_surrogates_of_python_s_json_are_read() -> None:
    value = MemoryValue.parse(json.dumps({"value": [float("nan"), float("-inf"), 1]}).encode())
    assert value.content() == b'["nan","-inf",1]\n'
    message = Message.parse(json.dumps({"message": "a\udcffb", "x\ud800": 1}).encode())
    assert message.text == "a\ufffdb"
    assert message.line(broadcast=False).encode()
    assert json.loads(message.encode())["x\ufffd"] == 1


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda it: it.encode(errors="replace")))
def test_no_bytes_are_a_surprise(body: bytes) -> None:
    for kind in KINDS:
        try:
            kind.parse(body).encode()
        except Malformed:
            continue


def test_surrogates_cannot_be_written() -> None:
    with pytest.raises(Malformed, match="not writable"):
        wire_json.dump({"note": "\ud800"})


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("complete", State.COMPLETE),
        (" Complete\n", State.COMPLETE),
        ("NEEDS-REVIEW", State.NEEDS_REVIEW),
        ("in_progress", State.IN_PROGRESS),
        ("In-Progress", State.IN_PROGRESS),
        ("done", None),
        ("", None),
        (None, None),
    ],
)
def test_case_and_hyphens_do_not_matter_in_a_state(word: str | None, state: State | None) -> None:
    assert State.parse(word) is state


def test_what_is_final() -> None:
    assert {it for it in State if not it.final} == {State.PENDING, State.IN_PROGRESS}
