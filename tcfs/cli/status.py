"""`tcfs status`."""

import click

from tcfs.cli import _output
from tcfs.cli._store_options import settings_of, store_options
from tcfs.cli.config import Asked


@click.command(epilog="Example: tcfs status --json | jq .agents")
@click.argument("store", required=False)
@store_options
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(
    store: str | None,
    agent: str | None,
    endpoint: str | None,
    profile: str | None,
    region: str | None,
    as_json: bool,
) -> None:
    """Print an overview of agents, steps and mail, without a mount.

    STORE is as for tcfs mount.
    """
    settings = settings_of(Asked("tcfs status", store, agent, endpoint, region, profile))
    from tcfs.cli import _open

    text = _open.overview(settings, as_json=as_json).rstrip("\n")
    _output.show(f"{text}\n".encode(errors="surrogateescape"))
