"""The options that say which project and as whom, shared by every command that needs one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tcfs.cli.config import Asked, Settings, settle

Command = Callable[..., Any]


def store_options(command: Command) -> Command:
    """Add `--agent --endpoint --profile --region` to a command."""
    for option in reversed(
        (
            click.option("--agent", metavar="ID", help="Who acts, where nothing else says so."),
            click.option("--endpoint", metavar="URL", help="The S3 service, if it is not AWS."),
            click.option("--profile", metavar="NAME", help="An AWS profile for the credentials."),
            click.option("--region", metavar="R", help="The bucket's region."),
        )
    ):
        command = option(command)
    return command


def settings_of(asked: Asked) -> Settings:
    """Decide, from the command line, the environment and the files, what to work on."""
    return settle(asked, os.environ, Path.cwd(), Path.home())
