"""The checks of `tcfs doctor`, told as they are made, or all at the end."""

from dataclasses import asdict

import trio

from tcfs.cli import _output
from tcfs.cli._checks import Check, checks
from tcfs.cli.config import Settings
from tcfs.wire import json
from tcfs.wire.text import escaped


def to_text(settings: Settings) -> bool:
    """Print a line for each check; return whether all is well."""

    async def tell() -> bool:
        well = True
        async for check in checks(settings):
            well = well and check.ok
            _output.tell(_line(check))
        return well

    return trio.run(tell)


def to_json(settings: Settings) -> bool:
    """Print all checks as one JSON object; return whether all is well."""

    async def gather() -> list[Check]:
        return [check async for check in checks(settings)]

    found = trio.run(gather)
    well = all(check.ok for check in found)
    _output.tell(json.view({"ok": well, "checks": [asdict(check) for check in found]}).decode())
    return well


def _line(check: Check) -> str:
    mark = "ok " if check.ok else "NOT"
    return escaped(f"{mark} {check.name}: {check.text}")
