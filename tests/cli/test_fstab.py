"""The options of `mount -o` and of /etc/fstab."""

from pathlib import Path

import click
import pytest

from tcfs.cli._fstab import Wish, in_time, parse_fstab
from tcfs.cli.config import Asked

PLAIN = Wish(
    Asked("tcfs mount"),
    read_only=False,
    allow_other=False,
    deadline=30.0,
    lease=900,
    log_file=None,
)


def test_options_mean_what_the_command_line_s_do() -> None:
    text = "agent=me,endpoint=http://h:1,region=auto,ro,allow_other,deadline=5,log_file=/var/l"
    text += ",claims=best-effort,probe,lease=60"
    text += ",mirror=claude-code:codex,mirror_root=/srv,mirror_all,no_redact"
    assert parse_fstab(text, PLAIN) == Wish(
        Asked("tcfs mount", agent="me", endpoint="http://h:1", region="auto"),
        read_only=True,
        allow_other=True,
        deadline=5.0,
        lease=60,
        log_file=Path("/var/l"),
        best_effort=True,
        probe=True,
        mirror=("claude-code", "codex"),
        mirror_root=Path("/srv"),
        mirror_all=True,
        no_redact=True,
    )


def test_what_mount_says_to_itself_is_passed_over() -> None:
    text = "rw,noauto,user,_netdev,nofail,nosuid,nodev,x-systemd.automount,defaults,comment=x"
    assert parse_fstab(text, PLAIN) == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        *("agent", "agent=", "agnet=me", "deadline=", "deadline=-1", "claims=all"),
        *("lease=2", "lease=-1"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_fstab(text, PLAIN)


@pytest.mark.parametrize(("lease", "deadline"), [(0, 30), (900, 30), (90, 30), (60, 20), (3, 1)])
def test_a_short_lease_shortens_the_deadline(lease: int, deadline: float) -> None:
    """No lease is shorter than three deadlines; 0 has no end, and shortens nothing."""
    wish = in_time(parse_fstab(f"lease={lease}", PLAIN))
    assert (wish.lease, wish.deadline) == (lease, deadline)
