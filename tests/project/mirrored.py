"""Sessions as other tools leave them in a bucket, for tests."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tcfs.project.sessions import Session
from tcfs.wire import keys

HERE = Session("claude-code", "0f9c3a52")
AT = "2026-03-22T15:00:00+00:00"


class Bucket(Protocol):
    """What another tool writes to."""

    def place(self, key: str, body: bytes) -> object:
        """Write an object."""


def part_key(seq: int, uuid: str = "", session: Session = HERE) -> str:
    return f"{keys.session(*session)}{keys.PartLeaf(seq, uuid or f'{seq:08x}')}"


def named(seq: int, uuid: str = "", **members: Any) -> dict[str, Any]:
    """Return a part as meta names it."""
    return {"seq": seq, "uuid": uuid or f"{seq:08x}", **members}


def write_meta(
    store: Bucket, parts: Sequence[Mapping[str, Any]], session: Session = HERE, **members: Any
) -> bytes:
    """Write meta as the reference does, or with `nonce` as ours; return the object."""
    document = {
        "schema_version": 1,
        "harness": session.harness,
        "session_id": session.id,
        "last_uploaded_at": AT,
        "total_uploaded_bytes": 0,
        "parts": list(parts),
        **members,
    }
    body = json.dumps(document, indent=2).encode()
    store.place(keys.session_meta(*session), body)
    return body


def mirror(
    store: Bucket, *texts: str, session: Session = HERE, since: int = 0, **members: Any
) -> None:
    """Write a part for each text, and meta that names them and `since` parts before them."""
    for seq, text in enumerate(texts, since):
        store.place(part_key(seq, session=session), text.encode())
    parts = [named(seq) for seq in range(since + len(texts))]
    write_meta(store, parts, session, **members)
