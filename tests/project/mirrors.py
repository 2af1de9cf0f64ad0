"""A source whose lines a test writes, and mirrors of it without a harness."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tcfs.project import Project
from tcfs.project.mirroring import Begun, Flush, Mirroring, Origin, Owned
from tcfs.stores import StoreError
from tcfs.stores.deadline import within
from tcfs.wire import keys
from tcfs.wire.sessions import SessionMeta
from tests.memory_store import MemoryStore
from tests.project.mirrored import HERE, part_key

META = keys.session_meta(*HERE)
ORIGIN = Origin(source_path="/home/me/0f9c3a52.jsonl", cwd="/srv/app")


@dataclass
class Source:
    """A transcript. Its cursor is how many lines came before, of which rewriting of it."""

    lines: list[str] = field(default_factory=list)
    rewriting: int = 0

    def says(self, *lines: str) -> None:
        self.lines += lines

    def rewrite(self, *lines: str) -> None:
        self.lines = list(lines)
        self.rewriting += 1

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def read(self, cursor: Any, most: int) -> Flush | None:
        """Return the next lines after a cursor; None: there are none."""
        match cursor:
            case Begun(position):
                at, restarted = self._line_at(position), False
            case {"lines": at, "rewriting": self.rewriting}:
                restarted = False
            case None:
                at, restarted = 0, False
            case _:
                at, restarted = 0, True
        some = self.lines[at : at + most]
        if not some:
            return None
        return Flush(
            lines="".join(some).encode(),
            cursor={"lines": at + len(some), "rewriting": self.rewriting},
            source_bytes=len("".join(some)),
            positions=(at, at + len(some)),
            restarted=restarted,
        )

    def _line_at(self, position: int) -> int:
        return next(it for it in range(99) if len("".join(self.lines[:it])) == position)


async def mirror(mirroring: Mirroring, source: Source, most: int = 1) -> None:
    """Mirror what a source has, so many lines at a time; raises what a mirror does."""
    while True:
        flush = source.read(await mirroring.cursor(), most)
        if flush is None:
            return
        await mirroring.flush(flush)


async def try_to_mirror(project: Project, source: Source, most: int = 1) -> bool:
    """Mirror what a source has; return whether that is all of it."""
    mirroring = project.mirrors.of(HERE, ORIGIN)
    try:
        with within(20):
            await mirror(mirroring, source, most)
            await mirroring.release()
    except (Owned, StoreError):
        return False
    return True


def meta_of(store: MemoryStore) -> SessionMeta | None:
    body = store.body(META)
    return SessionMeta.parse(body) if body else None


def shown(store: MemoryStore) -> str:
    """Return the newest generation, by what lies in the bucket; every part must be there."""
    meta = meta_of(store)
    return "".join(_body(store, part_key(it.seq, it.uuid)) for it in (meta and meta.newest()) or ())


def _body(store: MemoryStore, key: str) -> str:
    body = store.body(key)
    assert body is not None, f"meta names {key}, which is gone"
    return body.decode()


def parts_in(store: MemoryStore) -> list[str]:
    return [key for key in store.stored() if key != META and key.startswith(keys.session(*HERE))]


def named_parts(store: MemoryStore) -> list[str]:
    meta = meta_of(store)
    return sorted(part_key(it.seq, it.uuid) for it in (meta and meta.parts) or ())


def reference_compacts(store: MemoryStore, keep_tail: int = 0) -> Callable[[], None]:
    """List and read as 0.2.5 does, and return what it does next: put, rewrite meta, delete."""
    listed = sorted(parts_in(store))
    targets = listed[: len(listed) - keep_tail]
    body = "".join(_body(store, key) for key in targets)
    uuid = f"{len(store.requests):08x}"
    kept = {int(it.rpartition("part-")[2][:5]) for it in listed[len(listed) - keep_tail :]}

    def rest() -> None:
        store.place(part_key(0, uuid), body.encode())
        meta = json.loads(store.body(META) or b"{}")
        merged = {"seq": 0, "uuid": uuid, "compacted_from": len(targets)}
        merged["uploaded_bytes"] = len(body)
        meta["parts"] = [merged, *(it for it in meta["parts"] if it["seq"] in kept)]
        meta["last_compacted_at"] = "2026-03-22T15:00:00+00:00"
        store.place(META, json.dumps(meta, indent=2).encode())
        for key in targets:
            store.remove(key)

    return rest


def reference_mirrors(store: MemoryStore, begin: int, text: str, uuid: str) -> None:
    """Add a part as 0.2.5 does: of the members of meta it keeps those that it knows."""
    known = json.loads(store.body(META) or b"{}")
    seqs = [int(it.rpartition("part-")[2][:5]) for it in parts_in(store)]
    seq, size = max(seqs, default=-1) + 1, len(text)
    store.place(part_key(seq, uuid), text.encode())
    part = {"seq": seq, "uuid": uuid, "cursor_range": [begin, begin + size], "redactions": {}}
    part |= {"source_bytes": size, "uploaded_bytes": size, "uploaded_at": "2026-03-22T15:00:00Z"}
    document = {
        "schema_version": 1,
        "harness": HERE.harness,
        "session_id": HERE.id,
        "started_at": known.get("started_at", "2026-03-22T15:00:00+00:00"),
        "last_uploaded_at": "2026-03-22T15:00:00+00:00",
        "ended_at": known.get("ended_at"),
        "total_source_bytes": known.get("total_source_bytes", 0) + size,
        "total_uploaded_bytes": known.get("total_uploaded_bytes", 0) + size,
        "redaction_counts": known.get("redaction_counts", {}),
        "parts": [*known.get("parts", []), part],
    }
    store.place(META, json.dumps(document, indent=2).encode())
