"""A listing shows what was asked for, and ends, whatever the service says."""

from collections.abc import Sequence
from typing import Final

import pytest

from tcfs.stores import Unsupported
from tcfs.stores.deadline import within
from tcfs.stores.s3 import S3Store
from tests.stores.conftest import s3_store
from tests.stores.scripted import Behaviour, answer, serving

# obstore lists the first, and boto3 the second, which obstore cannot name.
PREFIXES: Final = ("memory/", "memory//")


def listing(keys: Sequence[str], prefixes: Sequence[str] = (), token: str = "") -> Behaviour:
    """Answer with these; the next page, if there is a `token`, begins there."""
    dated = "<LastModified>2026-11-22T14:00:29.000Z</LastModified>"
    shown = "".join(f"<Contents><Key>{it}</Key>{dated}<Size>1</Size></Contents>" for it in keys)
    shown += "".join(f"<CommonPrefixes><Prefix>{it}</Prefix></CommonPrefixes>" for it in prefixes)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    truncated = f"<IsTruncated>{str(bool(token)).lower()}</IsTruncated>"
    text = f"<ListBucketResult>{truncated}{more}{shown}</ListBucketResult>"
    return answer("200 OK", text.encode(), Content_Type="application/xml")


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_what_lies_elsewhere_is_not_shown(prefix: str) -> None:
    keys = [f"p/{prefix}here", "p/agents/a.json", "another/agents/x.json"]
    prefixes = [f"p/{prefix}inner/", "another/a/../../victim/", f"p/{prefix}a/../../victim/"]
    with serving(listing(keys, prefixes)) as (account, _):
        store = s3_store(account, "p")
        with within(10.0):
            names, entries = await store.list_dir(prefix)
            pages = [it.key for page in [page async for page in store.list(prefix)] for it in page]
        assert list(names) == ["inner"]
        assert [it.key for it in entries] == pages == [f"{prefix}here"]
        await store.aclose()


async def pages_of(store: S3Store, prefix: str) -> int:
    return sum([len(page) async for page in store.list(prefix)])


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_pages_that_never_end_are_refused(prefix: str) -> None:
    full = [f"p/{prefix}{number:04d}" for number in range(1000)]
    with serving(listing(full, token="again")) as (account, seen):
        store = s3_store(account, "p")
        with pytest.raises(Unsupported, match="same page"), within(10.0):
            await pages_of(store, prefix)
        assert len(seen.lines) <= 4
        await store.aclose()


async def test_a_level_that_never_ends_is_refused() -> None:
    with serving(listing(["p/memory//k"], token="again")) as (account, seen):
        store = s3_store(account, "p")
        with pytest.raises(Unsupported, match="same page"), within(10.0):
            await store.list_dir("memory//")
        assert len(seen.lines) <= 4
        await store.aclose()
