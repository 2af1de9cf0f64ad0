"""`tcfs doctor`."""

import click

from tcfs.cli._failure import Exit
from tcfs.cli._store_options import settings_of, store_options
from tcfs.cli.config import Asked


@click.command(epilog="Example: tcfs doctor s3://bucket/project")
@click.argument("store", required=False)
@store_options
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def doctor(
    store: str | None,
    agent: str | None,
    endpoint: str | None,
    profile: str | None,
    region: str | None,
    as_json: bool,
) -> int:
    """Look at what a mount would need, and try out what the store does.

    STORE is as for tcfs mount. A line for each thing: ok, or what to do. Writes below
    .tcfs/probe/ of the project, and removes it again.
    """
    settings = settings_of(Asked("tcfs doctor", store, agent, endpoint, region, profile))
    from tcfs.cli import _examine

    well = _examine.to_json(settings) if as_json else _examine.to_text(settings)
    return Exit.DONE if well else Exit.FAILED
