"""What a refusal is, whichever door it comes through."""

import errno
import os
from typing import final

import pytest

from tests.doors.hands import Denial


@final
class denied:
    """Expect a refusal: by its errno through a mount, and through both by what is said of it.

    What the kernel answers by itself has no text of ours, and what is missing has no line: `says`
    is left out then, and `command` is what a command says all the same.
    """

    def __init__(self, code: int, says: str = "", *, command: str = "") -> None:
        self._code = code
        self._says = says
        self._command = command

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if error is None:
            pytest.fail("nothing was refused")
        if not isinstance(error, Denial):
            return False
        if error.code is not None:
            assert error.code == self._code, f"not {os.strerror(self._code)}: {error}"
            if self._says:
                assert f" {errno.errorcode[self._code]} " in error.explained, error
        else:
            assert error.told.startswith("tcfs: "), error
            assert error.told.count("\n") == 1, error
            assert self._command in error.explained, error
        assert self._says in error.explained, error
        return True
