"""What goes wrong in the tree is an errno, a line in `.tcfs/errors`, and a living mount."""

from collections.abc import Callable

import pytest

from tests.fuse.mounts import Mount


def test_bug_in_a_lookup_is_eio_and_the_mount_lives(mount: Mount) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        (mount.path / "broken").stat()
    assert "/broken EIO a bug in tcfs (ValueError: a look-up that breaks)" in mount.read("refusals")
    assert "Traceback" in mount.log
    assert mount.sh("echo x > docs/alive; cat docs/alive").stdout == "x\n"


def test_bug_in_a_read_is_eio_and_the_mount_lives(mount: Mount) -> None:
    """A bug is EIO and a logged traceback, never a dead mount."""
    assert "Input/output error" in mount.sh("cat bug").stderr
    assert "/bug EIO a bug in tcfs (RuntimeError: a read that breaks)" in mount.read("refusals")


def test_what_no_handle_may_give_back_is_eio_and_the_mount_lives(mount: Mount) -> None:
    assert "Input/output error" in mount.sh("cat odd").stderr
    assert "Input/output error" in mount.sh("echo x >> odd").stderr
    assert mount.sh("echo x > docs/well; cat docs/well").stdout == "x\n"


def test_store_that_does_not_answer_is_etimedout_at_close(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount(limit=0.3).ready()
    with pytest.raises(TimeoutError), (mount.path / "stuck").open("a") as file:
        file.write("x")
    assert "/stuck ETIMEDOUT" in mount.read("refusals")


def test_missing_names_are_no_refusals(mount: Mount) -> None:
    mount.sh("cat docs/nothing; ls nothing; test -e docs/nothing")
    assert "nothing" not in mount.read("refusals")


def test_refusals_belong_to_who_was_refused(mount: Mount) -> None:
    mount.sh("echo x > held", TRACECRAFT_AGENT="other")
    line = "/held EEXIST somebody has it"
    assert line in mount.sh("cat refusals", TRACECRAFT_AGENT="other").stdout


def test_deadline_is_etimedout(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount(limit=0.3).ready()
    with pytest.raises(TimeoutError):
        (mount.path / "slow").read_text()
    assert "/slow ETIMEDOUT open took longer than its deadline" in mount.read("refusals")
    assert mount.read("readers") == "0"


def test_agent_comes_from_the_environment_of_the_process(mount: Mount) -> None:
    assert mount.sh("cat agent; true").stdout == "dev\n--agent\n"
    started = "in the environment this process was started with"
    assert (
        mount.sh("cat agent; true", TRACECRAFT_AGENT="me").stdout
        == f"me\nTRACECRAFT_AGENT {started}\n"
    )


def test_exported_agent_does_not_reach_redirections_and_agent_says_so(mount: Mount) -> None:
    text = mount.sh("export TRACECRAFT_AGENT=me; cat agent; true").stdout
    assert text.startswith("me\nTRACECRAFT_AGENT in the environment")
    assert "\nwarning: redirections (>, >>, <) of bash " in text
    assert "act as dev, not me" in text
    assert "as/me/" in text
    text = mount.sh("export TRACECRAFT_AGENT=me; timeout 5 cat agent; true").stdout
    assert "act as dev, not me" in text
    assert mount.sh("export TRACECRAFT_AGENT=me; read -r who < agent; echo $who").stdout == "dev\n"
    assert (
        "act as me, not dev"
        in mount.sh("env -u TRACECRAFT_AGENT cat agent; true", TRACECRAFT_AGENT="me").stdout
    )


def test_invalid_agent_may_read_and_not_write(mount: Mount) -> None:
    done = mount.sh("cat agent; touch docs/invalid", TRACECRAFT_AGENT="a/b")
    assert done.stdout.startswith("dev\nnothing: TRACECRAFT_AGENT of process ")
    assert "Invalid argument" in done.stderr
    assert "/docs/invalid EINVAL TRACECRAFT_AGENT of process" in mount.read("refusals")
    assert not (mount.path / "docs/invalid").exists()
