"""What is in a store, in one line."""

from tcfs.stores import Entry, Object, Store


async def get(store: Store, key: str) -> Object:
    """Return an object that is there."""
    answer = await store.get(key)
    assert isinstance(answer, Object)
    return answer


async def body(store: Store, key: str) -> bytes:
    """Return what an object holds."""
    return (await get(store, key)).body


async def listed(store: Store, prefix: str = "", after: str | None = None) -> list[Entry]:
    """Return the whole of a listing."""
    return [entry async for page in store.list(prefix, start_after=after) for entry in page]


async def keys(store: Store, prefix: str = "", after: str | None = None) -> list[str]:
    """Return the keys of a listing."""
    return [entry.key for entry in await listed(store, prefix, after)]
