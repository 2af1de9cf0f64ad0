"""What is mirrored, by whom: from names on the command line to sources and redactors.

Imported before a mount forks, so nothing here may start a thread or a task.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tcfs.cli._failure import Failure
from tcfs.cli._places import state_home
from tcfs.cli.config import Settings
from tcfs.mirror.kept import Kept
from tcfs.mirror.sources import HARNESSES, Source, source
from tcfs.stores import Store

SECRETS: Final = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
)
"""Variables of the environment that hold what a store is reached with."""


@final
@dataclass(frozen=True, slots=True)
class Transcripts:
    """What a mount mirrors: what ran at `root` or below, or anywhere (None)."""

    harnesses: tuple[str, ...]
    root: Path | None
    redact: bool


def known(names: Sequence[str]) -> tuple[str, ...]:
    """Return the harnesses of these names, of which `all` is all; raises Failure for others."""
    if "all" in names:
        return tuple(HARNESSES)
    unknown = [it for it in names if it not in HARNESSES]
    if unknown or not names:
        raise Failure(
            f"tcfs knows no harness '{', '.join(unknown)}'; it knows {', '.join(HARNESSES)}, "
            "and any other tool's file by tcfs mirror --harness file --path FILE"
        )
    return tuple(dict.fromkeys(names))


def sources_of(names: Sequence[str]) -> list[Source]:
    """Return the sources of harnesses; raises as `known` does."""
    return [source(it, os.environ) for it in known(names)]


def kept_for(settings: Settings, environ: Mapping[str, str], store: Store) -> Kept:
    """Return the redactors of this user, which take out what the project is reached with.

    That is also what only a profile or a role knows: the store tells what it signs with.
    """
    given = {*settings.secrets, *filter(None, map(environ.get, SECRETS))}
    return Kept(state_home(environ) / "redaction", lambda: given.union(store.secrets()))
