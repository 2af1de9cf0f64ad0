"""A store that is read only hands on what asks, and nothing that writes."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tcfs.stores import ETag, ReadOnly, Store
from tcfs.stores.readonly import Reading
from tests.memory_store import MemoryStore


async def _parts() -> AsyncIterator[bytes]:
    yield b"new"


WRITES: dict[str, Callable[[Store], Awaitable[object]]] = {
    "put": lambda it: it.put("k", b"new"),
    "create": lambda it: it.put("new", b"new", if_absent=True),
    "put_dated": lambda it: it.put_dated("k", b"new"),
    "delete": lambda it: it.delete("k", if_match=ETag("x")),
    "upload": lambda it: it.upload("k", _parts()),
    "copy": lambda it: it.copy("k", "new"),
}


@pytest.mark.parametrize("what", WRITES)
async def test_nothing_is_written_whoever_asks(what: str) -> None:
    under = MemoryStore()
    under.place("k", b"old")
    with pytest.raises(ReadOnly, match="read-only"):
        await WRITES[what](Reading(under))
    assert (under.stored(), under.body("k")) == (["k"], b"old")
