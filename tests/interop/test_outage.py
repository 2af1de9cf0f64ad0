"""Mail that waited for its store through an outage, for readers of either tool."""

import time
from pathlib import Path

import pytest
import trio

from tcfs.cli._places import state_home
from tcfs.project import Project
from tcfs.project._clock import Clock
from tcfs.stores import Offset, boottime
from tcfs.stores.s3 import S3Store
from tcfs.wire.ids import AgentId, Mailbox
from tests.interop.reference import NEWEST, Reference
from tests.mounts import Mount, credentials, until
from tests.servers import SeaweedFS

MESSAGES = 5  # of each sender
SENDERS = ("one", "two", "three", "four")
AGO = 600 * 1_000_000_000  # nanoseconds: the server was away for ten minutes


async def accept(store: S3Store, state: Path, ago: int) -> None:
    """Accept mail as a mount did that was there `ago` nanoseconds, while the store was away."""
    clock = Clock()
    behind = time.time_ns() - boottime() - ago
    clock.observe(Offset(behind, behind))
    async with Project.open(
        store, agent=AgentId("one"), host="h", state=state, clock=clock, carry_on=False
    ) as project:
        for number in range(MESSAGES):
            for sender in SENDERS:
                await project.send(Mailbox("reader"), AgentId(sender), f"{sender} {number}")


def texts(shown: str) -> dict[str, list[int]]:
    """Return the numbers of each sender's messages, in the order they are shown."""
    found: dict[str, list[int]] = {sender: [] for sender in SENDERS}
    for line in shown.splitlines():
        sender, _, number = line.rpartition(": ")[2].partition(" ")
        if sender in found:
            found[sender].append(int(number))
    return found


@pytest.mark.parametrize("tool", ["unread", "inbox --new"])
def test_mail_of_ten_minutes_ago_is_new_for_who_has_read_since(tmp_path: Path, tool: str) -> None:
    """Mail that was accepted is delivered, once and in order of each sender, through outages and
    crashes."""
    (tmp_path / "weed").mkdir()
    with SeaweedFS(tmp_path / "weed") as server:
        account = server.account
        environment = credentials(account)
        reference = Reference(NEWEST, tmp_path / "reference", account, "p", "reader")
        store = S3Store(
            account.bucket,
            "p",
            endpoint=account.endpoint,
            region=account.region,
            access_key=account.access_key,
            secret_key=account.secret_key,
            request_timeout=1.0,
        )
        state = state_home({"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
        server.kill()
        trio.run(accept, store, state, AGO)
        server.start()
        place, options = f"s3://{account.bucket}/p", ("--endpoint", account.endpoint)
        (tmp_path / "elsewhere").mkdir()
        # On another host; the mail waits on this one.
        with Mount(
            tmp_path / "elsewhere", place, "reader", *options, environment=environment
        ) as reader:
            # What came in those ten minutes is read: the cursor is past when that was accepted.
            reader.out("echo later >> as/five/messages/reader/inbox")
            assert reader.out("cat messages/reader/unread").endswith("five: later\n")
            with Mount(tmp_path, place, "one", *options, environment=environment) as sender:
                until(lambda: sender.out("cat .tcfs/outbox") == "", "the mail to be delivered")
            if tool == "unread":
                shown = reader.out("cat messages/reader/unread")
            else:
                shown = reference.out("inbox", "--new")
            assert texts(shown) == {sender: list(range(MESSAGES)) for sender in SENDERS}
            assert reader.out("cat messages/reader/unread") == ""
