"""The linearizability checker itself: histories known as good or bad, and brute force."""

from collections.abc import Iterable, Sequence
from itertools import combinations, permutations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.faults.histories import checker
from tests.faults.histories.checker import Operation, TooManyStates, check
from tests.faults.histories.history import Register, Step, register_of, without_unseen


def op(act: str, given: str | None, told: object, begin: int, end: int | None) -> Operation:
    return Operation("a", act, given, told, begin, end)


def linearizable(*history: Operation) -> bool:
    return check(Register(), history) is None


def test_one_after_another() -> None:
    write, read = op("set", "x", None, 0, 1), op("get", None, "x", 2, 3)
    assert linearizable(write, read)
    assert not linearizable(write, op("get", None, None, 2, 3))
    assert not linearizable(write, op("get", None, "y", 2, 3))


def test_a_read_while_a_write_is_under_way_sees_either() -> None:
    write = op("set", "x", None, 0, 10)
    for seen in (None, "x"):
        assert linearizable(write, op("get", None, seen, 4, 5))


def test_what_one_reader_has_seen_the_next_one_sees() -> None:
    write = op("set", "x", None, 0, 10)
    new, old = op("get", None, "x", 2, 3), op("get", None, None, 4, 5)
    assert not linearizable(write, new, old)
    assert linearizable(write, op("get", None, None, 2, 3), op("get", None, "x", 4, 5))


def test_an_acknowledged_append_that_is_lost_is_found() -> None:
    first, second = op("append", "x", None, 0, 5), op("append", "y", None, 0, 5)
    for seen in ("xy", "yx"):
        assert linearizable(first, second, op("get", None, seen, 6, 7))
    for seen in ("x", "y", "xyx"):
        assert not linearizable(first, second, op("get", None, seen, 6, 7))


def test_what_is_unknown_took_effect_late_or_never_but_once() -> None:
    unknown = op("append", "x", None, 0, None)
    reads = [op("get", None, None, 2, 3), op("get", None, "x", 4, 5)]
    assert linearizable(unknown)
    assert linearizable(unknown, reads[0])
    assert linearizable(unknown, *reads)
    assert not linearizable(unknown, *reads, op("get", None, "xx", 6, 7))
    assert not linearizable(unknown, *reads, op("get", None, None, 6, 7))
    # Not before it was asked for.
    assert not linearizable(op("append", "x", None, 4, None), op("get", None, "x", 2, 3))


def test_the_first_operation_that_nothing_explains_is_named() -> None:
    good = [op("set", str(it), None, 10 * it, 10 * it + 1) for it in range(5)]
    bad = op("get", None, "2", 45, 46)
    found = check(Register(), [*good, bad, op("set", "z", None, 50, 51)])
    assert found is not None
    assert found.operation == bad
    assert found.states == ["4"]


def test_a_check_that_would_not_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "LIMIT", 1000)
    unknown = [op("append", str(it), None, 0, None) for it in range(10)]
    with pytest.raises(TooManyStates):
        check(Register(), [*unknown, op("get", None, "nothing", 1, 2)])


def claim(who: str, told: str, begin: int, end: int | None) -> Operation:
    return Operation(who, "claim", None, told, begin, end)


def expiry(of: Operation, begin: int) -> Operation:
    return Operation(of.who, "expiry", of.begin, begin=begin)


def test_a_step_has_one_holder() -> None:
    one, two = claim("a", "won", 0, 5), claim("b", "won", 1, 6)
    assert check(Step(), [one, claim("b", "held", 1, 6)]) is None
    assert check(Step(), [one, two]) is not None
    assert check(Step(), [one, two, expiry(one, 2)]) is None
    given_back = Operation("a", "give back", None, "done", 2, 3)
    assert check(Step(), [one, given_back, claim("b", "won", 1, 9)]) is None
    assert check(Step(), [claim("a", "held", 0, 1)]) is not None


def test_a_finished_step_is_not_taken_nor_is_its_former_holder_believed() -> None:
    won, finished = claim("a", "won", 0, 1), Operation("a", "finish", None, "done", 2, 3)
    assert check(Step(), [won, finished, claim("b", "held", 4, 5)]) is None
    ran_out = expiry(won, 1)
    assert check(Step(), [won, ran_out, finished, claim("b", "won", 4, 5)]) is not None
    late = Operation("a", "finish", None, "done", 6, 7)
    assert check(Step(), [won, ran_out, claim("b", "won", 4, 5), late]) is not None
    assert check(Step(), [won, ran_out, claim("b", "won", 4, 5), refused("finish", 6)]) is None
    assert check(Step(), [won, refused("finish", 6)]) is not None


def test_only_the_tenure_whose_lease_ran_out_ends_by_itself_and_not_before() -> None:
    won, taken = claim("a", "won", 0, 1), claim("b", "won", 4, 5)
    assert check(Step(), [won, taken, expiry(won, 3)]) is None
    assert check(Step(), [won, taken, expiry(won, 6)]) is not None
    assert check(Step(), [won, taken, expiry(taken, 3)]) is not None
    again = claim("a", "won", 6, 7)
    own = Operation("a", "give back", None, "done", 4, 5)
    first = [won, expiry(won, 3), own, again]
    assert check(Step(), first) is None
    assert check(Step(), [*first, claim("c", "won", 8, 9)]) is not None
    given_back = Operation("b", "give back", None, "done", 5, 6)
    others = [won, expiry(won, 3), taken, given_back, again]
    assert check(Step(), others) is None
    assert check(Step(), [*others, claim("c", "won", 8, 9)]) is not None
    assert check(Step(), [*others, expiry(again, 8), claim("c", "won", 8, 9)]) is None


def refused(act: str, begin: int) -> Operation:
    return Operation("a", act, None, "refused", begin, begin + 1)


def test_a_claim_of_unknown_outcome_is_undone_some_time() -> None:
    unknown = claim("a", "", 0, None)
    assert check(Step(), [unknown, claim("b", "held", 2, 3), claim("c", "won", 4, 5)]) is None
    again = [claim("c", "won", 4, 5), claim("b", "won", 6, 7)]
    assert check(Step(), [unknown, *again]) is not None


# brute force


def explained(history: Sequence[Operation]) -> bool:
    """Try every order of everything, with and without what is unknown."""
    known = [it for it in history if it.end is not None]
    unknown = [it for it in history if it.end is None]
    for count in range(len(unknown) + 1):
        for some in combinations(unknown, count):
            if any(possible(order) for order in permutations([*known, *some])):
                return True
    return False


def possible(order: Iterable[Operation]) -> bool:
    model = Register()
    states = {model.begin()}
    latest = -1
    for it in order:
        if it.end is not None and it.end < latest:
            return False  # it had ended when one before it began
        latest = max(latest, it.begin)
        states = {after for state in states for after in model.after(state, it)}
    return bool(states)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    act = draw(st.sampled_from(["set", "append", "get"]))
    begin = draw(st.integers(0, 12))
    end = draw(st.none() | st.integers(begin, begin + 6))
    told = draw(st.sampled_from([None, "x", "y", "xy", "yx"])) if act == "get" else None
    return op(act, draw(st.sampled_from("xy")) if act != "get" else None, told, begin, end)


@settings(max_examples=400, deadline=None)
@given(st.lists(operations(), max_size=5))
def test_it_says_what_trying_every_order_says(history: list[Operation]) -> None:
    assert linearizable(*history) == explained(history)


@st.composite
def writes_and_reads(draw: st.DrawFn) -> list[Operation]:
    """A history in which every text written is another, and reads say what some order left."""
    found = []
    texts = [f"{it};" for it in "uvwxyz"]
    for number in range(draw(st.integers(0, 6))):
        begin = draw(st.integers(0, 12))
        end = draw(st.none() | st.integers(begin, begin + 6))
        found.append(op(draw(st.sampled_from(["set", "append"])), texts[number], None, begin, end))
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, 20))
        order = draw(st.permutations(texts[: len(found)]))
        seen = "".join(order[: draw(st.integers(0, 3))]) or None
        found.append(op("get", None, seen, begin, begin + draw(st.integers(0, 4))))
    return found


@settings(max_examples=400, deadline=None)
@given(writes_and_reads())
@example([op("set", "u;", None, 0, None), op("get", None, "u;", 0, 0)])
def test_what_nobody_read_makes_no_difference(history: list[Operation]) -> None:
    least = check(register_of(history), without_unseen(history)) is None
    assert least == linearizable(*history)
