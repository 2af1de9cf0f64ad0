"""The options of `mount -o` and of /etc/fstab."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

import click

from tcfs.cli.config import Asked

BEST_EFFORT: Final = "best-effort"
CLAIMS: Final = ("atomic", BEST_EFFORT)

LEASE: Final = 900  # seconds: tree.md, how long a claim lives
SHORTEST: Final = 3  # seconds of a lease: a deadline of one second is what a store can meet

# What mount(8) and fstab(5) say to themselves, or what is so anyway.
_IGNORED: Final = frozenset(
    {"rw", "auto", "noauto", "user", "nouser", "users", "owner", "group", "defaults", "_netdev"}
    | {"nofail", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "noatime", "async", "sync"}
)


@final
@dataclass(frozen=True, slots=True)
class Wish:
    """What a mount is asked to be, by its options, `-o` among them.

    `deadline` and `lease` are in seconds; a `lease` of 0 has no end.
    """

    asked: Asked
    read_only: bool
    allow_other: bool
    deadline: float
    lease: int
    log_file: Path | None
    best_effort: bool = False  # claims on a store that decides none
    probe: bool = False  # whatever is known of the store
    mirror: tuple[str, ...] = ()  # the harnesses whose transcripts it stores
    mirror_root: Path | None = None
    mirror_all: bool = False  # wherever they ran
    no_redact: bool = False


def parse_fstab(text: str, wish: Wish) -> Wish:
    """Return `wish` with what the comma-separated options say; they win.

    Raises:
        click.BadParameter: an option is not known, or its value cannot be meant.
    """
    for option in filter(None, text.split(",")):
        name, _, value = option.partition("=")
        match name:
            case "agent" | "endpoint" | "profile" | "region" if value:
                wish = replace(wish, asked=replace(wish.asked, **{name: value}))
            case "ro" | "read_only":
                wish = replace(wish, read_only=True)
            case "allow_other":
                wish = replace(wish, allow_other=True)
            case "claims" if value in CLAIMS:
                wish = replace(wish, best_effort=value == BEST_EFFORT)
            case "probe":
                wish = replace(wish, probe=True)
            case "deadline":
                wish = replace(wish, deadline=_seconds(value))
            case "lease":
                wish = replace(wish, lease=_lease(value))
            case "mirror" if value:
                # The option itself ends at a comma.
                wish = replace(wish, mirror=tuple(value.split(":")))
            case "mirror_root" if value:
                wish = replace(wish, mirror_root=Path(value))
            case "mirror_all":
                wish = replace(wish, mirror_all=True)
            case "no_redact":
                wish = replace(wish, no_redact=True)
            case "log_file" if value:
                wish = replace(wish, log_file=Path(value))
            case _ if name not in _IGNORED and not name.startswith(("x-", "comment")):
                raise click.BadParameter(f"'{option}' is not known", param_hint="-o")
    return wish


def in_time(wish: Wish) -> Wish:
    """Return `wish` with a deadline that its lease allows.

    A request that is still on its way when its deadline passes may arrive after it, and must not
    find that the claim it is about has changed hands (protocol.md, Steps).
    """
    return replace(wish, deadline=min(wish.deadline, wish.lease / 3)) if wish.lease else wish


def check_lease(seconds: int) -> int:
    """Return a lease that can be kept; raises click.BadParameter for one that cannot."""
    if seconds and seconds < SHORTEST:
        raise click.BadParameter(
            f"a lease has at least {SHORTEST} seconds; with 0, claims live for ever"
        )
    return seconds


def _lease(text: str) -> int:
    if not text.isdecimal():
        raise click.BadParameter(f"'lease={text}' is no number of seconds", param_hint="-o")
    return check_lease(int(text))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise click.BadParameter(f"'deadline={text}' is no number of seconds", param_hint="-o")
    return seconds
