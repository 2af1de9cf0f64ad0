"""`tcfs init`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tcfs.cli import _config_file, _output
from tcfs.cli._failure import Failure
from tcfs.cli.config import FILE_NAME, Configuration, settle_configured, user_name


@click.command(
    epilog="Example: tcfs init --endpoint http://localhost:9000 --bucket fleet --agent designer"
)
@click.option(
    "--backend",
    type=click.Choice(["s3", "hf", "file"]),
    help="Where the project lives; file is a directory of this host.  [default: s3]",
)
@click.option("--endpoint", metavar="URL", help="The S3 service, if it is not AWS.")
@click.option("--bucket", metavar="NAME", help="The bucket, or the directory of --backend file.")
@click.option("--project", metavar="NAME", help="[default: the current directory's name]")
@click.option("--agent", metavar="ID", help="[default: your user name]")
@click.option("--access-key", metavar="KEY", help="Stored; leave it out to use AWS's own ways.")
@click.option("--secret-key", metavar="KEY", help="Stored with it.")
@click.option("--hf-token", metavar="TOKEN", help="For --backend hf.")
@click.option("--private/--public", "private", default=None, help="For --backend hf.")
def init(
    backend: str | None,
    endpoint: str | None,
    bucket: str | None,
    project: str | None,
    agent: str | None,
    access_key: str | None,
    secret_key: str | None,
    hf_token: str | None,
    private: bool | None,
) -> None:
    """Write ./.tracecraft.json, make the bucket, register the agent.

    The file is the one that tracecraft-ai reads and writes. What is not given is kept from the
    file that is there.
    """
    if (access_key is None) != (secret_key is None):
        raise click.UsageError("--access-key and --secret-key are given together, or not at all")
    if private is False:
        raise click.UsageError("--public is for --backend hf; tcfs makes private buckets only")
    path = Path.cwd() / FILE_NAME
    given = {
        "backend": backend,
        "bucket": bucket,
        "project": project,
        "agent_id": agent,
        "endpoint": endpoint,
        "access_key": access_key,
        "secret_key": secret_key,
        "hf_token": hf_token,
    }
    members = merge(_config_file.read(path), given, path.parent)
    settings = settle_configured(Configuration(path, members), os.environ)
    from tcfs.cli import _open

    _open.set_up(settings)
    _config_file.write(path, members)
    if ignore := _config_file.keep_out_of_git(path.parent):
        _output.tell(f"added {FILE_NAME} to {ignore}")
    _output.tell(f"wrote {path}: {settings.store.url} as agent {settings.agent}")
    _output.tell("next: tcfs mount")


def merge(
    members: Mapping[str, Any], given: Mapping[str, str | None], directory: Path
) -> dict[str, Any]:
    """Return the members of the new file: those of the old one, those given, and defaults.

    Raises:
        Failure: no bucket is named.
    """
    merged = {name: value for name, value in members.items() if value is not None}
    merged |= {name: value for name, value in given.items() if value is not None}
    merged = {"backend": "s3"} | merged
    if merged["backend"] == "file" and merged.get("bucket"):
        merged["bucket"] = os.path.normpath(directory / Path(merged["bucket"]).expanduser())
    elif merged["backend"] == "s3" and not merged.get("bucket"):
        raise Failure(
            "no bucket is named; use --bucket NAME, or --backend file for a store on this host"
        )
    defaults = {"project": directory.name or "root", "agent_id": user_name()}
    merged |= {name: value for name, value in defaults.items() if not merged.get(name)}
    if given["access_key"] is None and _moved(members, merged):
        # Keys go nowhere but to the bucket that they were configured for.
        for name in ("access_key", "secret_key"):
            merged.pop(name, None)
    return merged


def _moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return any(before.get(name) != after.get(name) for name in ("bucket", "endpoint"))
