"""When an attempt is repeated, after how long, and what is said at the end."""

import itertools
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from tcfs.stores import (
    Conflict,
    Denied,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreError,
    Unavailable,
    _retry,
)
from tcfs.stores.deadline import DEFAULT, remaining, within

WHERE = "s3://bucket/project"


class Attempts:
    """Meets one thing after the other, the last of them for ever; None is success."""

    def __init__(self, *meets: Exception | None, takes: float = 0.0) -> None:
        self.meets = meets
        self.takes = takes
        self.times: list[float] = []

    async def __call__(self) -> str:
        met = self.meets[min(len(self.times), len(self.meets) - 1)]
        self.times.append(trio.current_time())
        await trio.sleep(self.takes)
        if met is not None:
            raise met
        return "done"


Way = Callable[[Callable[[], Awaitable[str]], str], Awaitable[str]]


@pytest.mark.parametrize("way", [_retry.read, _retry.write])
@pytest.mark.parametrize(
    "met", [Unavailable("busy"), OutcomeUnknown("lost"), Conflict("somebody else")]
)
async def test_what_is_temporary_is_tried_again(
    autojump_clock: MockClock, way: Way, met: StoreError
) -> None:
    attempts = Attempts(met, met, met, None)
    assert await way(attempts, WHERE) == "done"
    assert len(attempts.times) == 4


@pytest.mark.parametrize("way", [_retry.read, _retry.write, _retry.once, _retry.bounded])
@pytest.mark.parametrize("met", [Denied("no"), NotFound("no"), PreconditionFailed("no")])
async def test_what_is_final_is_not(autojump_clock: MockClock, way: Way, met: StoreError) -> None:
    attempts = Attempts(met)
    with pytest.raises(type(met)) as caught:
        await way(attempts, WHERE)
    assert caught.value is met
    assert len(attempts.times) == 1


@pytest.mark.parametrize("met", [Unavailable("busy"), OutcomeUnknown("lost"), Conflict("x")])
async def test_a_conditional_write_is_attempted_once(
    autojump_clock: MockClock, met: StoreError
) -> None:
    attempts = Attempts(met, None)
    with pytest.raises(type(met)):
        await _retry.once(attempts, WHERE)
    assert len(attempts.times) == 1


async def test_pauses_grow_from_50_ms_with_full_jitter(autojump_clock: MockClock) -> None:
    longest = [0.0] * 6
    for _ in range(60):
        attempts = Attempts(*[Unavailable("busy")] * 6, None)
        await _retry.read(attempts, WHERE)
        times = attempts.times
        pauses = [after - before for before, after in itertools.pairwise(times)]
        for number, pause in enumerate(pauses):
            assert 0 <= pause <= min(0.05 * 2**number, 2.0) + 1e-9
            longest[number] = max(longest[number], pause)
    for number, pause in enumerate(longest):
        assert pause > 0.025 * 2**number  # which 60 draws all miss once in 10**18


async def test_retry_after_is_honoured(autojump_clock: MockClock) -> None:
    attempts = Attempts(Unavailable("slow down", retry_after=7.0), None)
    await _retry.read(attempts, WHERE)
    assert 7.0 <= attempts.times[1] - attempts.times[0] < 7.1


async def test_a_retry_after_past_the_deadline_ends_it_at_once(autojump_clock: MockClock) -> None:
    attempts = Attempts(Unavailable("slow down", retry_after=60.0), None)
    began = trio.current_time()
    with pytest.raises(Unavailable, match="slow down"):
        await _retry.read(attempts, WHERE)
    assert trio.current_time() == began


async def test_it_ends_at_the_operations_deadline(autojump_clock: MockClock) -> None:
    attempts = Attempts(Unavailable("busy"))
    began = trio.current_time()
    with within(3.0), pytest.raises(Unavailable, match="busy"):
        await _retry.read(attempts, WHERE)
    assert 0.5 < trio.current_time() - began < 3.0
    assert len(attempts.times) > 4


async def test_an_attempt_that_would_be_cut_at_once_is_not_begun(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that is cut may have been done, and would be EIO for no good."""
    monkeypatch.setattr(_retry, "pauses", lambda: iter((0.0, 2.95, 0.0)))
    attempts = Attempts(Unavailable("busy"), takes=0.01)
    with within(3.0), pytest.raises(Unavailable, match="busy"):
        await _retry.write(attempts, WHERE)
    assert len(attempts.times) == 2


async def test_without_a_deadline_it_ends_at_the_default(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    with pytest.raises(Unavailable):
        await _retry.read(Attempts(Unavailable("busy")), WHERE)
    assert DEFAULT - 2.5 < trio.current_time() - began < DEFAULT


async def test_a_longer_deadline_than_the_default_is_used(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    with within(300.0), pytest.raises(Unavailable):
        await _retry.read(Attempts(Unavailable("busy")), WHERE)
    assert trio.current_time() - began > 290.0


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        (_retry.read, Unavailable),
        (_retry.bounded, Unavailable),
        (_retry.write, OutcomeUnknown),
        (_retry.once, OutcomeUnknown),
    ],
)
async def test_an_attempt_never_outlives_the_deadline(
    autojump_clock: MockClock, way: Way, kind: type[Exception]
) -> None:
    began = trio.current_time()
    with within(2.0), pytest.raises(Unavailable, match="did not answer in time") as caught:
        await way(Attempts(None, takes=1000.0), WHERE)
    assert type(caught.value) is kind
    assert trio.current_time() - began == pytest.approx(2.0)


async def test_one_unanswered_attempt_outweighs_later_refusals(
    autojump_clock: MockClock,
) -> None:
    attempts = Attempts(OutcomeUnknown("lost"), Unavailable("refused"))
    with within(2.0), pytest.raises(OutcomeUnknown, match="lost"):
        await _retry.write(attempts, WHERE)
    assert len(attempts.times) > 2


@pytest.mark.parametrize("way", [_retry.read, _retry.write, _retry.once, _retry.bounded])
async def test_with_no_time_left_nothing_is_attempted(autojump_clock: MockClock, way: Way) -> None:
    attempts = Attempts(None)
    with within(1.0):
        await trio.sleep(1.5)
        assert remaining() < 0
        with pytest.raises(Unavailable, match="nothing was sent") as caught:
            await way(attempts, WHERE)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert attempts.times == []


async def test_cancelling_ends_a_pause(autojump_clock: MockClock) -> None:
    with trio.move_on_after(5.0) as scope:
        await _retry.read(Attempts(Unavailable("busy")), WHERE)
    assert scope.cancelled_caught


@pytest.mark.parametrize("way", [_retry.read, _retry.write])
async def test_why_it_failed_is_said_rather_than_that_time_ran_out(
    autojump_clock: MockClock, way: Way
) -> None:
    async def attempt() -> str:
        if trio.current_time() - began < 3.0:
            raise Unavailable("its certificate is not trusted")
        await trio.sleep_forever()
        raise AssertionError

    began = trio.current_time()
    why = "not trusted" if way is _retry.read else "did not answer"
    with within(5.0), pytest.raises(Unavailable, match=why):
        await way(attempt, WHERE)
