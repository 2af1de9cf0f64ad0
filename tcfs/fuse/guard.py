"""The one decorator on every request: its deadline, and what its errors are called.

An exception other than `FUSEError` ends a pyfuse3 mount (measured), so nothing else gets past
here but cancellation. A refusal is also written down, for `.tcfs/errors`.
"""

import errno
import functools
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, cast

import trio
from pyfuse3 import FUSEError

from tcfs.project import Served
from tcfs.stores.deadline import unhurried, within
from tcfs.tree.errnos import errno_of
from tcfs.wire.ids import AgentId

GRACE: Final = 1.0  # seconds past the deadline, for what does not look at it

Where = tuple[AgentId, str]

_log = logging.getLogger("tcfs.fuse")


class Guarded(Protocol):
    """What the decorator needs of the requests' room."""

    limit: float
    served: Served

    def unhurried(self, fh: int) -> bool:
        """Tell whether requests on this open file may take as long as they take."""

    def refused(self, where: Where, code: int, text: str) -> None:
        """Write down a refusal."""


S = TypeVar("S", bound=Guarded)
P = ParamSpec("P")
R = TypeVar("R")


Request = Callable[Concatenate[S, P], Coroutine[Any, Any, R]]


def guarded(
    where: Callable[..., Where], *, silent: frozenset[int] = frozenset(), on_handle: bool = False
) -> Callable[[Request[S, P, R]], Request[S, P, R]]:
    """Guard a request.

    `where` is called with the request's arguments to tell who asked and for which path, only
    when it fails. Errnos in `silent` are no refusals. `on_handle`: the first argument is an open
    file, which may be an unhurried one.
    """

    def decorate(request: Request[S, P, R]) -> Request[S, P, R]:
        name = request.__name__.lstrip("_")
        well = (name, 0)

        @functools.wraps(request)
        async def run(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                if on_handle and self.unhurried(args[0]):  # type: ignore[arg-type]  # P is open
                    # It carries more than a text: its limit is the time without progress.
                    with unhurried(self.limit):
                        answer = await request(self, *args, **kwargs)
                else:
                    answer = await _in_time(self.limit, request(self, *args, **kwargs))
            except FUSEError as error:
                self.served[name, error.errno] += 1
                raise
            except Exception as error:
                code, text = meaning(error, request.__name__)
                self.served[name, code] += 1
                if code not in silent:
                    self.refused(where(self, *args), code, text)
                raise FUSEError(code) from None
            except BaseExceptionGroup as group:
                # Cancelled while something else failed: the mount is ending, and that goes on.
                errors, rest = group.split(Exception)
                if errors is not None:
                    _log.error(
                        "%s failed while it was cancelled", request.__name__, exc_info=errors
                    )
                if rest is None:
                    raise FUSEError(errno.EIO) from None
                raise rest from None
            self.served[well] += 1
            return answer

        return cast("Request[S, P, R]", run)  # functools.wraps forgets that `self` is positional

    return decorate


async def _in_time(limit: float, request: Coroutine[Any, Any, R]) -> R:
    # What looks at the deadline says what it waited for; the scope is for what does not. It is
    # the dearest part of an answer: 6 us, fail_after 8 (measured).
    with within(limit), trio.CancelScope(deadline=trio.current_time() + limit + GRACE):
        return await request
    raise trio.TooSlowError


def meaning(error: Exception, request: str) -> tuple[int, str]:
    """Return the errno and the text of an error; one that is nobody's refusal is logged."""
    for leaf in _leaves(error):
        code = errno_of(leaf)
        if code is not None:
            return code, str(leaf) or os.strerror(code)
        if isinstance(leaf, FUSEError):
            return leaf.errno, os.strerror(leaf.errno)
        if isinstance(leaf, trio.TooSlowError):
            return errno.ETIMEDOUT, f"{request} took longer than its deadline; try again"
        if isinstance(leaf, OSError) and leaf.errno:
            return leaf.errno, leaf.strerror or os.strerror(leaf.errno)
    _log.error("%s failed, which is a bug", request, exc_info=error)
    return errno.EIO, f"a bug in tcfs ({type(error).__name__}: {error}); its log has the traceback"


def _leaves(error: BaseException) -> list[Exception]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error] if isinstance(error, Exception) else []
