"""`.tcfs/metrics`: what is counted, and that the text is what Prometheus reads."""

from pathlib import Path

import pytest
import trio

import tcfs
from tcfs.project._metrics import Metrics
from tcfs.wire.ids import Mailbox, StepId
from tests.exposition import parse
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import A, X, mounted, take

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_it_counts_what_a_mount_asks_and_reading_it_asks_nothing(tmp_path: Path) -> None:
    """`.tcfs/metrics` is text for Prometheus; reading it asks nothing of the store."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.present()
        await take(project.steps, A)
        with trio.move_on_after(3.5):
            await project.steps.wait(X)
        with trio.move_on_after(3.2):
            await project.steps.wait(StepId("nothing-in-it"))
        asked = len(store.requests)
        found = parse(project.metrics.text())
        assert len(store.requests) == asked
        requests = found["tcfs_store_requests_total"]
        assert sum(requests.values()) == asked
        assert requests.values(verb="PUT", outcome="ok") == [len(store.asked("PUT"))]
        assert requests.values(verb="GET", outcome="NotFound") > [0]
        seconds = found["tcfs_store_request_seconds"]
        counts = [v for (name, _), v in seconds.samples.items() if name.endswith("_count")]
        assert sum(counts) == asked
        assert found["tcfs_info"].values(version=tcfs.__version__) == [1]
        assert found["tcfs_held"].values() == [1]
        assert found["tcfs_watcher_ticks_total"].values() == [6]
        assert found["tcfs_cache_bytes"].values() == [project.documents.size]


async def test_it_counts_what_fails(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        store.fail("messages/*", Fault.REFUSED, times=100)
        await project.outbox.send(Mailbox("b"), A, "hi")
        found = parse(project.metrics.text())
        assert found["tcfs_store_requests_total"].values(verb="PUT", outcome="Unavailable") == [1]
        assert found["tcfs_outbox_messages"].values(state="waiting") == [1]


async def test_it_counts_what_the_cache_spares(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:

        def reads() -> dict[str, float]:
            family = parse(project.metrics.text())["tcfs_cache_reads_total"]
            return {dict(labels)["outcome"]: it for (_, labels), it in family.samples.items()}

        store.place("k", b"v")
        await project.documents.read("k")
        assert reads() == {"hit": 0, "unchanged": 0, "fetched": 1}
        await project.documents.read("k")
        await project.documents.read("k", max_age=1.0)
        assert reads() == {"hit": 1, "unchanged": 1, "fetched": 1}


async def test_it_counts_renewals(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path, lease=90) as project:
        await take(project.steps, A)
        await trio.sleep(100)
        assert parse(project.metrics.text())["tcfs_leases_renewed_total"].values() == [3]


def test_times_are_in_buckets_by_how_long_they_took() -> None:
    metrics = Metrics("1")
    for seconds in (0.005, 0.006, 0.3, 100.0):
        metrics.asked("GET", seconds, None)
    family = parse(metrics.text())["tcfs_store_request_seconds"]
    buckets = {
        dict(labels)["le"]: count
        for (name, labels), count in family.samples.items()
        if name.endswith("_bucket")
    }
    assert buckets == {
        **{"0.005": 1, "0.02": 2, "0.1": 2, "0.5": 3, "2.0": 3, "10.0": 3},
        "+Inf": 4,
    }
    assert family.samples["tcfs_store_request_seconds_sum", frozenset({("verb", "GET")})] == (
        pytest.approx(100.311)
    )


def test_errnos_have_their_names() -> None:
    metrics = Metrics("1")
    metrics.served["lookup", 0] += 2
    metrics.served["lookup", 2] += 1
    metrics.served["open", 9999] += 1
    family = parse(metrics.text())["tcfs_fuse_operations_total"]
    assert family.values(operation="lookup", outcome="ok") == [2]
    assert family.values(operation="lookup", outcome="ENOENT") == [1]
    assert family.values(operation="open", outcome="9999") == [1]


def test_a_label_may_hold_anything() -> None:
    metrics = Metrics('1"\\\n')
    ((_, labels),) = parse(metrics.text())["tcfs_info"].samples
    assert dict(labels) == {"version": r"1\"\\\n"}
