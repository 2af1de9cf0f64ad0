"""The options of every command that works on a project without a mount."""

import functools
from dataclasses import dataclass
from typing import Any, final

import click

from tcfs.cli._store_options import Command, settings_of, store_options
from tcfs.cli.config import Asked, Settings


@final
@dataclass(frozen=True, slots=True)
class Where:
    """What a command works on, and how many seconds an operation of it may take."""

    settings: Settings
    deadline: float


def visit_options(command: Command) -> Command:
    """Add `--store`, those of `store_options` and `--deadline`; gives the command a `where`."""

    @functools.wraps(command)
    def run(
        *,
        store: str | None,
        agent: str | None,
        endpoint: str | None,
        profile: str | None,
        region: str | None,
        deadline: float,
        **rest: Any,
    ) -> Any:
        name = click.get_current_context().command_path
        settings = settings_of(Asked(name, store, agent, endpoint, region, profile))
        return command(where=Where(settings, deadline), **rest)

    seconds = click.option(
        "--deadline",
        type=click.FloatRange(min=0, min_open=True),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="What an operation may take, if the store is slow.",
    )
    project = click.option("--store", metavar="STORE", help="The project, as for tcfs mount.")
    return project(store_options(seconds(run)))


json_option = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
