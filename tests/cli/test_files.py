"""What the commands on files do when somebody else acts at the same time, without a kernel."""

from pathlib import Path

from tcfs.cli import _files
from tcfs.cli._open import _introduce
from tcfs.cli._visit import Visit
from tcfs.cli.config import Local, Settings
from tcfs.tree.walk import Walk
from tcfs.wire.documents import Agent
from tcfs.wire.ids import AgentId
from tests.memory_store import MemoryStore
from tests.tree.walk import caller, grown


async def test_what_is_gone_since_it_was_listed_is_not_shown(tmp_path: Path) -> None:
    """The step is given back while `tcfs ls -l steps/x` asks for the size of each file."""
    async with grown(tmp_path) as tree:
        await tree.write("steps/x/claim", "mine\n")
        visit = Visit(tree.project, Walk(tree.root, caller()), AgentId("a"), 30.0)
        entries = visit.walk.entries

        class Meanwhile:
            async def entries(self, directory: object) -> object:
                found = await entries(directory)  # type: ignore[arg-type]  # passed on
                await tree.rm("steps/x/claim")
                return found

            find = staticmethod(visit.walk.find)

        late = Visit(tree.project, Meanwhile(), AgentId("a"), 30.0)  # type: ignore[arg-type]  # a walk
        rows = await _files.listed(late, "steps/x", attributes=True)
        assert (rows[0].name, rows[0].attributes.size) == ("status", 8)
        assert "owner" not in [it.name for it in rows]


async def test_two_that_introduce_one_agent_at_once_both_do(tmp_path: Path) -> None:
    """Whoever wrote it first knows more of it: that is no failure of `tcfs init`."""
    store = MemoryStore()
    settings = Settings(Local(tmp_path), "", AgentId("a"), "")
    theirs = Agent(id=AgentId("a"), status="active", summary="theirs").encode()

    async def meanwhile() -> None:
        store.place("agents/a.json", theirs)

    store.after("PUT", "agents/a.json", meanwhile)
    await _introduce(store, settings)
    assert store.body("agents/a.json") == theirs
