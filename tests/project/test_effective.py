"""The effective state, rule by rule (protocol.md)."""

import pytest

from tcfs.project.steps._state import Effective, effective, holds, is_stale
from tcfs.wire.documents import Claim, State, Status

PENDING, IN_PROGRESS, COMPLETE = State.PENDING, State.IN_PROGRESS, State.COMPLETE
BLOCKED, FAILED, REVIEW = State.BLOCKED, State.FAILED, State.NEEDS_REVIEW
FREE = Effective(PENDING)


def ours(generation: int = 2, *, id: str | None = "t2", **more: object) -> Claim:
    return Claim(agent="a", id=id, nonce="n", generation=generation, **more)  # type: ignore[arg-type]


def status(
    state: State | None, *, claim: str | None = "t2", agent: str = "a", generation: int = 2
) -> Status:
    return Status(state=state, agent=agent, claim=claim, generation=generation)


def foreign(state: State | None, agent: str = "a") -> Status:
    return Status(state=state, agent=agent, foreign=True)


REFERENCE = Claim(agent="a", claimed_at="2026-03-22T15:00:00+00:00")
HELD = Effective(IN_PROGRESS, "a", "t2")

RULES = [
    # 1: a claim that landed late holds nothing; the status decides as without one
    ("stale: finished", ours(2), status(COMPLETE, claim="t9", agent="b"), "b", COMPLETE, "t9"),
    ("stale: given back", ours(2), status(PENDING, claim="t9"), None, PENDING, None),
    ("stale: another in progress", ours(1), status(IN_PROGRESS, claim="t9"), None, PENDING, None),
    ("stale: status of no tenure", ours(2), status(PENDING, claim=None), None, PENDING, None),
    ("stale with a result", ours(2, result=COMPLETE), status(PENDING, claim="t9"), None, PENDING,
     None),
    ("above the status: not stale", ours(3), status(COMPLETE, claim="t9"), "a", IN_PROGRESS, "t2"),
    ("the reference's status makes nothing stale", ours(2), foreign(COMPLETE, "b"), "a",
     IN_PROGRESS, "t2"),
    ("the reference's claim is never stale", REFERENCE, status(PENDING, claim="t9"), "a",
     IN_PROGRESS, None),
    # 2: a result decides
    ("result over its old status", ours(2, result=FAILED), status(IN_PROGRESS), "a", FAILED, "t2"),
    ("result without status", ours(2, result=BLOCKED), None, "a", BLOCKED, "t2"),
    ("result over `pending` of the same tenure", ours(2, result=REVIEW), status(PENDING), "a",
     REVIEW, "t2"),
    ("the reference finished it again for its agent", ours(2, result=REVIEW), foreign(COMPLETE),
     "a", COMPLETE, "t2"),
    ("the reference finished it for another", ours(2, result=REVIEW), foreign(COMPLETE, "b"), "a",
     REVIEW, "t2"),
    ("the reference's `in_progress` undoes no result", ours(2, result=REVIEW),
     foreign(IN_PROGRESS), "a", REVIEW, "t2"),
    # 3: the status of this tenure
    ("final", ours(), status(COMPLETE), "a", COMPLETE, "t2"),
    ("given back", ours(), status(PENDING), None, PENDING, None),
    ("in progress", ours(), status(IN_PROGRESS), "a", IN_PROGRESS, "t2"),
    ("the reference finished for our agent", ours(), foreign(COMPLETE), "a", COMPLETE, "t2"),
    ("the reference gave back for our agent", ours(), foreign(PENDING), None, PENDING, None),
    ("the reference for another agent", ours(), foreign(PENDING, "b"), "a", IN_PROGRESS, "t2"),
    ("a word nobody knows", ours(), status(None), "a", IN_PROGRESS, "t2"),
    # 4: any other claim
    ("no status yet", ours(), None, "a", IN_PROGRESS, "t2"),
    ("status of an earlier tenure", ours(2), status(PENDING, claim="t1", generation=1), "a",
     IN_PROGRESS, "t2"),
    # 5: no claim
    ("nothing", None, None, None, PENDING, None),
    ("a final status counts", None, status(FAILED), "a", FAILED, "t2"),
    ("of the reference too", None, foreign(REVIEW, "r"), "r", REVIEW, None),
    ("in progress by nobody", None, status(IN_PROGRESS), None, PENDING, None),
    ("the reference's too", None, foreign(IN_PROGRESS), None, PENDING, None),
    ("pending", None, status(PENDING), None, PENDING, None),
    ("unreadable", None, status(None), None, PENDING, None),
    # a tombstone is no claim
    ("tombstone", ours(2, released=True), status(PENDING), None, PENDING, None),
    ("tombstone, no status", ours(2, released=True), None, None, PENDING, None),
    ("tombstone, finished since", ours(2, released=True), foreign(COMPLETE, "r"), "r", COMPLETE,
     None),
    # the reference's own documents
    ("claimed by the reference", REFERENCE, foreign(IN_PROGRESS), "a", IN_PROGRESS, None),
    ("0.2.0, between claim and status", REFERENCE, None, "a", IN_PROGRESS, None),
    ("finished by the reference", REFERENCE, foreign(COMPLETE), "a", COMPLETE, None),
    ("blocked by the reference", REFERENCE, foreign(BLOCKED), "a", BLOCKED, None),
    ("--force by another", REFERENCE, foreign(COMPLETE, "b"), "a", IN_PROGRESS, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "seen", "expected"),
    [
        pytest.param(claim, seen, Effective(state, agent, tenure), id=name)
        for name, claim, seen, agent, state, tenure in RULES
    ],
)
def test_effective_state(claim: Claim | None, seen: Status | None, expected: Effective) -> None:
    assert effective(claim, seen, ran_out=False) == expected


@pytest.mark.parametrize("seen", [None, status(IN_PROGRESS), foreign(IN_PROGRESS)])
def test_lease_run_out_reads_as_pending(seen: Status | None) -> None:
    assert effective(ours(), seen, ran_out=True) == FREE


@pytest.mark.parametrize("claim", [ours(result=COMPLETE), ours()])
def test_final_state_outlives_its_lease(claim: Claim) -> None:
    assert effective(claim, status(COMPLETE), ran_out=True).state is COMPLETE


def test_holding_asks_for_the_effective_state() -> None:
    assert holds(ours(), None, "a", None)
    assert holds(ours(), status(IN_PROGRESS), "a", "t2")
    assert not holds(ours(), None, "b", None)
    assert not holds(ours(), None, "a", "t1"), "the claim of another tenure"
    assert not holds(ours(), status(PENDING), "a", "t2"), "given back"
    assert not holds(ours(), status(COMPLETE), "a", "t2")
    assert not holds(ours(result=COMPLETE), None, "a", "t2")
    assert not holds(ours(released=True), None, "a", "t2")
    assert not holds(ours(2), status(PENDING, claim="t9"), "a", "t2"), "stale"
    assert not holds(None, status(IN_PROGRESS), "a", None), "a status alone holds nothing"


def test_stale_needs_a_tenure_on_both_sides() -> None:
    assert is_stale(ours(2), status(PENDING, claim="t9", generation=2))
    assert not is_stale(ours(3), status(PENDING, claim="t9", generation=2))
    assert not is_stale(ours(2), None)
    assert not is_stale(ours(2), status(PENDING, generation=9)), "its own status"
    assert not is_stale(REFERENCE, status(PENDING, claim="t9", generation=9))
