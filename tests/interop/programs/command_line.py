"""Runs in the reference's environment: its command line, many times in one process.

Reads `[agent, argument, …]` a line and answers `[exit code, what it printed]`.
"""

import contextlib
import functools
import io
import json
import os
import sys

import click
import tracecraft.s3
from tracecraft.cli import cli

# A client takes its maker longer than all a command does with it.
tracecraft.s3.S3 = functools.cache(tracecraft.s3.S3)


def call(arguments):
    try:
        cli(arguments, standalone_mode=False)
    except click.ClickException as error:
        print(error.format_message())
        return error.exit_code
    except SystemExit as error:
        return error.code
    return 0


print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    agent, *arguments = json.loads(line)
    os.environ["TRACECRAFT_AGENT"] = agent
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = call(arguments)
    print(json.dumps([code, printed.getvalue()]), flush=True)
