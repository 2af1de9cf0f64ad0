"""From an agent to its reasoning, in a real mount."""

import json
import subprocess
from pathlib import Path

from tests.mounts import Mount, until

ID = "5ca1ab1e-0000-4000-8000-000000000001"
OTHER = "5ca1ab1e-0000-4000-8000-000000000002"


def says(home: Path, session: str, cwd: Path) -> None:
    folder = home / ".claude" / "projects" / "any"
    folder.mkdir(parents=True, exist_ok=True)
    line = {"type": "user", "sessionId": session, "cwd": str(cwd), "message": "hello"}
    with (folder / f"{session}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def test_an_agents_file_leads_to_its_transcript(home: Path) -> None:
    """An agent's file also names the session it wrote to last, where that is mirrored.

    A session is of the one agent that processes in its directory were started as, else the mount's.
    """
    theirs = home / "theirs"
    theirs.mkdir()
    says(home, ID, home)
    says(home, OTHER, theirs)
    started = {"TRACECRAFT_AGENT": "reviewer", "PATH": "/usr/bin:/bin"}
    with (
        subprocess.Popen(["sleep", "120"], cwd=theirs, env=started) as harness,
        Mount(
            *(home, str(home / "store"), "designer"),
            *("--mirror", "claude-code", "--mirror-root", str(home)),
        ) as mount,
    ):
        until(lambda: len(mount.sh("ls sessions/claude-code").stdout.split()) == 2, "both")
        mount.out("echo 'on the API' > agents/designer")
        mount.out("echo reviewing > as/reviewer/agents/reviewer")
        for agent, session in (("designer", ID), ("reviewer", OTHER)):
            lines = mount.out(f"cat agents/{agent}").splitlines()
            assert lines[-2] == f"session claude-code/{session}"
            meta = json.loads(mount.out(f"cat sessions/claude-code/{session}/meta.json"))
            assert meta["agent_id"] == agent
            assert json.loads(mount.out(f"cat agents/{agent}.json"))["session"] == (
                f"claude-code/{session}"
            )
        # An editor writes all that it was shown.
        mount.out("sed -i s/API/UI/ agents/designer")
        assert mount.out("tail -1 agents/designer") == "on the UI\n"
        assert json.loads(mount.out("cat agents/designer.json"))["summary"] == "on the UI"
        harness.kill()
