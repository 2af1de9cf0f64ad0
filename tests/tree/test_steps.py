"""Steps: what no door shows, stores with faults or gaps, and what is written when.

The rules are tested in tests/doors.
"""

import json
from errno import EINVAL, ENOENT
from pathlib import Path

import pytest
import trio

from tcfs.stores import Denied
from tests.memory_store import NO_DELETE, Fault, MemoryStore
from tests.project.parties import CLAIM, STATUS, place
from tests.tree.walk import REPLACE, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_won_claim_is_not_reported_lost_when_agents_cannot_be_read(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("steps/x/claim", REPLACE)

        async def fail() -> None:
            raise Denied("no")

        tree.store.before("GET", "agents/dev.json", fail)
        await handle.write(0, b"dev\n")
        await handle.commit()
        assert await tree.cat("steps/x/owner") == "a\n"


async def test_status_is_written_in_a_tenth_of_a_second_without_a_note(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("steps/x/claim", REPLACE)
        assert tree.store.body(STATUS) is None
        await trio.sleep(0.11)
        assert json.loads(tree.store.body(STATUS) or b"")["status"] == "in_progress"
        await handle.write(0, b"late\n")
        await handle.commit()
        assert (await tree.cat("steps/x/claim")).endswith("\n\nlate\n")
        requests = len(tree.store.asked("PUT"))
        await handle.commit()
        assert len(tree.store.asked("PUT")) == requests


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.REFUSED])
async def test_addition_to_a_plain_file_is_repeated_while_others_write(
    tmp_path: Path, fault: Fault
) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/log", "one\n")
        tree.store.fail("steps/x/log", fault)
        await tree.append("steps/x/log", "two\n")
        assert await tree.cat("steps/x/log") == "one\ntwo\n"


async def test_tombstone_does_not_keep_a_step(tmp_path: Path) -> None:
    store = MemoryStore(NO_DELETE)
    place(store, CLAIM, agent="b", id="t1", nonce="n", generation=1)  # it landed late
    place(store, STATUS, status="pending", agent="c", claim="t2", generation=2)
    async with grown(tmp_path, store) as tree:
        with refused(ENOENT):
            await tree.node("steps/x/claim")
        assert await tree.ls("steps/x") == ["status"]
        await tree.rm("steps/x/status")
        assert await tree.cat("steps/x/status") == "pending\n", "the claim did not come back"
        await tree.rmdir("steps/x")


async def test_empty_claim_directory_of_mkdir(tmp_path: Path) -> None:
    """What `mkdir` must return to the kernel, whose next look-up finds a file."""
    async with grown(tmp_path) as tree:
        made = await (await tree.directory("steps/x")).mkdir("claim", caller())
        assert list(await made.entries(caller())) == []
        with refused(EINVAL):
            await made.lookup("note", caller())
