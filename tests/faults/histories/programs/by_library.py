"""tcfs's library over S3, a mount without a kernel: what many agents do, all at once.

Reads `{"id", "agent", "act", "path", "data"}` a line and answers `{"id", "code", "text"}`, in
whatever order they are done; `code` is 0 or an errno. Its argument is a JSON object: the account,
`project`, `agent`, `state`, `lease` and `deadline`.
"""

import errno
import json
import os
import socket
import sys
from io import BytesIO
from pathlib import Path

import trio

import tcfs
from tcfs.cli import _files
from tcfs.cli._failure import Failure
from tcfs.cli._visit import Visit
from tcfs.project import Project
from tcfs.stores.s3 import S3Store
from tcfs.tree import Caller, MountInfo, Refusals, root
from tcfs.tree.errnos import errno_of
from tcfs.tree.walk import APPEND, REPLACE, Walk
from tcfs.wire.ids import AgentId


async def act(visit: Visit, request: dict[str, str]) -> str:
    path, data = request["path"], BytesIO(request["data"].encode())
    match request["act"]:
        case "put":
            await _files.write(visit, path, REPLACE, data)
        case "append":
            await _files.write(visit, path, APPEND, data)
        case "rm":
            await _files.remove(visit, [path], tree=False)
        case "mkdir":
            await _files.make(visit, [path], parents=False)
        case "rmdir":
            await _files.remove(visit, [path], tree=True)
        case "cat":
            printed: list[bytes] = []
            await _files.read(visit, path, printed.append)
            return b"".join(printed).decode()
    return ""


async def answer(project: Project, info: MountInfo, limit: float, request: dict[str, str]) -> None:
    agent = AgentId(request["agent"])
    refusals = Refusals(lambda _: None)
    walk = Walk(root(project, info, refusals), Caller(agent, "named", os.getpid()))
    code = 0
    try:
        text = await act(Visit(project, walk, agent, limit), request)
    except trio.TooSlowError:
        code, text = errno.EIO, "it took too long"
    except Exception as error:
        # What was late is told as a command tells it: the cause is what it was late with.
        cause = error.__cause__ if isinstance(error, Failure) else error
        known = cause.errno if isinstance(cause, OSError) else errno_of(cause or error)
        if known is None:
            raise
        code, text = known, str(error)
    print(json.dumps({"id": request["id"], "code": code, "text": text}), flush=True)


async def main(given: dict[str, str]) -> None:
    limit = float(given["deadline"])
    store = S3Store(
        given["bucket"],
        given["project"],
        endpoint=given["endpoint"],
        region=given["region"],
        access_key=given["access_key"],
        secret_key=given["secret_key"],
        request_timeout=limit / 3,
    )
    info = MountInfo("-", tcfs.__version__, "", lambda it: it.how)
    async with Project.open(
        store,
        agent=AgentId(given["agent"]),
        host=socket.gethostname(),
        state=Path(given["state"]),
        lease=int(given["lease"]),
        deadline=limit,
    ) as project:
        await project.present()
        print(json.dumps("ready"), flush=True)
        async with trio.open_nursery() as nursery:
            while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
                nursery.start_soon(answer, project, info, limit, json.loads(line))


trio.run(main, json.loads(sys.argv[1]))
