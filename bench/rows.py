"""The rows: what is done through the mount, and the bare requests it is measured against."""

import contextlib
import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import obstore
from obstore.store import S3Store

from tests.servers import Account

Side = Callable[[], float | None]
STEPS: Final = 10_000


class Bench:
    """A mount, and a bare client of the same project."""

    def __init__(self, path: Path, account: Account, project: str) -> None:
        """Connect the bare client as plainly as obstore allows."""
        self.path = path
        self.project = project
        self.store = S3Store(
            account.bucket,
            endpoint=account.endpoint,
            access_key_id=account.access_key,
            secret_access_key=account.secret_key,
            region=account.region,
            client_options={"allow_http": True},
        )
        self._numbers = itertools.count()

    def fresh(self) -> str:
        """Return a name that was not used yet."""
        return f"n{next(self._numbers)}"

    def put(self, key: str, body: bytes) -> None:
        """Put an object, bare."""
        obstore.put(self.store, f"{self.project}/{key}", body)

    def create(self, key: str, body: bytes) -> None:
        """Put an object that must not be there, bare."""
        obstore.put(self.store, f"{self.project}/{key}", body, mode="create")

    def get(self, key: str) -> bytes:
        """Get an object, bare."""
        return bytes(obstore.get(self.store, f"{self.project}/{key}").bytes())


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table; `target` is the ratio to reach."""

    name: str
    against: str
    target: float
    make: Callable[[Bench], tuple[Side, Side]]
    rounds: int = 300
    warmup: int = 20


BODY: Final = b'{\n  "agent": "bench",\n  "claimed_at": "2026-01-01T00:00:00+00:00"\n}'


def _decide(verb: Callable[[str], int | None]) -> Callable[[Bench], tuple[Side, Side]]:
    def make(bench: Bench) -> tuple[Side, Side]:
        def ours() -> float:
            path = f"{bench.path}/steps/{bench.fresh()}/claim"
            begin = time.perf_counter()
            descriptor = verb(path)
            took = time.perf_counter() - begin
            if descriptor is not None:
                os.close(descriptor)
            else:
                # The status follows in the background; it is not part of what comes next.
                time.sleep(0.01)
            return took

        def bare() -> None:
            bench.create(f"bare/{bench.fresh()}", BODY)

        return ours, bare

    return make


def _claim_with_note(bench: Bench) -> tuple[Side, Side]:
    def bare() -> None:
        name = bench.fresh()
        bench.create(f"bare/{name}-a", BODY)
        bench.put(f"bare/{name}-b", BODY)

    return lambda: _write(f"{bench.path}/steps/{bench.fresh()}/claim", "a note\n"), bare


def _lose(bench: Bench) -> tuple[Side, Side]:
    taken = f"{bench.path}/steps/taken/claim"
    _write(taken, "a note\n")

    def ours() -> None:
        with contextlib.suppress(FileExistsError):
            os.open(taken, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)

    return ours, lambda: _ignore(bench.get("steps/taken/claim.json"))


def _cat(bench: Bench) -> tuple[Side, Side]:
    _write(f"{bench.path}/memory/k", "value\n")
    return lambda: _read(f"{bench.path}/memory/k"), lambda: _ignore(bench.get("memory/k.json"))


def _set(bench: Bench) -> tuple[Side, Side]:
    _write(f"{bench.path}/memory/s", "value\n")

    def bare() -> None:
        bench.put(f"bare/{bench.fresh()}", BODY)
        bench.put("bare/value", BODY)

    return lambda: _write(f"{bench.path}/memory/s", "value\n"), bare


def _send(bench: Bench) -> tuple[Side, Side]:
    inbox = f"{bench.path}/messages/bench/inbox"

    def ours() -> None:
        descriptor = os.open(inbox, os.O_APPEND | os.O_WRONLY)
        os.write(descriptor, b"hello there\n")
        os.close(descriptor)

    return ours, lambda: bench.put(f"bare/{bench.fresh()}", BODY)


def _list(bench: Bench) -> tuple[Side, Side]:
    prefix = f"{bench.project}/steps/"
    body = b'{"status": "complete", "agent": "bench", "claim": null, "generation": 1}'
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda n: bench.put(f"steps/s{n:05}/status.json", body), range(STEPS)))

    def ours() -> None:
        with os.scandir(f"{bench.path}/steps") as entries:
            count = sum(entry.stat().st_mtime > 0 for entry in entries)
        assert count >= STEPS

    def bare() -> None:
        count = sum(len(page) for page in obstore.list(bench.store, prefix, chunk_size=1000))
        assert count >= STEPS

    return ours, bare


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def _read(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    while os.read(descriptor, 131072):
        continue
    os.close(descriptor)


def _ignore(value: object) -> None:
    del value


def _excl(path: str) -> int:
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)


ROWS: Final = (
    Row("decide a claim: O_EXCL", "a bare conditional PUT", 2.2, _decide(_excl)),
    Row("decide a claim: mkdir", "a bare conditional PUT", 2.2, _decide(os.mkdir)),
    Row("echo note > claim", "two bare PUTs", 1.7, _claim_with_note),
    Row("lose a claim", "a bare GET", 2.0, _lose),
    Row("cat memory/k", "a bare GET", 1.5, _cat),
    Row("echo v > memory/k", "two bare PUTs", 1.5, _set),
    Row("echo hi >> messages/a/inbox", "a bare PUT", 1.5, _send),
    Row(f"ls -l steps/ of {STEPS}", "a bare LIST of the keys", 1.5, _list, rounds=7, warmup=1),
)
