"""The options of `mount -o` and of /etc/fstab."""

from pathlib import Path

import click
import pytest

from tcfs.cli._fstab import Wish, parse_fstab
from tcfs.cli.config import Asked

PLAIN = Wish(Asked("tcfs mount"), read_only=False, allow_other=False, deadline=30.0, log_file=None)


def test_options_mean_what_the_command_line_s_do() -> None:
    text = "agent=me,endpoint=http://h:1,region=auto,ro,allow_other,deadline=5,log_file=/var/l"
    text += ",claims=best-effort,probe"
    assert parse_fstab(text, PLAIN) == Wish(
        Asked("tcfs mount", agent="me", endpoint="http://h:1", region="auto"),
        read_only=True,
        allow_other=True,
        deadline=5.0,
        log_file=Path("/var/l"),
        best_effort=True,
        probe=True,
    )


def test_what_mount_says_to_itself_is_passed_over() -> None:
    text = "rw,noauto,user,_netdev,nofail,nosuid,nodev,x-systemd.automount,defaults,comment=x"
    assert parse_fstab(text, PLAIN) == PLAIN


@pytest.mark.parametrize(
    "text", ["agent", "agent=", "agnet=me", "deadline=", "deadline=-1", "claims=all"]
)
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_fstab(text, PLAIN)
