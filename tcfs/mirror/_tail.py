"""One session on its way: from where its lines are, past the redactor, into the bucket."""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar, final

import trio

from tcfs.mirror._threads import in_thread
from tcfs.mirror.kept import Kept
from tcfs.mirror.redaction import Redactor, slices
from tcfs.mirror.sources import LIMIT, Batch, Cursor, Session, Source, Unavailable
from tcfs.project.errors import Refused
from tcfs.project.mirroring import Begun, Ended, Flush, Mirroring, Owned
from tcfs.stores import StoreError
from tcfs.wire.ids import AgentId

T = TypeVar("T")

RETRY: Final = 15.0  # seconds until what the store refused is tried again


@final
class Failed(Exception):
    """It did not work now, and may later; the text says why."""


@final
@dataclass(slots=True)
class Progress:
    """What a mirror did for one session so far."""

    lines: int = 0
    source_bytes: int = 0
    uploaded_bytes: int = 0
    state: str = "idle"  # or why it does not go on
    failed: bool = False  # it is not stored, and nobody else stores it


@final
class Tail:
    """A session that is being mirrored."""

    def __init__(
        self, source: Source, session: Session, mirroring: Mirroring, kept: Kept | None
    ) -> None:
        self.session = session
        self.progress: Final = Progress()
        self._source = source
        self._mirroring = mirroring
        self._kept = kept
        self._redactor: Redactor | None = None
        self._seen_secrets: tuple[str, ...] | None = None  # as they were kept last
        self._seen: tuple[Any, ...] | None = None  # the stamp at which all of it was stored
        self._again = -math.inf  # trio time before which nothing is tried
        self._ended = False
        self._held_back = False  # there was something new, and too little

    def due_at(self, least: int) -> float:
        """Return the trio time from which there may be something to store, of `least` bytes."""
        news = self._seen is None or self._seen != self.session.stamp
        news = news or (self._held_back and least == 1)
        return self._again if news and not self._ended else math.inf

    async def store(self, least: int) -> None:
        """Store what is new, if it comes to `least` bytes; never raises for what may go wrong.

        `progress.state` says what did.
        """
        stamp, progress = self.session.stamp, self.progress
        try:
            while await self._store_some(least):
                pass
        except Owned as error:
            self._again = trio.current_time() + error.left
            progress.failed = False
            progress.state = f"{error}; this mirror stands by"
        except Ended as error:
            self._ended = True
            progress.state = f"{error}; start the mirror again to go on"
        except Failed as error:
            self.failed(str(error))
        else:
            self._seen, progress.state, progress.failed = stamp, "idle", False

    def of_agent(self, agent: AgentId) -> None:
        """Say from now on that this agent is in the session."""
        self._mirroring.of_agent(agent)

    def failed(self, why: str) -> None:
        """Take note that it did not work; it is tried again after a while."""
        self._again = trio.current_time() + RETRY
        self.progress.state, self.progress.failed = why, True

    async def release(self) -> None:
        """Let another mirror go on with it at once."""
        try:
            await self._mirroring.release()
        except StoreError as error:
            self.progress.state = str(error)

    async def _store_some(self, least: int) -> bool:
        """Store one part; return whether there may be more."""
        cursor, restarted = await self._cursor()
        batch = await self._read(cursor)
        size = sum(map(len, batch.lines))
        self._held_back = 0 < size < least
        if not batch.lines or self._held_back:
            return False
        self.progress.state = "mirroring"
        restarted = restarted or batch.restarted
        begin = None if restarted else cursor
        if self._kept is None:
            lines, counts = b"".join(batch.lines), dict[str, int]()
        else:
            lines, counts = await self._redacted(self._kept, batch.lines, begin)
        flush = Flush(
            lines=lines,
            cursor=dict(batch.cursor),
            source_bytes=size,
            positions=(begin["at"] if begin else 0, batch.cursor["at"]),
            redactions=counts,
            restarted=restarted,
        )
        if await self._asked(self._mirroring.flush, flush):
            self.progress.lines += len(batch.lines)
            self.progress.source_bytes += size
            self.progress.uploaded_bytes += len(lines)
        return True

    async def _cursor(self) -> tuple[Cursor | None, bool]:
        """Return where to read on, and whether that is another generation for sure."""
        cursor = await self._asked(self._mirroring.cursor)
        if cursor is None:
            return None, False
        if not isinstance(cursor, Begun):
            # One that no source of ours wrote proves nothing.
            ours = isinstance(cursor, dict) and type(cursor.get("at")) is int
            return (cursor, False) if ours else (None, True)
        resumed = await self._blocking(partial(self._source.resume, self.session, cursor.position))
        return resumed, resumed is None

    async def _read(self, cursor: Cursor | None) -> Batch:
        return await self._blocking(partial(self._source.read, self.session, cursor, LIMIT))

    async def _redacted(
        self, kept: Kept, lines: Sequence[bytes], cursor: Cursor | None
    ) -> tuple[bytes, dict[str, int]]:
        redactor = self._redactor or await self._known(kept, cursor)
        await self._blocking(partial(kept.remind, redactor))
        before, found = dict(redactor.counts), list[bytes]()
        for some in slices(lines):
            found += await in_thread(partial(redactor.lines, some))
        after = redactor.counts
        counts = {it: count - before.get(it, 0) for it, count in after.items()}
        counts = {it: count for it, count in counts.items() if count}
        self._redactor = redactor
        if (seen := redactor.digests()) != self._seen_secrets:
            # Before they are stored: a crash in between must not forget what was seen.
            await self._blocking(partial(kept.keep, self.session, seen))
            self._seen_secrets = seen
        return b"".join(found), counts

    async def _known(self, kept: Kept, cursor: Cursor | None) -> Redactor:
        """Return a redactor that has seen what comes before the cursor."""
        redactor, known = await self._blocking(partial(kept.redactor, self.session))
        at: Cursor | None = None
        while cursor is not None and not known and (at is None or at["at"] < cursor["at"]):
            batch = await self._read(at)
            for some in slices(batch.lines):
                await in_thread(partial(redactor.lines, some))
            if not batch.lines:
                break
            at = batch.cursor
        return redactor

    async def _asked(self, ask: Callable[..., Awaitable[T]], *args: object) -> T:
        try:
            return await ask(*args)
        except (StoreError, Refused) as error:
            raise Failed(str(error)) from error

    async def _blocking(self, read: Callable[[], T]) -> T:
        try:
            return await in_thread(read)
        except (Unavailable, OSError) as error:
            raise Failed(f"{self.session.source} cannot be read now: {error}") from error
