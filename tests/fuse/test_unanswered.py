"""The kernel's second look-up, of a name whose first got no answer."""

import pytest
import trio

from tcfs.fuse.unanswered import AGAIN, Unanswered
from tcfs.stores import Unavailable


async def test_the_same_question_gets_the_same_answer_once(autojump_clock: object) -> None:
    asked = Unanswered()
    asked.note(1, b"k", Unavailable("away"))
    asked.check(1, b"other")
    asked.check(2, b"k")
    with pytest.raises(Unavailable, match="away"):
        asked.check(1, b"k")
    asked.check(1, b"k")


async def test_a_later_question_is_asked_anew(autojump_clock: object) -> None:
    asked = Unanswered()
    asked.note(1, b"k", Unavailable("away"))
    await trio.sleep(2 * AGAIN)
    asked.check(1, b"k")
