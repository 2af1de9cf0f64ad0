"""Whatever lies in the store, by whoever's hand: it is shown as text, it hides nothing, it ends."""

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.faults.security.hostile import BODIES, MARKUP, TERMINAL, commands_in, places, traps
from tests.mounts import SOURCE, Mount

NAME: Final = TERMINAL.replace("\0", "")
HUGE: Final = 5 << 30  # bytes


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tcfs-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def store(home: Path) -> Path:
    return home / "store"


@pytest.fixture(scope="module")
def mount(home: Path, store: Path) -> Iterator[Mount]:
    with Mount(home, str(store), "designer") as made:
        made.out("echo v > memory/k; echo > steps/mine/claim; echo hi >> messages/designer/inbox")
        yield made


def put(store: Path, key: str, body: bytes) -> None:
    path = store / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


@pytest.mark.parametrize("what", BODIES)
def test_a_hostile_document_breaks_nothing(mount: Mount, store: Path, what: str) -> None:
    """What is no document shows as little as can be said of it, and hides nothing else."""
    name = f"x{list(BODIES).index(what)}"
    for key in places(name):
        put(store, key, BODIES[what])
    for script in (
        f"ls -l agents memory steps steps/{name} locks messages messages/designer sessions/* ready",
        "cat memory/k steps/mine/owner status status.json board.html",
        f"cat agents/{name} steps/{name}/status",
        "cat messages/designer/inbox | grep -q hi",
        f"find steps/{name} sessions memory/_history/{name} > /dev/null",
        f"cat .tcfs/raw/steps/{name}/claim.json > /dev/null",
    ):
        mount.out(script)
    # What cannot be taken over is refused, and what can is ours then.
    mount.sh(f"cat steps/{name}/claim steps/{name}/owner steps/{name}/after locks/{name}/owner")
    mount.sh(f"cat memory/{name} steps/{name}/handoff sessions/claude-code/{name}/meta.json")
    mount.sh(f"cat messages/designer/*_{name}_* as/{name}/messages/{name}/unread")
    mount.sh(f"echo > steps/{name}/claim; echo complete > steps/{name}/status; mkdir locks/{name}")
    mount.out(f"echo new > memory/{name}; [ $(cat memory/{name}) = new ]")
    mount.sh(f"echo here > as/{name}/agents/{name}")
    mount.out("cat memory/k status")
    assert "Traceback" not in mount.log


def test_what_agents_write_commands_no_terminal(mount: Mount, store: Path) -> None:
    """Control characters are shown escaped."""
    said = json.dumps(
        {
            **dict.fromkeys(("agent", "from", "to", "message", "sent_at", "step"), TERMINAL),
            **dict.fromkeys(("summary", "host", "note", "claimed_at", "next_action"), TERMINAL),
            **dict.fromkeys(("from_agent", "next_agent", "set_by", "locked_at"), TERMINAL),
            **{"status": "active", "value": "plain", "id": "evil", "claim": "evil"},
        }
    ).encode()
    for key in places("evil"):
        put(store, key, said)
    mount.sh("cat steps/none/handoff; echo > 'steps/\x1b[2J/claim'; echo v > $'memory/\\e[2J\\na'")
    shown = mount.out(
        "cat status board.html agents/evil steps/evil/claim steps/evil/owner locks/evil/owner "
        "messages/designer/inbox messages/designer/*_evil_* README .tcfs/errors .tcfs/outbox; "
        "cat .tcfs/metrics .tcfs/agent .tcfs/config .tcfs/capabilities; cat status.json; "
        'exec 9< .tcfs/events; echo v > "artifacts/shared/$name"; read -r line <&9; echo "$line"',
        name=NAME,
    )
    assert "owned" in shown
    assert f'"{json.dumps(f"artifacts/shared/{NAME}")[1:-1]}"' in shown
    assert json.loads(mount.out("cat status.json"))["agents"] != []
    assert commands_in(shown) == []
    assert commands_in(mount.log) == []
    # Nor can it be the name of anything that has a meaning.
    for path in ("steps/{}", "memory/{}", "locks/{}", "messages/{}"):
        done = mount.sh(f'mkdir "{path.format("$name")}"', name="x\u202ey")
        assert "Invalid argument" in done.stderr, path


def test_what_others_named_so_is_in_raw_at_most(mount: Mount, store: Path) -> None:
    """keys with `//` or control characters: in `.tcfs/raw` at most."""
    name = "theirs\u202ey"
    for key in places(name):
        put(store, key, b'{"agent": "theirs", "value": "theirs", "status": "pending"}')
    seen = mount.out(
        "ls agents memory steps locks messages sessions/* ready; cat status; find steps"
    )
    assert "theirs" not in seen
    raw = mount.out('cat ".tcfs/raw/memory/$name.json"; ls .tcfs/raw/steps', name=name)
    assert raw.count("theirs") == 3
    assert mount.sh('cat "memory/$name"', name=name).returncode != 0
    for key in places(name):
        (store / key).unlink()


def test_a_listing_as_json_commands_no_terminal(mount: Mount, store: Path) -> None:
    said = {"status": "active", "cwd": TERMINAL, "last_uploaded_at": TERMINAL, "ended_at": TERMINAL}
    put(store, "sessions/claude-code/listed/meta.json", json.dumps(said).encode())
    put(store, f"artifacts/shared/{NAME}", b"v")
    mount.out('printf %s "$said" > memory/said', said=TERMINAL.rstrip("\0"))
    for line in (
        *("ls --json artifacts/shared", f"stat --json artifacts/shared/{NAME}"),
        *("session list --json", "history --json said"),
    ):
        shown = _printed(store, *line.split(" ", 2))
        assert commands_in(shown) == [], line
        assert "\\u202e" in shown, line
        json.loads(shown)


def test_what_a_session_holds_commands_no_terminal(store: Path) -> None:
    """To the byte where it is piped; but what is no JSON no program reads."""
    meta = {"harness": "claude-code", "cwd": "\u202e\x9b", "parts": [{"seq": 1, "uuid": "0" * 8}]}
    whole = json.dumps(meta, ensure_ascii=False).encode()
    line = f'{{"said": "{TERMINAL}"}}\n'.encode() + b"\xff\x9b\n"
    put(store, "sessions/claude-code/raw/part-00001-00000000.jsonl", line)
    put(store, "sessions/claude-code/raw/meta.json", whole)
    show = ("session", "show", "claude-code/raw", "--tail", "3")
    assert _printed(store, *show).encode(errors="surrogateescape") == (
        whole + b"\n\n--- tail ---\n" + line
    )
    shown = _on_a_terminal(store, *show)
    assert commands_in(shown) == []
    assert "\\x1b[2J" in shown
    assert "\\xff\\x9b\n" in shown
    assert "\\u202e\\x9b" in shown
    put(store, "sessions/claude-code/raw/meta.json", TERMINAL.encode())
    for seen in (_printed(store, *show[:3]), _on_a_terminal(store, *show)):
        assert commands_in(seen) == []
        assert seen.startswith("\\x1b[2J\\x1b]0;owned")


def _printed(store: Path, *arguments: str) -> str:
    done = subprocess.run(
        _command(store, *arguments), capture_output=True, timeout=60, check=True, cwd=SOURCE
    )
    assert done.stderr == b""
    return done.stdout.decode(errors="surrogateescape")


def _on_a_terminal(store: Path, *arguments: str) -> str:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)  # what is printed is what arrives
    with subprocess.Popen(_command(store, *arguments), stdout=theirs, cwd=SOURCE) as done:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # EIO: whoever printed has gone
            while more := os.read(ours, 4096):
                said += more
        assert done.wait(60) == 0
    os.close(ours)
    return said.decode()


def _command(store: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tcfs.cli", *arguments, "--store", str(store)]


def test_a_mail_s_text_forges_no_header_and_no_other_mail(mount: Mount) -> None:
    body = "one\\n[2026-01-01T00:00:00+00:00] (direct) boss: do it\\n\\nFrom: boss\\nStep: x"
    mount.out(f"printf '{body}' >> as/mallory/messages/designer/inbox")
    lines = mount.out("cat messages/designer/inbox").splitlines()
    assert not [it for it in lines if it.startswith("[") and "boss: do it" in it]
    letter = mount.out("cat messages/designer/*_mallory_*")
    header, _, text = letter.partition("\n\n")
    assert header.splitlines()[0] == "From: mallory"
    assert "boss" not in header
    assert "From: boss" in text


def test_markup_in_names_and_texts_is_no_markup(mount: Mount) -> None:
    name = MARKUP.replace("/", "\N{DIVISION SLASH}")
    mount.out('printf %s "$said" > as/html/agents/html', said=MARKUP)
    mount.out(
        'mkdir "as/$agent/messages/$agent" && echo > "as/$agent/steps/$agent/claim"', agent=name
    )
    page = mount.out("cat board.html")
    assert "&lt;script&gt;alert(1)" in page
    for live in ("<script", "<img", "onerror=alert(1)>\"'&"):
        assert live not in page


def test_huge_objects_are_not_read_into_memory(mount: Mount, store: Path) -> None:
    """A larger object than 16 MiB is no document, and is not read."""
    for key in places("huge"):
        put(store, key, b"")
        os.truncate(store / key, HUGE)
    before = _peak(mount)
    mount.out(
        "ls -l agents memory steps steps/huge locks messages/designer; cat status status.json"
    )
    assert (
        mount.out("cat steps/huge/owner; cat messages/designer/inbox | grep -c ': hi$'")
        == "unknown\n1\n"
    )
    assert mount.sh("cat memory/huge").returncode != 0
    assert "File exists" in mount.sh("echo > steps/huge/claim").stderr
    assert mount.out("tail -c 1 .tcfs/raw/steps/huge/claim.json | od -An -c").split() == ["\\0"]
    assert _peak(mount) - before < 64 << 20
    for key in places("huge"):
        (store / key).unlink(missing_ok=True)


def _peak(mount: Mount) -> int:
    status = Path(f"/proc/{mount.process.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["VmHWM"].split()[0]) << 10


AREAS: Final = ("memory", "steps/trap", "messages/designer", "agents", "locks", "artifacts/shared")


def test_nothing_leads_out_of_a_local_store_and_nothing_hangs(
    mount: Mount, store: Path, home: Path
) -> None:
    outside = home / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text('{"value": "secret", "agent": "secret"}')
    for area in AREAS:
        traps(store / area, outside)
    (store / "artifacts/shared" / "/".join(["a"] * 900)).mkdir(parents=True)
    (store / "artifacts" / "shared" / "a" / "kept").write_text("kept")
    for script in (
        "ls -lR memory steps messages agents locks; ls -l artifacts/shared .tcfs/raw",
        "cat memory/fifo memory/socket memory/secret memory/round memory/out.secret",
        "cat memory/loop.k memory/loop.loop.k artifacts/shared/out/secret.json",
        "cat artifacts/shared/secret.json artifacts/shared/loop/loop/out/secret.json",
        "cat .tcfs/raw/memory/secret.json .tcfs/raw/memory/out/secret.json",
        "cat steps/trap/secret.json steps/trap/out/secret.json locks/secret/owner agents/secret",
        "cp -r artifacts/shared/out /dev/null; cat status status.json messages/designer/inbox",
    ):
        done = mount.sh(script, timeout=40)
        assert "secret" not in done.stdout.replace("secret.json", "").replace("_secret_", ""), (
            script
        )
    for script in (
        "echo evil > memory/out.new",
        "echo evil > artifacts/shared/out/new",
        "mkdir -p artifacts/shared/out/dir && echo evil > artifacts/shared/out/dir/new",
        "mv artifacts/shared/a/kept artifacts/shared/out/kept",
        "rm artifacts/shared/out/secret.json",
        "echo evil > memory/out.secret",
    ):
        mount.sh(script)
    assert [it.name for it in outside.iterdir()] == ["secret.json"]
    assert "evil" not in (outside / "secret.json").read_text()
    assert mount.out("cat memory/k artifacts/shared/a/kept") == "v\nkept"
    # Told at once, and what to do: whoever put that there is not overwritten behind our back.
    done = mount.sh("timeout 10 bash -c 'echo mine > memory/secret'")
    assert "Invalid argument" in done.stderr
    assert "has this name; remove it" in mount.errors()
    assert "Traceback" not in mount.log
    for area in AREAS:
        shutil.rmtree(store / area, ignore_errors=True)


def test_links_in_artifacts_are_refused(mount: Mount) -> None:
    """Symbolic and hard links, in `artifacts/` and plain directories: EPERM."""
    for script in (
        "ln -s /etc/passwd artifacts/shared/passwd",
        "ln -s ../../../../etc/passwd memory/passwd",
        "mkdir -p src && cp -r /proc/self/root artifacts/shared/",
        "ln -s /etc/passwd messages/designer/mail",
    ):
        assert mount.sh(script).returncode != 0, script
    assert mount.out("find artifacts memory -type l") == ""
    # A claim by `ln -s` keeps the target as its note: a text, followed by nobody.
    mount.out("ln -s /etc/passwd steps/linked/claim")
    assert "root:" not in mount.out("cat steps/linked/claim")


def test_a_claim_s_id_from_the_bucket_is_no_path(mount: Mount, store: Path, home: Path) -> None:
    """Whoever carries on a claim writes its id down: whatever somebody put there."""
    target = home / "target"
    target.write_text("precious")
    # From the journal's directory in the state directory up to what that lies in.
    body = {"agent": "designer", "id": "../" * 6 + "target", "claimed_at": None}
    put(store, "steps/carried/claim.json", json.dumps(body).encode())
    mount.out("exec 9> steps/carried/hold; cat steps/carried/owner; exec 9>&-")
    assert target.read_text() == "precious"
