"""Mail through a real mount: what is one message, who has a mailbox, what a reader sees."""

import signal
from pathlib import Path

import pytest

from tests.mounts import Mount, until

HEREDOC = "cat >> messages/developer/inbox <<'END'\n" + "line\n" * 20 + "END"
PYTHON = (
    "python3 -c \"f = open('messages/developer/inbox', 'a');"
    " [print(it, file=f, flush=True) for it in 'abc'].clear(); f.close()\""
)


@pytest.mark.parametrize(
    "script",
    [
        "echo x >> messages/developer/inbox",
        "echo x > messages/developer/inbox",
        "printf x >> messages/developer/inbox",
        "{ echo a; date; /bin/echo b; } >> messages/developer/inbox",
        "( echo a; date; /bin/echo b ) >> messages/developer/inbox",
        "./../script.sh >> messages/developer/inbox",
        HEREDOC,
        "exec 7>> messages/developer/inbox; echo a >&7; echo b >&7; /bin/echo c >&7; exec 7>&-",
        PYTHON,
        "echo x | tee -a messages/developer/inbox > /dev/null",
        "dd if=/etc/passwd of=messages/developer/inbox bs=64 conv=notrunc 2> /dev/null",
        "echo x > ../note; cp ../note messages/developer/",
        "echo x > ../note; mv ../note messages/developer/",
    ],
)
def test_it_is_one_message(mount: Mount, other: Mount, script: str) -> None:
    """What is written between opening and the last close is one value, one message, one note.
    It is stored when whoever opened it lets go of it; a duplicate that a child closes stores
    nothing. `>>` and `>` to `inbox`, and any new name, send one message."""
    file = mount.path.parent / "script.sh"
    file.write_text("#!/bin/bash\necho a\n/bin/echo b\ndate\necho c\n")
    file.chmod(0o755)
    mount.out(script)
    listed = other.out("ls messages/developer").splitlines()
    assert [it for it in listed if it[0].isdigit()] == listed[:1], listed
    assert len(listed) == 2


def test_a_writer_that_is_killed_sends_nothing(mount: Mount) -> None:
    """A writer that is killed by a signal stores nothing in the end."""
    mount.out(
        "bash -c 'exec 7>> messages/designer/inbox; echo half >&7; kill -9 $$'; "
        "{ echo half; kill -9 $BASHPID; } >> messages/designer/inbox & wait; true"
    )
    assert mount.out("ls messages/designer; cat messages/designer/inbox") == "inbox\n"


def test_an_inbox_shows_direct_and_broadcast_mail_by_time(mount: Mount, other: Mount) -> None:
    """An inbox shows direct mail and everybody's broadcasts but one's own, by time. If all
    lines before a first blank line are `Step:` lines, they thread the message to a step."""
    mount.out("echo first >> messages/developer/inbox")
    mount.out("echo 'to all' >> messages/_broadcast/inbox")
    other.out("echo 'from me' >> messages/_broadcast/inbox")
    mount.out("printf 'Step: S1.A\\n\\none\\ntwo\\n' >> messages/developer/inbox")
    shown = other.out("cat messages/developer/inbox").splitlines()
    assert [line.split("] ", 1)[-1] for line in shown] == [
        "(direct) designer: first",
        "(broadcast) designer: to all",
        "(direct) designer [step S1.A]: one",
        "    two",
    ]
    everybody = other.out("cat messages/_broadcast/inbox")
    assert "(broadcast) developer: from me" in everybody


def test_a_message_is_a_file_that_its_reader_removes(mount: Mount, other: Mount) -> None:
    """A message is removed by its reader only; a broadcast by nobody."""
    mount.out("echo hello >> messages/developer/inbox")
    letter = other.out("cat messages/developer/*_designer_*")
    assert letter.startswith("From: designer\nDate: 20")
    assert letter.endswith("\nTo: developer\n\nhello\n")
    assert "Operation not permitted" in mount.sh("rm messages/developer/*_designer_*").stderr
    other.out("rm messages/developer/*")
    assert other.out("ls messages/developer; cat messages/developer/inbox") == "inbox\n"
    mount.out("echo all >> messages/_broadcast/inbox")
    refused = mount.sh("rm messages/_broadcast/*_designer_*").stderr
    assert "Operation not permitted" in refused


def test_mail_to_a_misspelt_agent_is_refused(mount: Mount, other: Mount) -> None:
    """A mailbox is there when its agent is registered, has mail, or it was made with `mkdir`."""
    assert "No such file or directory" in mount.sh("echo hi >> messages/develper/inbox").stderr
    assert "Is a directory" in mount.sh("echo hi >> messages/developer").stderr
    mount.out("mkdir messages/tester; echo hi >> messages/tester/inbox; ls messages")
    assert "tester" in other.out("ls messages").split()


def test_what_is_no_message_is_refused(mount: Mount, home: Path) -> None:
    """A message has at most 1 MiB."""
    big = home / "big"
    big.write_bytes(b"x" * ((1 << 20) + 1))
    assert "Message too long" in mount.sh(f"cp {big} messages/designer/").stderr
    assert mount.sh("printf '\\377' > ../bad; cp ../bad messages/designer/").returncode != 0
    assert "Invalid argument" in mount.sh("echo x > messages/designer/.draft").stderr
    assert mount.out("ls messages/designer") == "inbox\n"


def test_a_terminal_obeys_nothing_in_a_message(mount: Mount) -> None:
    """Control characters are shown escaped."""
    mount.out("printf 'a\\033[31mb\\007\\n' >> messages/designer/inbox")
    assert "a\\x1b[31mb\\x07" in mount.out("cat messages/designer/inbox")


def test_agents_show_and_describe_themselves(mount: Mount, other: Mount) -> None:
    """The mount registers its agent, and signs it off when it ends. Writing to one's own file
    sets the summary."""
    assert mount.out("ls agents") == "designer\ndeveloper\n"
    other.out("echo 'doing the API' > agents/developer")
    shown = mount.out("cat agents/developer").splitlines()
    assert (shown[0], shown[-1]) == ("active", "doing the API")
    assert "Operation not permitted" in mount.sh("echo x > agents/developer").stderr
    other.end()
    assert mount.out("head -1 agents/developer") == "offline\n"


def test_a_name_that_was_sent_is_gone_after_a_minute(home: Path) -> None:
    """A name that was sent goes on resolving here for a minute, empty."""
    program = "tests.mount.jumping"
    with Mount(home, str(home / "store"), "designer", program=program) as mount:
        mount.out(
            "mkdir messages/dev; echo hi > ../note; cp ../note messages/dev/;"
            " touch messages/dev/note"
        )
        mount.process.send_signal(signal.SIGUSR2)
        until(
            lambda: mount.sh("stat messages/dev/note").returncode == 1, "the end of the minute", 10
        )
        assert (
            "No such file" in mount.sh("touch -c messages/dev/note; cat messages/dev/note").stderr
        )
        assert mount.out("tail -qn 1 messages/dev/*_designer_*") == "hi\n"
