"""Every error has an errno, in one table."""

import errno
import inspect

import pytest

from tcfs import stores
from tcfs.project import errors
from tcfs.stores import _errors
from tcfs.tree.errnos import ERRNO, errno_of
from tcfs.tree.refusals import KEPT, LONGEST, Refusals
from tcfs.wire import InvalidName, Malformed
from tcfs.wire.ids import AgentId

BASES = (_errors.StoreError, errors.Refused)
RAISED = [
    kind
    for module in (_errors, errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, BASES) and kind not in BASES
]


@pytest.mark.parametrize("kind", [*RAISED, InvalidName, Malformed])
def test_every_error_of_the_store_and_the_project_has_an_errno(kind: type[Exception]) -> None:
    assert kind in ERRNO
    assert errno_of(kind("why")) == ERRNO[kind]
    assert ERRNO[kind] in errno.errorcode


def test_there_are_as_many_errors_as_the_trees_show() -> None:
    assert len(RAISED) == 12 + 14


def test_unknown_is_not_merely_unavailable() -> None:
    assert errno_of(stores.OutcomeUnknown("?")) == errno.EIO
    assert errno_of(stores.Unavailable("?")) == errno.ETIMEDOUT
    assert errno_of(stores.Denied("?")) == errno.EACCES
    assert errno_of(stores.ReadOnly("?")) == errno.EROFS


def test_bug_has_no_errno() -> None:
    assert errno_of(KeyError("x")) is None
    assert errno_of(AssertionError()) is None
    assert errno_of(ExceptionGroup("", [stores.NotFound("x")])) is None


A = AgentId("a")


def test_refusals_are_lines_with_path_errno_and_what_to_do() -> None:
    refusals = Refusals()
    refusals.record(A, "/steps/x/claim", errno.EEXIST, "held by b; take another")
    line = refusals.text(A)
    assert line.endswith(" /steps/x/claim EEXIST held by b; take another\n")
    assert refusals.text(AgentId("b")) == ""


def test_refusals_are_bounded() -> None:
    refusals = Refusals()
    for number in range(KEPT + 5):
        refusals.record(A, f"/{number}", errno.EPERM, "no")
    lines = refusals.text(A).splitlines()
    assert len(lines) == KEPT
    assert " /5 " in lines[0]


def test_refusal_of_a_strange_path_is_one_line_that_can_be_read() -> None:
    refusals = Refusals()
    for path in ("/a\nb", "/a\x1b[2J", "/a\udcff", "/a\udcff\n", "/é"):
        refusals.record(A, path, errno.EINVAL, "no")
    text = refusals.text(A)
    assert len(text.encode().splitlines()) == 5
    assert "\x1b" not in text
    assert "/é" in text


def test_refusal_as_long_as_can_be_says_what_to_do() -> None:
    told: list[str] = []
    refusals = Refusals(told.append)
    refusals.record(A, "/memory/" + "k" * 4000, errno.EINVAL, "a key is shorter; choose another")
    refusals.record(A, "/memory/k", errno.EIO, f"the store said {'x' * 10**6}; try again")
    refusals.record(A, "/" + "\x1b" * 1990, errno.EINVAL, "choose another")
    path, text, control = refusals.text(A).splitlines()
    assert " /memory/kkk" in path
    assert path.endswith("k EINVAL a key is shorter; choose another")
    assert " /memory/k EIO the store said xxx" in text
    assert text.endswith("xxx; try again")
    assert control.endswith(" EINVAL choose another")
    assert max(map(len, [path, text, control, *told])) <= LONGEST
    assert all(" [...] " in it for it in (path, text, control, *told[:2]))
