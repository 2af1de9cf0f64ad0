"""What a service sends without end is refused by the first answer, and not read into memory."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tcfs.stores import MAX_WHOLE, Oversized, Unsupported
from tcfs.stores.deadline import within
from tcfs.stores.s3 import S3Store
from tests.faults.security.hostile import places
from tests.mounts import Mount, credentials
from tests.proxy import Answer, Proxy, Request, Sent
from tests.servers import Account, boto3_client
from tests.stores.conftest import s3_store
from tests.stores.scripted import Behaviour, answer, serving

CLAIMED: Final = 5 << 30  # bytes
ROOM: Final = 4 * MAX_WHOLE  # what is read of one, what it becomes, and boto3 itself
BLOCK: Final = bytes(1 << 20)
# obstore reads the first, and boto3 the second, which obstore cannot name.
KEYS: Final = ("steps/x/claim.json", "steps//claim.json")

LENGTH: Final = f"Content-Length: {CLAIMED}"
SMALL: Final = "Content-Length: 10"
CHUNKED: Final = "Transfer-Encoding: chunked"
TEN: Final = f"Content-Range: bytes 0-9/{CLAIMED}"
ALL_TEN: Final = "Content-Range: bytes 0-9/10"


def endless(*lines: str) -> Behaviour:
    """Begin an answer so, and send until the client goes."""
    dated = "Last-Modified: Sun, 22 Nov 2026 14:00:29 GMT"
    head = "\r\n".join((*lines, 'ETag: "e"', dated, "", "")).encode()
    block = b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK) if CHUNKED in lines else BLOCK

    def behave(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(CLAIMED // len(BLOCK)):
            connection.sendall(block)

    return behave


WHOLE: Final = "HTTP/1.1 200 OK"
PART: Final = "HTTP/1.1 206 Partial Content"
ANSWERS: Final = {
    "all, by its length": endless(WHOLE, LENGTH),
    "all, in chunks": endless(WHOLE, CHUNKED),
    "all, in chunks and a small length": endless(WHOLE, SMALL, CHUNKED),
    "all, without a length": endless(WHOLE),
    "a part, of a large length": endless(PART, LENGTH, TEN),
    "a part, in chunks": endless(PART, CHUNKED, TEN),
    "a part, in chunks and a small length": endless(PART, SMALL, CHUNKED, ALL_TEN),
}


def peak(pid: int | str = "self") -> int:
    """Return the most memory that a process has had, since `forget_peak`."""
    fields = dict(it.split(":", 1) for it in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) << 10


def forget_peak(pid: int | str = "self") -> int:
    """Begin again with what it has now, and return that."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak(pid)


async def whole(store: S3Store, key: str) -> object:
    return await store.get(key)


async def ten_bytes(store: S3Store, key: str) -> object:
    return await store.get_range(key, 0, 10)


@pytest.mark.parametrize("read", [whole, ten_bytes])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("what", ANSWERS)
async def test_an_answer_without_end_is_refused_at_once(
    what: str, key: str, read: Callable[[S3Store, str], Awaitable[object]]
) -> None:
    with serving(ANSWERS[what]) as (account, seen):
        store = s3_store(account, "p")
        await store.prepare()
        before = forget_peak()
        with pytest.raises((Oversized, Unsupported)) as refused, within(10.0):
            await read(store, key)
        assert peak() - before < ROOM
        assert key in str(refused.value)
        await store.aclose()
    assert len(seen.lines) == 1


DATED: Final = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 14:00:29 GMT"}
ANOTHER: Final = {
    "fewer bytes than it says": (b"1234", "bytes 0-9/20"),
    "more bytes than it says": (b"0123456789abcdef", "bytes 0-9/20"),
    "the part behind": (b"0123456789", "bytes 10-19/20"),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("what", ANOTHER)
async def test_another_part_is_not_taken_for_what_was_asked_for(what: str, key: str) -> None:
    body, told = ANOTHER[what]
    said = answer("206 Partial Content", body, Content_Range=told, **DATED)
    with serving(said) as (account, _):
        store = s3_store(account, "p")
        with pytest.raises(Unsupported), within(10.0):
            await store.get_range(key, 0, 10)
        await store.aclose()


def huge_documents(request: Request) -> Answer | None:
    if request.method == "GET" and request.key.endswith(".json") and "giant" in request.key:
        return Answer(200, BLOCK, {"Content-Length": str(CLAIMED), **DATED}, Sent.ENDLESSLY)
    return None


def test_a_mount_whose_service_claims_huge_documents_goes_on(
    home: Path, seaweed: Account, project: str
) -> None:
    """A larger object than 16 MiB is no document, and is not read."""
    with closing(boto3_client(seaweed)) as client:
        for key in places("giant"):
            client.put_object(Bucket=seaweed.bucket, Key=f"{project}/{key}", Body=b"{}")
    with Proxy(seaweed) as service:
        account = service.account
        options = ("--endpoint", account.endpoint, "--deadline", "10")
        where = f"s3://{account.bucket}/{project}"
        with Mount(home, where, "designer", *options, environment=credentials(account)) as mount:
            mount.out("echo v > memory/k; echo > steps/mine/claim")
            before = forget_peak(mount.process.pid)
            service.rules = (huge_documents,)
            mount.out("ls -l agents memory steps steps/giant locks; cat status status.json")
            assert mount.out("cat steps/giant/owner") == "unknown\n"
            assert "File exists" in mount.sh("echo > steps/giant/claim").stderr
            assert "Invalid argument" in mount.sh("cat memory/giant").stderr
            assert "not supported" in mount.sh("cat .tcfs/raw/steps/giant/claim.json").stderr
            assert mount.out("cat memory/k steps/mine/owner") == "v\ndesigner\n"
            assert peak(mount.process.pid) - before < 2 * ROOM
            assert "does not hold the range that was asked for" in mount.errors()
            assert "Traceback" not in mount.log
