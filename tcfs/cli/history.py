"""`tcfs history`."""

import click

from tcfs.cli import _output
from tcfs.cli._visit_options import Where, json_option, visit_options


@click.command(epilog="Example: tcfs history design.contract --limit 5")
@click.argument("key")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N only.")
@json_option
@visit_options
def history(where: Where, key: str, limit: int | None, as_json: bool) -> None:
    """Print the versions of a memory KEY, oldest first, without a mount."""
    from tcfs.cli import _steps
    from tcfs.cli._visit import visit
    from tcfs.wire import json
    from tcfs.wire.text import escaped, on_one_line
    from tcfs.wire.times import iso

    versions = visit(where, lambda it: it.in_time(_steps.history(it, key, limit)))
    if as_json:
        rows = [
            {"set_at": iso(it.set_at), "set_by": it.agent, "value": it.value} for it in versions
        ]
        _output.show(json.dump(rows) + b"\n")
        return
    for it in versions:
        value = escaped(it.value).rstrip("\n").replace("\n", "\n    ")
        line = f"[{iso(it.set_at)}] {on_one_line(it.agent)}: {value}\n"
        _output.show(line.encode(errors="surrogateescape"))
