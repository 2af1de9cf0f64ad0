"""What is wrong with generations is found: known histories of what readers and holders saw."""

from tests.faults.histories.checker import Operation
from tests.faults.histories.generations import GENERATION, TENURE, falls


def seen(generation: int | None, begin: int, end: int) -> Operation:
    return Operation("a", GENERATION, None, generation, begin, end)


def won(generation: int, begin: int, end: int) -> Operation:
    return Operation("b", TENURE, None, generation, begin, end)


def test_generations_that_rise_or_stay_are_right() -> None:
    assert not list(falls([seen(1, 0, 1), seen(1, 2, 3), seen(3, 4, 5)]))
    assert not list(falls([won(1, 0, 1), seen(1, 2, 3), won(2, 4, 5)]))


def test_one_that_falls_is_found_unless_both_were_read_at_once() -> None:
    assert list(falls([seen(2, 0, 1), seen(1, 2, 3)]))
    assert not list(falls([seen(2, 0, 2), seen(1, 2, 3)]))
    assert not list(falls([seen(2, 0, 1), seen(None, 2, 3), seen(2, 4, 5)]))


def test_a_tenure_has_a_greater_one_than_all_that_was_before() -> None:
    assert list(falls([won(1, 0, 1), won(1, 2, 3)]))
    assert list(falls([won(2, 0, 1), won(1, 2, 3)]))
    assert list(falls([seen(1, 0, 1), won(1, 2, 3)]))
    # A holder's is read after it won, and may have been raised meanwhile.
    assert not list(falls([won(2, 0, 1), seen(1, 2, 3), seen(2, 4, 5)]))


def test_two_tenures_at_once_have_not_the_same_one() -> None:
    assert list(falls([won(1, 0, 4), won(1, 2, 3)]))
    assert not list(falls([won(2, 0, 4), won(1, 2, 3)]))
