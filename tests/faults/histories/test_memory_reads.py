"""Who is told that there is no value was told something: a value that was lost is found."""

import errno

import pytest

from tests.faults.histories.checker import Operation, check
from tests.faults.histories.clients import Told
from tests.faults.histories.history import GET, SET, Recorder, register_of, without_unseen
from tests.faults.histories.leases import Away
from tests.faults.histories.memory import do, meant

SHELL, LIBRARY, COMMAND = "s00", "l0", "c0"
WRITE = Operation(LIBRARY, SET, "x\n", "done", 0, 1)


def missing(who: str, begin: int, end: int | None = None) -> Operation:
    return Operation(who, GET, None, None, begin, begin + 1 if end is None else end)


def linearizable(*history: Operation, **away: list[Away]) -> bool:
    told = meant(history, away)
    return check(register_of(told), without_unseen(told)) is None


@pytest.mark.parametrize("who", [SHELL, LIBRARY, COMMAND])
def test_a_value_that_is_not_there_after_it_was_set_is_found(who: str) -> None:
    again = Operation(who, GET, None, "x\n", 6, 7)
    assert not linearizable(WRITE, missing(who, 4), again)
    assert linearizable(missing(who, -2, -1), WRITE, again)
    assert linearizable(missing(who, -1, 2), WRITE, again)  # while it is being set


def test_to_a_shell_nothing_is_there_while_its_mount_is_away() -> None:
    for gap in (Away(2, 3), Away(3, 4), Away(5, 9), Away(0, 9)):
        shown = gap.end < 4 or gap.begin > 5
        assert linearizable(WRITE, missing(SHELL, 4), s00=[gap]) != shown, gap
        assert not linearizable(WRITE, missing(LIBRARY, 4), s00=[gap])
        assert not linearizable(WRITE, missing(COMMAND, 4), s00=[gap])
    for text in ("x\n", "y\n"):  # what it did read it read
        read = Operation(SHELL, GET, None, text, 4, 5)
        assert linearizable(WRITE, read, s00=[Away(0, 9)]) == (text == WRITE.given)


def test_a_read_that_failed_tells_nothing() -> None:
    assert linearizable(WRITE, Operation(LIBRARY, GET, None, None, 4, None))


class Telling:
    """A client that is told the same, whatever it does."""

    agent = "a"

    def __init__(self, kind: str, told: Told) -> None:
        self.kind = kind
        self._told = told

    def do(self, act: str, path: str, data: str = "") -> Told:
        return self._told


NONE = "memory/k has no value; `ls memory` shows what there is"


@pytest.mark.parametrize(
    ("kind", "told", "known", "text"),
    [
        ("shell", Told(errno.ENOENT, "cat: k: No such file or directory"), True, None),
        ("library", Told(errno.ENOENT, NONE), True, None),
        ("command", Told(errno.EIO, f"tcfs: {NONE}"), True, None),
        ("command", Told(errno.EIO, "tcfs: the store did not answer"), False, None),
        ("shell", Told(errno.ETIMEDOUT, "cat: k: Connection timed out"), False, None),
        ("shell", Told(0, "x\n"), True, "x\n"),
        ("library", Told(0), True, ""),
    ],
)
def test_what_a_read_was_told(kind: str, told: Told, *, known: bool, text: str | None) -> None:
    recorder = Recorder()
    do(recorder, Telling(kind, told), "k", GET, "")
    ((done,),) = recorder.histories().values()
    assert (done.end is not None, done.told) == (known, text)
