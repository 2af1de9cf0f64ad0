"""Who is there, by shell (tree.md, agents)."""

import json
import re
from datetime import datetime

import pytest

from tests.mounts import Mount, until


def test_agents_show_their_last_heartbeat(here: Mount, there: Mount) -> None:
    """An agent's file says `active`, `stale` or `offline`, then its `step`, its `host` and its
    summary; its time is the last heartbeat."""
    here.out("echo 'on the API' > agents/designer")
    shown = there.out("cat agents/designer")
    assert re.fullmatch(r"active\n(step \S+\n)?host \S+\non the API\n", shown)
    for agent in ("designer", "developer"):
        beat = json.loads(there.out(f"cat agents/{agent}.json"))["heartbeat"]
        seconds = f"ls -l --time-style=+%s agents/ | grep ' {agent}$' | cut -d' ' -f6"
        assert there.out(seconds) == f"{int(datetime.fromisoformat(beat).timestamp())}\n"
    store = here.path.parent / "store" / "agents"
    document = {"id": "old", "status": "active", "step": "x", "summary": "s", "host": "h"}
    document["heartbeat"] = "2026-01-01T00:00:00+00:00"
    (store / "old.json").write_text(json.dumps(document))
    assert there.out("cat agents/old") == "stale\nstep x\nhost h\ns\n"
    assert there.out("stat -c %Y agents/old") == "1767225600\n"


def test_agents_are_signed_off_by_the_mount_that_registered_them(home: Mount, x: str) -> None:
    """Who acts by `as/` or the environment is registered at its first write, and signed off with
    the mount."""
    store = str(home / "store")
    with Mount(home, store, "designer") as stays, Mount(home, store, "developer") as ends:
        ends.out(f"cat as/reader/status; echo v > as/tester/memory/{x}")
        ends.out(f"bash -c 'echo v > memory/{x}.2'", TRACECRAFT_AGENT="by-environment")
        ends.out(f"echo v > as/moved/memory/{x}; echo v > as/designer/memory/{x}")
        names = "by-environment\ndesigner\ndeveloper\nmoved\ntester\n"
        until(lambda: stays.out("ls agents") == names, "all to be registered")
        until(lambda: "host" in stays.out("cat agents/moved"), "its host")
        # Another mount speaks for these by now.
        stays.out("echo here > as/moved/agents/moved; echo here > agents/designer")
        ends.end()
        states = {it: stays.out(f"head -1 agents/{it}").strip() for it in names.split()}
    assert states == {
        "by-environment": "offline",
        "designer": "active",
        "developer": "offline",
        "moved": "active",
        "tester": "offline",
    }


@pytest.mark.timeout(120)
def test_a_mount_beats_every_minute(here: Mount, there: Mount) -> None:
    """A mount beats every 60 seconds for all who act through it, with the step that each holds."""
    # It claimed when the mount began, long before; alone, this takes a minute.
    seen = "head -2 agents/present"
    until(lambda: there.out(seen) == "active\nstep present\n", "the heartbeat", 70)
    claim, agent = (
        json.loads(there.out(f"cat {it}.json")) for it in ("steps/present/claim", "agents/present")
    )
    beat, begin = (datetime.fromisoformat(it) for it in (agent["heartbeat"], claim["claimed_at"]))
    assert (beat - begin).total_seconds() > 55
    now = datetime.now(beat.tzinfo)
    assert (now - beat).total_seconds() < 65
