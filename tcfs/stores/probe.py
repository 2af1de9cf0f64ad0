"""What a store really does with conditions: asked, not believed.

Some services answer NotImplemented to a conditional write, some ignore the condition, some look
first and write then. So a store is tried out under `.tcfs/probe/<id>/` of the project, where no
reader of the layout looks, with the client that is to do the claims and a connection a writer.

Clean rounds are evidence, not proof: whoever shows a finding shows its numbers.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final, Self, final

import trio

from tcfs.stores._base import Capabilities, ETag, Object, Store
from tcfs.stores._errors import (
    AlreadyExists,
    Conflict,
    Denied,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreError,
    Unavailable,
    Unsupported,
)
from tcfs.stores.deadline import anew, within
from tcfs.wire.ids import fresh
from tcfs.wire.times import iso

PREFIX: Final = ".tcfs/probe/"
WRITERS: Final = 8
ROUNDS: Final = 5
TRIES: Final = 3  # of what was not answered clearly
PATIENCE: Final = 15.0  # seconds for all of it: a far store takes its time
ROUND: Final = 5.0  # seconds for the winner of a round
GRACE: Final = 0.1  # seconds for the others, before the next round begins
CLEANING: Final = 5.0  # seconds
LEFT: Final = 3600 * 1_000_000_000  # ns after which what a killed probe left is anybody's to sweep

log: Final = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a store was asked to do. `sure` is false where it did not answer clearly."""

    held: bool
    text: str
    sure: bool = True


@final
@dataclass(frozen=True, slots=True)
class Findings:
    """What a store was found to do. `taken` is when, in ISO 8601."""

    taken: str
    create: Finding
    replace: Finding
    delete: Finding
    listing: Finding
    order: Finding

    @property
    def sure(self) -> bool:
        """Whether asking again would find the same, as far as anybody can tell."""
        return all(it.sure for _, it in self._named())

    @property
    def settled(self) -> bool:
        """Whether what is not sure was seen to hold: enough to go on with for a while."""
        return all(it.sure or it.held for _, it in self._named())

    @property
    def held(self) -> bool:
        """Whether it was seen to do all that claims rest on."""
        return self.create.held and self.replace.held and self.delete.held

    def facts(self) -> tuple[str, ...]:
        """Return a line for each finding."""
        return tuple(
            f"{name}: {'yes' if it.held else 'NO'}, {it.text}, probed {self.taken[:19]}Z"
            for name, it in self._named()
        )

    def capabilities(self, *, best_effort: bool = False) -> Capabilities:
        """Return what follows for a store that several hosts share."""
        return Capabilities(
            create=self.create.held,
            replace=self.replace.held,
            delete=self.delete.held,
            conditional_get=True,
            shared=True,
            best_effort=best_effort,
            facts=self.facts(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the findings as an object of JSON."""
        return asdict(self)

    @classmethod
    def of_json(cls, document: dict[str, Any]) -> Self:
        """Return what `to_json` made; raises KeyError or TypeError where it is none."""
        return cls(
            str(document["taken"]),
            **{name: Finding(**document[name]) for name in _NAMES},
        )

    def _named(self) -> list[tuple[str, Finding]]:
        return [(text, getattr(self, name)) for name, text in _NAMES.items()]


_COMPARES: Final = "a stale ETag was refused and the current one accepted"
_NAMES: Final = {
    "create": "create if absent",
    "replace": "replace if unchanged",
    "delete": "delete if unchanged",
    "listing": "list after put",
    "order": "list from a key on",
}


def _unheard(found: Findings) -> None:
    del found


async def probe(store: Store, early: Callable[[Findings], None] = _unheard) -> Findings:
    """Try `store` out, and leave nothing there.

    A service may let those who lose a race wait for seconds. `early` is called, once, when only
    such are left to be answered; what is returned counts them too, and hardly ever differs.

    Raises:
        Denied, ReadOnly: it takes no writes of ours.
        Unavailable: it did not answer in time.
        StoreError: a plain write, read or listing failed.
    """
    here = f"{PREFIX}{fresh()}/"
    taken = iso(time.time_ns())
    try:
        with within(PATIENCE):
            await store.put(f"{here}first", b"1")  # denied here, before any race
            races = [_Race(store, f"{here}race-{number}") for number in range(1, ROUNDS + 1)]
            found: Findings | StoreError
            async with trio.open_nursery() as writers:
                try:
                    for race in races:
                        await race.run(writers)
                    found = Findings(
                        taken,
                        create=_judged(races),
                        replace=await _clearly(partial(_replace, store), f"{here}replace"),
                        delete=await _clearly(partial(_delete, store), f"{here}delete"),
                        listing=await _listing(store, f"{here}listed/"),
                        order=await _order(store, f"{here}order/"),
                    )
                    early(found)
                except StoreError as error:  # as it is: a nursery would wrap it in a group
                    found = error
                    writers.cancel_scope.cancel()
            if isinstance(found, StoreError):
                raise found
            for race in races:
                await race.look_again()
            return replace(found, create=_judged(races))
    finally:
        with trio.CancelScope(shield=True):
            await _clean(store, here)


@final
class _Race:
    """One key that all writers create at the same time, each with a body of its own."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key
        self._answered = trio.Event()
        self.won: list[bytes] = []
        self.lost = 0
        self.unanswered = 0
        self.stayed = False  # whether the one winner's object is what is there
        self.seen_again = False  # whether that was looked at after all were answered
        self.refused: list[StoreError] = []

    async def run(self, writers: trio.Nursery) -> None:
        """Let them go; return when all have an answer, or one won and the rest take long."""
        for number in range(WRITERS):
            writers.start_soon(self._write, b"writer %d" % number)
        with trio.move_on_after(ROUND):
            await self._answered.wait()
            with trio.move_on_after(GRACE):
                while self.waiting:
                    self._answered = trio.Event()
                    await self._answered.wait()
        await self._look()

    async def look_again(self) -> None:
        """See whether it is still so: one who was told that it lost may have written later."""
        with suppress(StoreError):  # what was found counts by now; it is not sure, then
            await self._look()
            self.seen_again = True

    async def _look(self) -> None:
        there = await _body(self._store, self._key)
        self.stayed = there is not None and self.won in ([there], [])

    @property
    def waiting(self) -> int:
        """How many are still to be answered."""
        return WRITERS - self.lost - self.unanswered - len(self.won) - len(self.refused)

    @property
    def had_one_winner(self) -> bool:
        """Whether one won, and the others lost as far as they were told."""
        # A winner whose answer was lost is there all the same; who lost knows of it.
        return self.stayed and (len(self.won) == 1 or (not self.won and self.lost > 0))

    async def _write(self, body: bytes) -> None:
        try:
            await self._store.put(self._key, body, if_absent=True)
        except (AlreadyExists, PreconditionFailed, Conflict):
            self.lost += 1
        except Unavailable:
            self.unanswered += 1
        except StoreError as error:
            self.refused.append(error)
        else:
            self.won.append(body)
        if self.won or not self.waiting:
            self._answered.set()


def _judged(races: Sequence[_Race]) -> Finding:
    refused = [error for race in races for error in race.refused]
    if refused:
        return _refused(refused[0])
    good = sum(race.had_one_winner for race in races)
    most = max(len(race.won) for race in races)
    silent = sum(race.waiting + race.unanswered for race in races)
    text = f"{good} of {ROUNDS} rounds had one winner among {WRITERS} writers"
    if silent:
        text += f" ({silent} of {ROUNDS * WRITERS} writes had no answer yet)"
    caught = True
    if most > 1:
        text += f", another had {most}: the service ignores If-None-Match, or races"
    elif any(race.won and not race.stayed for race in races):
        text += ", of another something else is there: the service writes what it refuses"
    else:
        caught = False
    clear = not silent and all(race.seen_again for race in races)
    return Finding(good == ROUNDS, text, sure=caught or clear)


def _refused(error: StoreError) -> Finding:
    # That these credentials may not, or that there is no room, is no property of the service.
    return Finding(False, f"the store refuses it ({error})", sure=isinstance(error, Unsupported))


async def _clearly(look: Callable[[str], Awaitable[Finding]], key: str) -> Finding:
    """Find out something by a new key as often as a request had no answer, within reason."""
    for number in range(1, TRIES):
        found = await look(f"{key}-{number}")
        if found.sure:
            return found
    return await look(f"{key}-{TRIES}")


async def _replace(store: Store, key: str) -> Finding:
    stale = await store.put(key, b"1")
    current = await store.put(key, b"2")
    found = await _compared(
        lambda etag: store.put(key, b"3", if_match=etag),
        lambda: _body(store, key),
        stale,
        current,
        then=b"3",
    )
    return await _not_made(store, f"{key}-none", current) if found.held else found


async def _not_made(store: Store, key: str, etag: ETag) -> Finding:
    """Replace what is not there: a claim that is given back must not come back so."""
    refused = await _refusal(lambda etag: store.put(key, b"3", if_match=etag), etag)
    if isinstance(refused, Unavailable):
        return Finding(False, f"the store did not answer ({refused})", sure=False)
    if refused is None or await _body(store, key) is not None:
        return Finding(False, "what is gone was replaced: the service ignores If-Match then")
    return Finding(True, _COMPARES)


async def _delete(store: Store, key: str) -> Finding:
    try:
        await store.delete(f"{key}-none")
    except Denied as error:
        # Kept: whoever may not delete cannot clean up after another probe either.
        return Finding(False, f"these credentials may not delete ({error})")
    stale = await store.put(key, b"1")
    current = await store.put(key, b"2")
    return await _compared(
        lambda etag: store.delete(key, if_match=etag),
        lambda: _body(store, key),
        stale,
        current,
        then=None,
    )


async def _compared(
    write: Callable[[ETag], Awaitable[object]],
    read: Callable[[], Awaitable[bytes | None]],
    stale: ETag,
    current: ETag,
    *,
    then: bytes | None,
) -> Finding:
    """Write on condition of an ETag that is stale, and of the current one; look after each."""
    refused = await _refusal(write, stale)
    if isinstance(refused, OutcomeUnknown | Unavailable):
        return Finding(False, f"the store did not answer ({refused})", sure=False)
    if await read() != b"2":
        return Finding(False, "a stale ETag was accepted: the service ignores If-Match")
    if refused is None:
        return Finding(False, "a stale ETag was answered with success, and nothing done")
    if not isinstance(refused, PreconditionFailed | Conflict):
        return _refused(refused)
    refused = await _refusal(write, current)
    if refused is not None:
        unclear = isinstance(refused, Unavailable | Conflict)
        return Finding(False, f"the current ETag was refused ({refused})", sure=not unclear)
    if await read() != then:
        return Finding(False, "the current ETag was answered with success, and nothing done")
    return Finding(True, _COMPARES)


async def _refusal(write: Callable[[ETag], Awaitable[object]], etag: ETag) -> StoreError | None:
    try:
        await write(etag)
    except StoreError as error:
        return error
    return None


async def _listing(store: Store, here: str) -> Finding:
    await store.put(f"{here}a", b"1")
    if await _keys(store, here) == [f"{here}a"]:
        return Finding(True, "a listing shows what was just written")
    return Finding(False, "a listing lags behind: what others write is seen late")


async def _order(store: Store, here: str) -> Finding:
    for name in "cab":
        await store.put(f"{here}{name}", b"1")
    listed = await _keys(store, here, f"{here}a")
    if listed == [f"{here}b", f"{here}c"]:
        return Finding(True, "in the order of the keys")
    return Finding(False, "start-after or the order is not kept: mail may be shown late or again")


async def _keys(store: Store, prefix: str, after: str | None = None) -> list[str]:
    return [entry.key async for page in store.list(prefix, start_after=after) for entry in page]


async def _body(store: Store, key: str) -> bytes | None:
    try:
        found = await store.get(key)
    except NotFound:
        return None
    assert isinstance(found, Object)
    return found.body


async def _clean(store: Store, here: str) -> None:
    """Remove what this probe made, and what one that was killed left long ago."""
    try:
        with anew(CLEANING):
            found = [entry async for page in store.list(PREFIX) for entry in page]
            newest = max((entry.modified for entry in found), default=0)
            for entry in found:
                if entry.key.startswith(here) or entry.modified < newest - LEFT:
                    await store.delete(entry.key)
    except StoreError as error:
        log.warning("what the probe wrote below %s is left there: %s", here, error)
