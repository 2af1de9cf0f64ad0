"""Rules that hold everywhere, the root, `.tcfs/` and failures, by shell (tree.md).

What has a subject of its own is tested there: claims, leases, locks, mail, memory, artifacts, …
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tcfs.board import LOCAL_ONLY
from tests.mounts import Mount
from tests.servers import Account


@pytest.mark.parametrize(
    ("attempt", "told"),
    [
        ("echo > steps/{x}/claim", "File exists"),
        ("ln -s note steps/{x}/claim", "File exists"),
        ("mkdir steps/{x}/claim", "File exists"),
        ("echo > steps/{x}/k~; mv steps/{x}/k~ steps/{x}/claim", "File exists"),
        ("echo developer > steps/{x}-2/claim", "Operation not permitted"),
        ("echo complete > steps/{x}/status", "Operation not permitted"),
        ("echo done > steps/{x}-2/status", "Invalid argument"),
        ("echo note > steps/{x}/handoff", "Operation not permitted"),
        ("echo _x > steps/{x}-2/after", "Invalid argument"),
        ("echo x > steps/{x}/notes", "Operation not permitted"),
        ("printf '\\377\\n' > memory/{x}", "Invalid argument"),
        ("set -C; echo v > memory/{x}k", "cannot overwrite existing file"),
        ("echo hi >> messages/{x}/inbox", "No such file or directory"),
        ("echo x > agents/developer", "Operation not permitted"),
        ("echo x > locks/{x}", "Operation not permitted"),
        ("echo x > sessions/{x}", "Read-only file system"),
        ("echo x > status", "Read-only file system"),
        ("echo x > .tcfs/agent", "Read-only file system"),
    ],
)
def test_the_shell_is_told(here: Mount, there: Mount, x: str, attempt: str, told: str) -> None:
    """What may be refused is refused at `open`, `mkdir`, `symlink`, `rename` or `write`, so that
    the exit code of `echo` tells."""
    there.out(f"echo > steps/{x}/claim; echo v > memory/{x}k")
    done = here.sh(f"{{ {attempt.format(x=x)}; }} && echo done")
    assert done.stdout == ""
    assert told in done.stderr


def test_what_is_one_write_is_seen_whole(here: Mount, x: str) -> None:
    """A group, or bash's `printf` of several lines, may be seen half written for a moment; a
    heredoc, `cp` and `mv` are seen whole."""
    seen = here.out(f"{{ echo a; cat memory/{x}.group >&2; echo b; }} 2>&1 > memory/{x}.group")
    assert (seen, here.out(f"cat memory/{x}.group")) == ("a\n", "a\nb\n")
    here.out(
        f"printf 'a\\nb\\n' > memory/{x}.printf; cat > memory/{x}.heredoc <<'END'\na\nb\nEND\n"
        f"cp memory/{x}.group memory/{x}.cp; cp memory/{x}.cp ../{x}; mv ../{x} memory/{x}.mv"
    )
    for how, versions in {"group": 2, "printf": 2, "heredoc": 1, "cp": 1, "mv": 1}.items():
        assert here.out(f"cat memory/{x}.{how}") == "a\nb\n"
        assert len(here.out(f"ls memory/_history/{x}.{how}").split()) == versions, how


def test_times_are_the_stores(here: Mount, there: Mount, x: str) -> None:
    """The time of a file is the store's, and that of a step its newest object's."""
    store = here.path.parent / "store"
    here.out(f"echo v > memory/{x}; mkdir -p {x}; echo v > {x}/f; echo v > steps/{x}/notes")
    for path, key in {
        f"memory/{x}": f"memory/{x}.json",
        f"{x}/f": f"{x}/f",
        f"steps/{x}/notes": f"steps/{x}/notes",
        f".tcfs/raw/{x}/f": f"{x}/f",
    }.items():
        stored = (store / key).stat().st_mtime_ns
        assert (there.path / path).stat().st_mtime_ns == stored, path
        # Of a document, whoever wrote it knows the time by the store's clock as far as it is known.
        assert abs((here.path / path).stat().st_mtime_ns - stored) < 2_000_000_000, path
    before = (store / "steps" / x / "notes").stat().st_mtime_ns
    assert (there.path / "steps" / x).stat().st_mtime_ns == before
    here.out(f"echo > steps/{x}/claim")
    assert (there.path / "steps" / x).stat().st_mtime_ns > before
    newer = there.out(f"find memory/{x} steps/{x} -newer steps/{x}/notes").splitlines()
    assert f"steps/{x}/claim" in newer
    assert f"memory/{x}" not in newer


def test_an_id_has_at_most_200_bytes(here: Mount, x: str) -> None:
    """An id has 1 to 200 bytes of UTF-8, no `/`, no control characters, and does not begin with
    `.` or `_`."""
    for full in (x.ljust(200, "x"), x + "\u00e9" * 97 + "x"):
        assert len(full.encode()) == 200
        assert here.out(f"echo > steps/{full}/claim; cat steps/{full}/owner") == "designer\n"
        here.out(f"mkdir locks/{full}; echo v > as/{full}/memory/{x}; rmdir locks/{full}")
        for attempt in (f"mkdir steps/{full}x", f"mkdir locks/{full}x", f"mkdir messages/{full}x"):
            assert "Invalid argument" in here.sh(attempt).stderr
        assert here.sh(f"ls as/{full}x").returncode != 0


def test_every_document_has_its_exact_object_beside_it(here: Mount, there: Mount, x: str) -> None:
    """The exact object of a document is at its name + `.json`, unlisted and read-only."""
    here.out(
        f"echo one > steps/{x}/after; echo > steps/{x}/claim; echo note > steps/{x}/handoff;"
        f"echo complete > steps/{x}/status; mkdir locks/{x}; echo v > memory/{x};"
        f"mkdir messages/{x}; echo hi >> messages/{x}/inbox"
    )
    message = here.out(f"cd messages/{x}; echo *_designer_*").strip()
    for path, field, value in (
        (f"steps/{x}/after", "after[]", "one"),
        (f"steps/{x}/claim", "agent", "designer"),
        (f"steps/{x}/handoff", "note", "note"),
        (f"steps/{x}/status", "status", "complete"),
        (f"locks/{x}", "agent", "designer"),
        (f"memory/{x}", "value", "v"),
        (f"messages/{x}/{message}", "message", "hi"),
        ("agents/designer", "id", "designer"),
    ):
        folder, _, name = path.rpartition("/")
        assert there.out(f"jq -r .{field} {path}.json") == f"{value}\n"
        assert f"{name}.json" not in there.out(f"ls -A {folder}").splitlines()
        for attempt in (f"echo '{{}}' > {path}.json", f"rm {path}.json"):
            assert "Operation not permitted" in here.sh(attempt).stderr, attempt
    here.out(f"rmdir locks/{x}")


def test_what_blocks_and_second_copies_are_not_listed(here: Mount, x: str) -> None:
    """A file that blocks is not listed. `status.json`, `as/` and `.tcfs/raw/` are not either."""
    here.out(f"exec 9> steps/{x}/hold; ls -A steps/{x} | grep -c hold | grep -x 0")
    names = {
        ".": ("as", "status.json"),
        ".tcfs": ("raw", "events"),
        f"steps/{x}": ("wait", "hold"),
        "ready": ("take",),
        "memory": ("_history",),
        "messages/designer": ("unread", "wait"),
    }
    for folder, unlisted in names.items():
        listed = here.out(f"ls -A {folder}").splitlines()
        assert not set(unlisted) & set(listed), folder
        for name in unlisted:
            if name != "hold":
                here.out(f"[ -e {folder}/{name} ]")


def test_who_one_is_and_why(here: Mount, x: str) -> None:
    """`read -r me < .tcfs/agent` tells who acts; line 2 says why, and a line warns where the
    parent process acts as another."""
    assert here.out("read -r me < .tcfs/agent; echo $me; cat .tcfs/agent") == (
        "designer\ndesigner\n--agent\n"
    )
    assert here.out(f"cat as/{x}/.tcfs/agent") == f"{x}\nby the path /as/{x}/.tcfs\n"
    who, why = here.out("cat .tcfs/agent; true", TRACECRAFT_AGENT=x).splitlines()
    assert (who, why.split()[0]) == (x, "TRACECRAFT_AGENT")
    # A prefix before a redirection reaches the program, and not the redirection.
    script = f"TRACECRAFT_AGENT={x} cat .tcfs/agent > ../{x}; cat ../{x}"
    told = here.out(f"TRACECRAFT_AGENT={x} echo v > memory/{x}; {script}").splitlines()
    assert told[0] == x
    assert told[2].startswith("warning: ")
    assert json.loads(here.out(f"cat memory/{x}.json"))["set_by"] == "designer"


# the root


def test_the_root_shows_how_things_are(here: Mount, there: Mount, x: str) -> None:
    """`status` is listed first, and its first line says when the store is a directory of this
    host. `status.json` has the same for programs, `board.html` for people with a browser.
    `README` is one screen, with the paths and the agent of its mount."""
    here.out(f"echo > steps/{x}/claim")
    assert there.out("ls -U | head -1; head -1 status") == f"status\n{LOCAL_ONLY}\n"
    pick = f"jq -r '.shared, (.steps[] | select(.id == \"{x}\") | .agent)' status.json"
    assert there.out(f"{pick}; cat status | grep -c ' {x} '") == "false\ndesigner\n1\n"
    text = there.out("cat README")
    assert f"> {there.path}/steps/design/claim" in text
    assert f"cat {there.path}/messages/developer/unread" in text
    assert "You are: developer" in text
    assert f"You are: {x}\n" in there.out(f"cat as/{x}/README")
    assert len(text.splitlines()) < 50
    fixed = {"agents", "memory", "messages", "steps", "ready", "locks", "artifacts", "sessions"}
    assert fixed | {"README", ".tcfs"} <= set(there.out("ls -A").split())


def test_the_copy_of_an_agent_has_no_copies_in_it(here: Mount, x: str) -> None:
    """`as/<agent>/` is the same tree, without another `as/`."""
    own, copy = here.out("ls -UA"), here.out(f"ls -UA as/{x}")
    assert own == copy
    assert "No such file" in here.sh(f"ls as/{x}/as").stderr
    assert here.out("ls as") == ""


def test_a_bucket_is_shared_and_its_secrets_are_not_shown(remote: Mount, seaweed: Account) -> None:
    """`.tcfs/store` and `.tcfs/config` say where everything comes from, without a secret."""
    assert LOCAL_ONLY not in remote.out("cat status .tcfs/store")
    assert remote.out("jq .shared status.json") == "true\n"
    assert remote.out("head -1 .tcfs/store").startswith(f"s3://{seaweed.bucket}/")
    shown = remote.out("cat .tcfs/*; env -i cat README")
    assert f"store s3://{seaweed.bucket}/" in shown
    assert seaweed.secret_key not in shown
    assert seaweed.secret_key not in remote.log


# .tcfs/


def test_errors_are_the_last_thousand_of_who_acted(here: Mount, x: str) -> None:
    """`.tcfs/errors` has the last 1000 refusals of the acting agent, a line each: time, path,
    errno, and what to do."""
    before = here.errors()
    here.sh(f"cd as/{x}; for i in {{1..1010}}; do echo > .tcfs/e$i; done 2> /dev/null")
    lines = here.out(f"cat as/{x}/.tcfs/errors").splitlines()
    assert len(lines) == 1000
    paths = [it.split()[1] for it in lines]
    assert paths == [f"/as/{x}/.tcfs/e{number}" for number in range(11, 1011)]
    for line in lines:
        time, _, code, what = line.split(" ", 3)
        assert datetime.fromisoformat(time).tzinfo == UTC
        assert (code, bool(what)) == ("EROFS", True)
    assert here.errors() == before


def test_what_the_kernel_answers_by_itself_has_no_line(here: Mount, there: Mount, x: str) -> None:
    before = here.errors()
    assert "Is a directory" in here.sh("echo hi >> messages/developer").stderr
    assert "File exists" in here.sh(f"mkdir steps/{x}").stderr
    assert "No such file" in here.sh(f"echo hi >> messages/{x}/inbox").stderr
    assert here.errors() == before


def test_raw_is_the_bucket(here: Mount, x: str) -> None:
    """`.tcfs/raw/` has the exact objects of the project, read-only."""
    store = here.path.parent / "store"
    here.out(f"echo v > memory/{x}.k; echo > steps/{x}/claim; mkdir {x}; echo v > {x}/f")
    for key in (f"memory/{x}/k.json", f"steps/{x}/claim.json", f"{x}/f", "agents/designer.json"):
        here.out(f"cmp .tcfs/raw/{key} {store}/{key}")
        for attempt in (f"echo > .tcfs/raw/{key}", f"rm .tcfs/raw/{key}", f"> .tcfs/raw/{key}-2"):
            assert "Read-only file system" in here.sh(attempt).stderr
    listed = set(here.out("cd .tcfs/raw; find * -type f").splitlines())
    assert listed == {
        str(it.relative_to(store))
        for it in store.rglob("*")
        if it.is_file() and not it.relative_to(store).parts[0].startswith(".tcfs")
    }


# failures


@pytest.mark.parametrize(
    ("attempt", "told", "line"),
    [
        ("ln memory/{x} memory/{x}2", "Operation not permitted", "no hard links"),
        ("mknod {x}2 c 1 3", "Operation not permitted", "no devices"),
        ("mkfifo steps/{x}/pipe", "Operation not permitted", "no devices, pipes"),
        (
            "python3 -c \"import os; os.setxattr('memory/{x}', 'user.x', b'y')\"",
            "Operation not supported",
            "",
        ),
    ],
)
def test_what_there_is_not(here: Mount, x: str, attempt: str, told: str, line: str) -> None:
    """Hard links and devices are EPERM, extended attributes ENOTSUP."""
    here.out(f"echo v > memory/{x}; echo > steps/{x}/claim")
    done = here.sh(attempt.format(x=x))
    assert done.returncode != 0
    assert told in done.stderr
    assert line in here.errors()
    assert here.out(f"cat memory/{x}; df . | grep -c store") == "v\n1\n"


def test_a_mount_warns_of_its_agent_on_another_host(home: Path) -> None:
    """A mount says so when its agent was alive on another host a moment ago."""
    agents = home / "store" / "agents"
    agents.mkdir(parents=True)
    alive = {"status": "active", "mount": "m", "heartbeat": datetime.now(UTC).isoformat()}
    for agent, more in {
        "designer": {"host": "elsewhere"},
        "gone": {"host": "elsewhere", "heartbeat": "2026-01-01T00:00:00+00:00"},
        "off": {"host": "elsewhere", "status": "offline"},
        "reference": {"mount": None},
    }.items():
        document = {"id": agent, "summary": "s"} | alive | more
        (agents / f"{agent}.json").write_text(json.dumps(document))
        with Mount(home, str(home / "store"), agent) as mount:
            warned = f"{agent} is alive on host elsewhere too; --agent tells them apart\n"
            assert (warned in mount.log) == (agent == "designer"), mount.log
            assert mount.out(f"head -1 agents/{agent}") == "active\n"
    with Mount(home, str(home / "store"), "designer") as mount:
        assert "alive on host" not in mount.log.rpartition("mounted ")[2]
