"""A command line, `tcfs` or the reference's `tracecraft`: a process for every command, in no time.

Reads `{"id", "agent", "command", "data"}` a line, forks for each, so that a process acts and ends
as it does in a shell but need not import everything anew, and answers `{"id", "code", "text"}` in
whatever order they end.
"""

import contextlib
import fcntl
import io
import json
import os
import signal
import sys
import traceback


def command_line():
    if sys.argv[1] == "tcfs":
        import boto3  # else every child does
        import obstore  # noqa: F401

        from tcfs.cli import _files, _probed, _visit, files, main  # noqa: F401

        return main
    import boto3
    from tracecraft.cli import cli

    # What it reads of its own files for a first client, every child has from here.
    boto3.client("s3", region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-")
    return cli


def run(main, request):
    """Run one command as its process would be run; return its exit code and what it printed."""
    os.environ["TRACECRAFT_AGENT"] = request["agent"]
    sys.stdin = io.TextIOWrapper(io.BytesIO(request["data"].encode()))
    printed = io.TextIOWrapper(io.BytesIO(), write_through=True)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code = main(request["command"])
        except SystemExit as error:
            code = error.code
        except Exception:  # as Python ends a process: the reference knows few of boto3's
            traceback.print_exc()
            code = 1
    return int(code or 0), printed.buffer.getvalue().decode()


def child(main, request):
    code, text = run(main, request)
    line = json.dumps({"id": request["id"], "code": code, "text": text}) + "\n"
    with open(os.environ["ANSWERING"], "w") as turn:  # noqa: PTH123 - the reference's Python too
        fcntl.flock(turn, fcntl.LOCK_EX)
        os.write(1, line.encode())


main = command_line()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.write(1, b'"ready"\n')
for line in sys.stdin:
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            child(main, json.loads(line))
        finally:
            os._exit(0)
