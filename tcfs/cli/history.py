"""`tcfs history`."""

from typing import TYPE_CHECKING

import click

from tcfs.cli import _output
from tcfs.cli._visit_options import Where, json_option, visit_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tcfs.cli._steps import Version


@click.command(epilog="Example: tcfs history design.contract --limit 5")
@click.argument("key")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N only.")
@json_option
@visit_options
def history(where: Where, key: str, limit: int | None, as_json: bool) -> None:
    """Print the versions of a memory KEY, oldest first, without a mount."""
    from tcfs.cli import _steps
    from tcfs.cli._visit import Visit, visit

    async def show(visit: Visit) -> None:
        versions = _steps.history(visit, key, limit)
        await (_show_json(versions) if as_json else _show_text(versions))

    visit(where, show)


async def _show_text(versions: "AsyncIterator[Version]") -> None:
    from tcfs.wire.text import escaped, on_one_line
    from tcfs.wire.times import iso

    async for it in versions:
        value = escaped(it.value).rstrip("\n").replace("\n", "\n    ")
        line = f"[{iso(it.set_at)}] {on_one_line(it.agent)}: {value}\n"
        _output.show(line.encode(errors="surrogateescape"))


async def _show_json(versions: "AsyncIterator[Version]") -> None:
    from tcfs.wire import json
    from tcfs.wire.times import iso

    before = b"["
    async for it in versions:
        row = json.view({"set_at": iso(it.set_at), "set_by": it.agent, "value": it.value})
        _output.show(before + b"\n  " + row.replace(b"\n", b"\n  "))
        before = b","
    _output.show(b"[]\n" if before == b"[" else b"\n]\n")
