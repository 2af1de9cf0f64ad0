"""Many objects, laid into a store without a mount: as another tool left them over the years."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tcfs.wire import keys
from tcfs.wire.documents import Agent, State, Status
from tcfs.wire.ids import AgentId, Mailbox, StepId
from tcfs.wire.mail import Message
from tcfs.wire.memory import MemoryValue
from tcfs.wire.times import iso
from tests.servers import Account, boto3_client

BEGAN: Final = 1_700_000_000_000_000_000  # nanoseconds since 1970
SECOND: Final = 1_000_000_000
AT_ONCE: Final = 16  # uploads

Objects = Iterator[tuple[str, bytes]]


def steps(count: int) -> Objects:
    status = Status(state=State.PENDING, agent="other", started_at=iso(BEGAN)).encode()
    return ((keys.status(StepId(f"s{number:06d}")), status) for number in range(count))


def mail(count: int, box: str = "designer") -> Objects:
    for number in range(count):
        stamp = BEGAN + number * SECOND  # more than a thousand in five minutes are shown again
        text, at = f"message {number}", iso(stamp)
        sent = Message(sender="other", to=box, text=text, sent_at=at, id=f"{number:032x}")
        yield f"{keys.mail(Mailbox(box))}{stamp}_other_{number:08x}.json", sent.encode()


def versions(count: int, key: str = "k", value: str = "value") -> Objects:
    last = b""
    for number in range(count):
        stamp = BEGAN + number * SECOND
        last = MemoryValue(value=f"{value} {number}", set_by="other", set_at=iso(stamp)).encode()
        yield f"{keys.history(key)}{stamp}_other_{number:08x}.json", last
    yield keys.memory(key), last


def agents(count: int) -> Objects:
    for number in range(count):
        name = AgentId(f"agent-{number:06d}")
        yield keys.agent(name), Agent(id=name, status="active", heartbeat=iso(BEGAN)).encode()


def artifacts(count: int) -> Objects:
    return ((f"artifacts/shared/f{number:06d}", b"%d\n" % number) for number in range(count))


def to_directory(root: Path, objects: Iterable[tuple[str, bytes]]) -> None:
    """Lay objects into a local store."""
    made: set[Path] = set()
    for key, body in objects:
        path = root / key
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_bytes(body)


def to_bucket(account: Account, project: str, objects: Iterable[tuple[str, bytes]]) -> None:
    """Lay objects into a bucket, many at the same time."""
    client = boto3_client(account)

    def put(item: tuple[str, bytes]) -> None:
        key, body = item
        client.put_object(Bucket=account.bucket, Key=f"{project}/{key}", Body=body)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(put, objects):
            pass  # raises what an upload raised
