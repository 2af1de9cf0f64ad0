"""The kinds of operations on a mount, as shell lines, and how to see afterwards what came of one.

A line runs in `as/{x}/`, where `{x}` is a name no other row has: a rule can tell by it whose
requests they are. It is a directory of its own as well: the kernel lets one at a time make
something in a directory, and here all are to be on their way at once.
"""

import shlex
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self, final

SMALL: Final = 1000  # bytes of an artifact that is stored in one request
LARGE: Final = (8 << 20) + 1000  # and of one that is stored in two parts


@final
@dataclass(frozen=True, slots=True)
class Act:
    """One operation: `before` makes what it needs, and `look` prints what is there then.

    That is `done` or `undone`; None for what only reads.
    """

    name: str
    line: str
    before: str = ":"
    look: str = ":"
    done: str | None = None
    undone: str | None = None
    between: str | None = None  # may be there as well where it is unknown how far it got
    anew: str | None = None  # does it where `line` would say that it is there already
    calls: int = 1  # system calls that wait, though the one before failed

    def __str__(self) -> str:
        return self.name

    @property
    def writes(self) -> bool:
        return self.done is not None

    def of(self, x: str) -> Self:
        """Return the act of one row."""
        texts: dict[str, Any] = {
            it.name: text.replace("{x}", x)
            for it in fields(self)
            if isinstance(text := getattr(self, it.name), str)
        }
        return replace(self, **texts)

    @property
    def mended(self) -> str:
        """Do it if it is not done."""
        if self.done is None:
            return self.line
        is_done = f'[ "$({self.look})" = {shlex.quote(self.done.strip())} ]'
        return f"{is_done} || {{ {self.anew or self.line}; }}"


_STEP: Final = "cat steps/{x}/status; cat steps/{x}/owner 2> /dev/null; true"
_CLAIM: Final = "echo mine > steps/{x}/claim"
_ONE: Final = "echo one > memory/{x}"
_ARTIFACT: Final = "mkdir -p artifacts/{x}; cp $SMALL artifacts/{x}/f"

STEPS: Final = (
    Act("claim", _CLAIM, look=_STEP, done="in_progress\n{x}\n", undone="pending\n"),
    Act("status", "cat steps/{x}/status", before=_CLAIM),
    Act("wait", "cat steps/{x}/wait", before=f"{_CLAIM}; echo complete > steps/{{x}}/status"),
    Act(
        "finish",
        "echo complete > steps/{x}/status",
        before=_CLAIM,
        look="cat steps/{x}/status",
        done="complete\n",
        undone="in_progress\n",
    ),
    Act(
        "give back",
        "rm steps/{x}/claim",
        before=_CLAIM,
        look=_STEP,
        done="pending\n",
        undone="in_progress\n{x}\n",
        calls=2,
    ),
    Act(
        "handoff",
        "echo note > steps/{x}/handoff",
        before=_CLAIM,
        look="cat steps/{x}/handoff 2> /dev/null; true",
        done="note\n",
        undone="",
    ),
    Act(
        "lock",
        "mkdir locks/{x}",
        look="cat locks/{x}/owner 2> /dev/null; true",
        done="{x}\n",
        undone="",
    ),
)
TEXTS: Final = (
    Act("read memory", "cat memory/{x}", before=_ONE),
    Act(
        "set memory",
        "echo two > memory/{x}",
        before=_ONE,
        look="cat memory/{x}",
        done="two\n",
        undone="one\n",
    ),
    Act(
        "append",
        "echo two >> memory/{x}",
        before=_ONE,
        look="cat memory/{x}",
        done="one\ntwo\n",
        undone="one\n",
    ),
    Act(
        "create memory",
        "set -C; echo one > memory/{x}",
        look="cat memory/{x} 2> /dev/null; true",
        done="one\n",
        undone="",
        anew="echo one > memory/{x}",
    ),
    Act(
        "send",
        "echo hi >> messages/{x}/inbox",
        look="cat messages/{x}/inbox | sed 's/.*: //'",
        done="hi\n",
        undone="",
    ),
    Act(
        "read mail",
        "cat messages/{x}/unread",
        before="echo hi >> messages/{x}/inbox",
        look="cat messages/{x}/unread | sed 's/.*: //'",
        done="",
        undone="hi\n",
    ),
)
FILES: Final = (
    Act("list", "ls artifacts/{x}", before=_ARTIFACT),
    Act("fetch", "cmp $SMALL artifacts/{x}/f", before=_ARTIFACT),
    Act(
        "store",
        "cp $SMALL artifacts/{x}/f",
        before="mkdir -p artifacts/{x}",
        look="ls artifacts/{x}; cmp $SMALL artifacts/{x}/f 2> /dev/null; true",
        done="f\n",
        undone="",
    ),
    Act(
        "replace",
        "cp $OTHER artifacts/{x}/f",
        calls=2,
        before=_ARTIFACT,
        look="cmp -s $OTHER artifacts/{x}/f && echo other || cmp $SMALL artifacts/{x}/f",
        done="other\n",
        undone="",
    ),
    Act(
        "rename",
        # As `mv` does it in the end: it asks several times, and tells of the last.
        "perl -e 'rename $ARGV[0], $ARGV[1] or die qq(mv: $!\n)' artifacts/{x}/f artifacts/{x}/g",
        before=_ARTIFACT,
        look="ls artifacts/{x}; for f in artifacts/{x}/*; do cmp $SMALL $f; done",
        done="g\n",
        undone="f\n",
        between="f\ng\n",
    ),
)
ACTS: Final = {"steps": STEPS, "texts": TEXTS, "files": FILES}
