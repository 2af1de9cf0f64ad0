"""What only the commands have: flags, exit codes, JSON, and what is said (cli.md)."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tcfs.cli._failure import Exit
from tests.doors.command import Command, process
from tests.doors.shell import Mounts
from tests.mounts import SOURCE, children, credentials, until
from tests.servers import Account

# one project, two doors


def test_what_one_door_decides_holds_at_the_other(mounts: Mounts, doors_home: Path, x: str) -> None:
    """A claim is won by one agent, whichever tool or host the others use."""
    command = Command(doors_home / "mounted", "developer")
    mounts.designer.write(f"steps/{x}/claim", "mine\n")
    code, _, err = command.outcome("put", f"steps/{x}/claim", data="mine\n")
    assert (code, err.startswith(f"tcfs: steps/{x} is held by designer; ")) == (Exit.FAILED, True)
    command.write(f"steps/{x}-2/claim", "mine\n")
    assert mounts.designer.read(f"steps/{x}-2/owner") == "developer\n"


def test_command_signs_nobody_off_and_leaves_a_live_agent_alone(
    mounts: Mounts, doors_home: Path, x: str
) -> None:
    """An agent that acts by a command is registered, and nobody is signed off at its end."""
    alone = Command(doors_home / "mounted", x)
    before = mounts.designer.read("agents/designer.json")
    Command(doors_home / "mounted", "designer").write(f"memory/{x}", "v\n")
    assert mounts.designer.read("agents/designer.json") == before
    alone.write(f"memory/{x}", "v\n")
    assert mounts.designer.read(f"agents/{x}").startswith("active\n")


def test_reading_registers_nobody(designer: Command, store: Path, x: str) -> None:
    reader = Command(store, x)
    reader.read("steps/s/status")
    reader.ls("memory")
    assert x not in designer.ls("agents")


def test_claim_without_a_mount_has_no_lease(designer: Command, x: str) -> None:
    """A claim made without a mount has no lease, and is never taken away."""
    designer.write(f"steps/{x}/claim", "mine\n")
    assert json.loads(designer.read(f"steps/{x}/claim.json"))["lease"] is None


# files


def test_put_takes_a_file_and_stdin_by_its_dash(designer: Command, tmp_path: Path, x: str) -> None:
    (tmp_path / "note").write_text("from a file\n")
    designer.run("put", f"memory/{x}", str(tmp_path / "note"))
    designer.run("append", f"memory/{x}", "-", data="from stdin\n")
    assert designer.read(f"memory/{x}") == "from a file\nfrom stdin\n"


def test_large_files_come_in_and_out_whole(designer: Command, tmp_path: Path, x: str) -> None:
    body = bytes(range(256)) * (12 << 10)  # 3 MiB
    (tmp_path / "data").write_bytes(body)
    designer.run("put", f"steps/{x}/data.bin", str(tmp_path / "data"))
    shown = json.loads(designer.run("stat", f"steps/{x}/data.bin", "--json"))
    assert shown["size"] == len(body)


def test_bytes_of_a_pipe_are_one_document(store: Path, designer: Command, x: str) -> None:
    """What is written between opening and the last close is one value, one message, one note."""
    with process(store, "put", f"memory/{x}") as put:
        assert put.stdin is not None
        for line in ("one\n", "two\n"):
            put.stdin.write(line)
            put.stdin.flush()
        put.stdin.close()
        assert put.wait(30) == Exit.DONE
    assert designer.read(f"memory/{x}") == "one\ntwo\n"
    assert len(designer.ls(f"memory/_history/{x}")) == 1


def test_interrupted_put_stores_nothing(store: Path, designer: Command, x: str) -> None:
    with process(store, "put", f"steps/{x}/claim", "--agent", "designer") as put:
        until(lambda: _exists(designer, f"steps/{x}/owner"), "the claim")
        put.send_signal(signal.SIGINT)
        _, err = put.communicate(timeout=30)
    assert (put.returncode, err) == (Exit.INTERRUPTED, "\ntcfs: interrupted\n")
    assert designer.read(f"steps/{x}/status") == "in_progress\n", "the claim stands, as in a shell"


def _exists(hand: Command, path: str) -> bool:
    return hand.outcome("stat", path)[0] == Exit.DONE


def test_cat_waits_and_ctrl_c_ends_it(store: Path, designer: Command, x: str) -> None:
    designer.write(f"steps/{x}/claim", "mine\n")
    with process(store, "cat", f"steps/{x}/wait") as cat:
        # It waits in trio, by epoll; there is nothing else to see of it.
        until(lambda: _waits(cat.pid), "the wait")
        cat.send_signal(signal.SIGINT)
        out, err = cat.communicate(timeout=30)
    assert (cat.returncode, out, err) == (Exit.INTERRUPTED, "", "\ntcfs: interrupted\n")


def test_cat_says_so_when_it_waits_for_what_nobody_has_heard_of(
    store: Path, designer: Command, x: str
) -> None:
    designer.write(f"steps/{x}-design/claim", "mine\n")
    with process(store, "cat", f"steps/{x}-desing/wait") as cat:
        assert cat.stderr is not None
        assert cat.stderr.readline() == (
            f"tcfs: /steps/{x}-desing/wait: waiting for a step with nothing in it; "
            f"nearest: {x}-design\n"
        )
        cat.send_signal(signal.SIGINT)
        assert cat.wait(30) == Exit.INTERRUPTED


def test_slow_note_that_names_another_agent_undoes_the_claim(
    store: Path, designer: Command, developer: Command, x: str
) -> None:
    """The status is written before the note comes, as in a mount."""
    with process(store, "put", f"steps/{x}/claim", "--agent", "designer") as put:
        until(lambda: _exists(designer, f"steps/{x}/status.json"), "the status")
        _, err = put.communicate("developer\n", timeout=30)
    assert put.returncode == Exit.FAILED
    assert "you act as designer here, not as developer" in err
    assert designer.read(f"steps/{x}/status") == "pending\n"


def test_name_in_what_is_said_commands_no_terminal(designer: Command) -> None:
    code, _, err = designer.outcome("cat", "memory/a\x1b[2J\nb")
    assert (code, err) == (Exit.FAILED, "tcfs: /memory/a\\x1b[2J\\x0ab does not exist\n")


def _waits(pid: int) -> bool:
    # epoll_wait and epoll_pwait on x86-64
    number = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    return number in ("232", "281") and not children(pid)


def test_waiting_cat_reads_what_another_finishes(store: Path, designer: Command, x: str) -> None:
    designer.write(f"steps/{x}/claim", "mine\n")
    with process(store, "cat", f"steps/{x}/wait") as cat:
        until(lambda: _waits(cat.pid), "the wait")
        designer.write(f"steps/{x}/status", "complete\n")
        assert cat.communicate(timeout=30) == ("complete\n", "")


def test_cat_prints_several_and_says_which_is_missing(designer: Command, x: str) -> None:
    designer.write(f"memory/{x}", "v\n")
    code, out, err = designer.outcome("cat", f"memory/{x}", f"steps/{x}/notes.txt")
    assert (code, out) == (Exit.FAILED, "v\n")
    assert err == f"tcfs: /steps/{x}/notes.txt does not exist\n"


def test_reader_that_goes_away_is_no_error(store: Path, designer: Command, x: str) -> None:
    designer.write(f"memory/{x}", "x" * 500_000)
    with process(store, "cat", f"memory/{x}") as cat:
        assert cat.stdout is not None
        cat.stdout.close()
        assert cat.stderr is not None
        assert cat.stderr.read() == ""
        assert cat.wait(30) == Exit.DONE


def test_long_listing_and_its_json(designer: Command, x: str) -> None:
    designer.write(f"memory/{x}.a", "12345\n")
    (line,) = designer.run("ls", "-l", f"memory/{x}").splitlines()
    mode, size, modified, name = line.split()
    assert (mode, size, name) == ("-rw-r--r--", "6", "a")
    assert modified.startswith("20")
    (row,) = json.loads(designer.run("ls", "--json", f"memory/{x}"))
    assert row["modified"] == modified
    assert (row["name"], row["kind"], row["size"], row["writable"]) == ("a", "file", 6, True)
    assert designer.run("ls", f"memory/{x}.a") == f"memory/{x}.a\n"
    assert designer.run("ls", "-l", f"memory/_history/{x}.a").startswith("-r--r--r-- ")


def test_stat_tells_of_a_link_itself(designer: Command, x: str) -> None:
    path = f"/steps/{x.upper()}"
    assert designer.run("stat", path).splitlines()[:2] == [f"name {path}", "kind link"]
    assert json.loads(designer.run("stat", "--json", path))["target"] == x
    assert json.loads(designer.run("stat", "--json", f"{path}/"))["kind"] == "directory"
    assert json.loads(designer.run("stat", "--json", "/"))["kind"] == "directory"


def test_rm_needs_its_flag_for_a_directory(designer: Command, x: str) -> None:
    designer.write(f"memory/{x}.a", "one\n")
    designer.write(f"memory/{x}.b", "two\n")
    code, _, err = designer.outcome("rm", f"memory/{x}")
    assert (code, err) == (
        Exit.FAILED,
        f"tcfs: memory/{x}: Is a directory; rm -r removes it\n",
    )
    designer.run("rm", "-r", f"memory/{x}")
    assert f"{x}.a" not in designer.ls("memory")


def test_mkdir_parents_is_content_with_what_is_there(designer: Command, x: str) -> None:
    designer.run("mkdir", "-p", f"steps/{x}", f"memory/{x}/a")
    code, _, err = designer.outcome("mkdir", f"steps/{x}")
    assert code == Exit.FAILED
    assert err == f"tcfs: steps/{x}: File exists; mkdir -p does without making it\n"


def test_mailbox_is_not_made_where_nothing_would_keep_it(designer: Command, x: str) -> None:
    code, _, err = designer.outcome("mkdir", f"messages/{x}")
    assert code == Exit.FAILED
    assert f"tcfs init --agent {x} registers it" in err


def test_names_that_only_a_mount_keeps_are_refused(designer: Command, x: str) -> None:
    code, _, err = designer.outcome("put", f"memory/{x}~", data="backup\n")
    assert code == Exit.FAILED
    assert "which only a mount keeps" in err


def test_put_makes_the_directories_that_a_name_lies_in(designer: Command, x: str) -> None:
    for path in (f"memory/{x}/a/b", f"artifacts/{x}/a/b"):
        designer.write(path, "v\n")
        assert designer.read(path) == "v\n"
    for path in (f"step/{x}/claim", f"steps/{x}/claim/note", f"messages/{x}/inbox"):
        assert designer.outcome("put", path, data="v\n")[0] == Exit.FAILED


def test_rm_goes_by_names(designer: Command, x: str) -> None:
    for path, told in (
        ("/", "/: Device or resource busy; remove what is in it, by name"),
        (f"steps/{x}/..", f"steps/{x}/.. ends in ..; name what is meant"),
    ):
        code, _, err = designer.outcome("rm", "-r", path)
        assert (code, err) == (Exit.FAILED, f"tcfs: {told}\n")


def test_claim_that_lost_is_told_by_whom(designer: Command, developer: Command, x: str) -> None:
    designer.mkdir(f"steps/{x}/claim")
    for arguments in (["mkdir"], ["put", "--exclusive"]):
        code, _, err = developer.outcome(*arguments, f"steps/{x}/claim")
        assert (code, "is held by designer" in err) == (Exit.FAILED, True)


# history


def test_history_shows_who_set_what_oldest_first(
    designer: Command, developer: Command, x: str
) -> None:
    designer.write(f"memory/{x}.a", "one\n")
    developer.append(f"memory/{x}.a", "\x1b[2Jtwo\n")
    lines = designer.run("history", f"{x}.a").splitlines()
    assert [it.partition("] ")[2] or it for it in lines] == [
        "designer: one",
        "developer: one",
        "    \\x1b[2Jtwo",
    ]
    (newest,) = json.loads(designer.run("history", f"memory/{x}/a", "--limit", "1", "--json"))
    assert (newest["set_by"], newest["value"]) == ("developer", "one\n\x1b[2Jtwo\n")


def test_history_of_nothing_is_refused(designer: Command, x: str) -> None:
    code, _, err = designer.outcome("history", x)
    assert (code, err.startswith(f"tcfs: memory/{x} has no versions; ")) == (Exit.FAILED, True)


# usage and the rest


@pytest.mark.parametrize(
    "arguments",
    [
        ["cat"],
        ["wait"],
        ["complete", "x", "--blocked", "--needs-review"],
        ["history", "x", "--limit", "0"],
        ["wait", "x", "--timeout", "-1"],
        ["put", "memory/x", "--deadline", "0"],
    ],
)
def test_usage_errors_exit_2(designer: Command, arguments: list[str]) -> None:
    code, out, err = designer.outcome(arguments[0], *arguments[1:])
    assert (code, out) == (Exit.USAGE, "")
    assert f"see tcfs {arguments[0]} --help" in err


def test_ids_that_cannot_be_are_refused(designer: Command) -> None:
    for command in ("wait", "complete", "reopen"):
        code, _, err = designer.outcome(command, "_x")
        assert (code, "may not begin with '_'" in err) == (Exit.FAILED, True)


def test_unreadable_file_is_named(designer: Command, tmp_path: Path, x: str) -> None:
    code, _, err = designer.outcome("put", f"memory/{x}", str(tmp_path / "nope"))
    assert (code, err) == (Exit.FAILED, f"tcfs: {tmp_path}/nope: No such file or directory\n")


def test_no_terminal_and_no_input_is_an_empty_note(
    designer: Command, x: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    designer.write(f"steps/{x}/claim", "")
    assert designer.read(f"steps/{x}/owner") == "designer\n"
    assert designer.read(f"steps/{x}/status") == "in_progress\n"


@pytest.mark.parametrize("arguments", [["ls"], ["cat", "status"], ["wait", "x", "--timeout", "0"]])
def test_commands_do_without_the_kernel(store: Path, arguments: list[str]) -> None:
    """Every command but `tcfs mount` works where nothing can be mounted."""
    script = (
        "import sys; from tcfs.cli import main\n"
        "main(sys.argv[1:])\n"
        "print(sorted(sys.modules.keys() & {'pyfuse3', 'boto3', 'obstore', 'tcfs.fuse'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--store", str(store)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_bucket_is_tried_out_before_it_decides_a_claim(
    doors_home: Path, seaweed: Account, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket is tried out, once a day, before a command writes to it; not to read."""
    for name, value in credentials(seaweed).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(doors_home / project))
    store = f"s3://{seaweed.bucket}/{project}"
    command = Command(store, "designer", "--endpoint", seaweed.endpoint)
    assert command.read("steps/x/status") == "pending\n"
    assert not [it for it in (doors_home / project).rglob("*") if it.is_file()]
    command.write("steps/x/claim", "mine\n")
    assert command.read("steps/x/owner") == "designer\n"
    (kept,) = (it for it in (doors_home / project).rglob("*") if it.is_file())
    before = kept.stat().st_mtime_ns
    code, _, err = command.outcome("put", "steps/x/claim", data="again\n")
    assert (code, "held by designer" in err) == (Exit.FAILED, True)
    command.rm("steps/x/claim")
    assert kept.stat().st_mtime_ns == before
