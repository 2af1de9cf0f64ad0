"""`tcfs ls`, `cat`, `put`, `append`, `rm`, `mkdir`, `stat`: the tree without a mount.

PATH is a path in the tree, `steps/design/status` or `/steps/design/status`.
"""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tcfs.cli import _output
from tcfs.cli._failure import Failure
from tcfs.cli._visit_options import Where, json_option, visit_options

if TYPE_CHECKING:
    from tcfs.cli._files import Row, Source

_MODES = {"directory": "drwxr-xr-x", "link": "lrwxrwxrwx", "file": "-rw-r--r--"}
_file_argument = click.argument(
    "file", required=False, type=click.Path(dir_okay=False, path_type=Path, allow_dash=True)
)


@click.command(epilog="Example: tcfs ls -l steps/design")
@click.argument("path", default="/")
@click.option("-l", "long", is_flag=True, help="Modes, sizes and times as well.")
@json_option
@visit_options
def ls(where: Where, path: str, long: bool, as_json: bool) -> None:
    """List what is at PATH in the tree, without a mount."""
    from tcfs.cli import _files
    from tcfs.cli._visit import visit
    from tcfs.wire.text import on_one_line

    rows = visit(where, partial(_files.listed, path=path, attributes=long or as_json))
    if as_json:
        _print_json([_facts(row) for row in rows])
        return
    for row in rows:
        name = on_one_line(row.name)
        _print(f"{_details(row)} {name}{_arrow(row)}" if long else name)


@click.command(epilog="Example: tcfs cat steps/design/status")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@visit_options
def cat(where: Where, paths: tuple[str, ...]) -> None:
    """Print the files at PATH, without a mount; one that blocks is waited for."""
    from tcfs.cli import _files
    from tcfs.cli._visit import Visit, visit

    async def act(it: Visit) -> None:
        for path in paths:
            await _files.read(it, path, _output.show)

    visit(where, act)


@click.command(epilog="Example: tcfs put steps/design/claim <<< 'on the API'")
@click.argument("path")
@_file_argument
@click.option("--exclusive", is_flag=True, help="Only if it is new: O_EXCL, set -C.")
@visit_options
def put(where: Where, path: str, file: Path | None, exclusive: bool) -> None:
    """Write stdin, or FILE, to PATH, without a mount: `>` in one.

    Exits 1 when it is refused: a claim that somebody has, for one.
    """
    from tcfs.tree.walk import EXCLUSIVE, REPLACE

    _store(where, path, file, EXCLUSIVE if exclusive else REPLACE)


@click.command(epilog="Example: tcfs append messages/dev/inbox <<< 'done by noon'")
@click.argument("path")
@_file_argument
@visit_options
def append(where: Where, path: str, file: Path | None) -> None:
    """Add stdin, or FILE, to what is at PATH, without a mount: `>>` in one."""
    from tcfs.tree.walk import APPEND

    _store(where, path, file, APPEND)


@click.command(epilog="Example: tcfs rm steps/design/claim")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("-r", "tree", is_flag=True, help="Directories too, with all that is in them.")
@visit_options
def rm(where: Where, paths: tuple[str, ...], tree: bool) -> None:
    """Remove what is at PATH, without a mount; a claim is given back."""
    from tcfs.cli import _files
    from tcfs.cli._visit import visit_to_write

    visit_to_write(where, partial(_files.remove, paths=paths, tree=tree))


@click.command(epilog="Example: tcfs mkdir steps/design/claim")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("-p", "parents", is_flag=True, help="Those above it too; none where there is one.")
@visit_options
def mkdir(where: Where, paths: tuple[str, ...], parents: bool) -> None:
    """Make directories in the tree, without a mount; one that is called claim claims its step."""
    from tcfs.cli import _files
    from tcfs.cli._visit import visit_to_write

    visit_to_write(where, partial(_files.make, paths=paths, parents=parents))


@click.command(epilog="Example: tcfs stat --json memory/design.contract")
@click.argument("path")
@json_option
@visit_options
def stat(where: Where, path: str, as_json: bool) -> None:
    """Print what is at PATH in the tree, its size and its time, without a mount."""
    from tcfs.cli import _files
    from tcfs.cli._visit import visit
    from tcfs.wire.text import on_one_line

    facts = _facts(visit(where, partial(_files.seen, path=path)))
    if as_json:
        _print_json(facts)
        return
    for name, value in facts.items():
        if value is not None:
            _print(f"{name} {on_one_line(str(value))}")


def _store(where: Where, path: str, file: Path | None, mode: Any) -> None:
    from tcfs.cli import _files
    from tcfs.cli._visit import visit_to_write

    def act(source: "Source") -> None:
        visit_to_write(where, partial(_files.write, path=path, mode=mode, source=source))

    if file is not None and str(file) != "-":
        with file.open("rb", buffering=0) as source:
            act(source)
    elif sys.stdin is None:
        raise Failure("there is no standard input to read; name a FILE, or redirect it: < FILE")
    else:
        # Unbuffered: a thread that still reads at the end must hold no lock of Python's.
        act(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))


def _facts(row: "Row") -> dict[str, object]:
    from tcfs.wire.times import iso

    shown = row.attributes
    return {
        "name": row.name,
        "kind": row.kind,
        "size": shown.size,
        "modified": iso(shown.modified) if shown.modified else None,
        "writable": shown.writable,
        "target": row.target,
    }


def _details(row: "Row") -> str:
    facts = _facts(row)
    mode = _MODES[row.kind] if row.attributes.writable else "-r--r--r--"
    when = str(facts["modified"] or "-")
    return f"{mode} {row.attributes.size:>8} {when:<32}"


def _arrow(row: "Row") -> str:
    from tcfs.wire.text import on_one_line

    return "" if row.target is None else f" -> {on_one_line(row.target)}"


def _print(line: str) -> None:
    _output.show(f"{line}\n".encode(errors="surrogateescape"))


def _print_json(value: object) -> None:
    from tcfs.wire import json

    _output.show(json.view(value) + b"\n")
