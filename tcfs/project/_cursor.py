"""How far each agent has read its mail, as the bucket has it: shared with every other reader.

Several readers of one agent, on several hosts, move one cursor: what one has marked as read, no
other may take back. The reference writes it without a condition; what it takes back so is shown
again, and nothing is lost.
"""

from typing import final

from tcfs.project._clock import Clock
from tcfs.project._conditional import Lost, Writer
from tcfs.project._documents import Documents
from tcfs.stores import Object, Unsupported
from tcfs.wire import keys
from tcfs.wire.cursor import Cursor
from tcfs.wire.ids import AgentId


@final
class Cursors:
    """The cursors of a project's agents."""

    def __init__(self, documents: Documents, writer: Writer, clock: Clock) -> None:
        self._documents = documents
        self._writer = writer
        self._clock = clock

    async def read(self, agent: AgentId) -> Cursor:
        """Return how far an agent has read; raises what a get raises."""
        return _parse(await self._documents.read(keys.cursor(agent)), agent)

    async def merge(self, agent: AgentId, read: Cursor) -> None:
        """Mark as read what `read` does, beside what is marked already.

        Raises what `Writer.write` does: it is then marked, or shown again.
        """
        current = await self._documents.read(keys.cursor(agent))
        while True:
            before = _parse(current, agent)
            merged = before.merged(read)
            if current is not None and _positions(merged) == _positions(before):
                return
            try:
                await self._write(agent, merged, current)
            except Lost as lost:
                current = lost.current
            else:
                return

    async def _write(self, agent: AgentId, cursor: Cursor, base: Object | None) -> None:
        key, body = keys.cursor(agent), cursor.encode(self._clock.iso())

        def mine(found: Object) -> bool:
            # Whoever wrote it: what was to be marked is.
            return _positions(_parse(found, agent)) == _positions(cursor)

        try:
            await self._writer.write(key, lambda _: body, mine, base.etag if base else None)
        except Unsupported:
            # As the reference does everywhere: what another marks at this moment shows again.
            self._documents.forget(key)
            await self._documents.store.put(key, body)


def _parse(found: Object | None, agent: AgentId) -> Cursor:
    return Cursor() if found is None else Cursor.parse(found.body, agent)


def _positions(cursor: Cursor) -> tuple[object, ...]:
    return tuple((it.watermark, it.seen) for it in (cursor.direct, cursor.broadcast))
