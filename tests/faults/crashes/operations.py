"""What shells do in a mount that is killed meanwhile, and what may have come of it.

`one` acts, and its mount is killed; `two` has a mount that lives. `$x` is a name that no other
case uses. A script prints `told` where its program was told that the act succeeded: an open that
claims, a first line, or a close that the program looks at (`cp`, `tee`; bash does not).
"""

from dataclasses import dataclass
from typing import Final, final

OF_STEP: Final = "cat steps/$x/status; cat steps/$x/owner 2> /dev/null; true"
OF_NOTE: Final = "cat steps/$x/owner; sed '1,/^$/d' steps/$x/claim"
OF_LOCK: Final = (
    "if [ -d locks/$x ]; then cat locks/$x/owner; elif [ -e locks/$x ]; then cat locks/$x;"
    " else echo free; fi"
)
OF_VALUE: Final = "cat memory/$x 2> /dev/null || echo none"
OF_VALUES: Final = "for k in $x $x-new; do cat memory/$k 2> /dev/null || echo none; done"
OF_FILE: Final = "cat artifacts/shared/$x 2> /dev/null || echo none"
OF_FILES: Final = "for k in $x $x-new; do cat artifacts/shared/$k 2> /dev/null || echo none; done"
OF_LARGE: Final = "md5sum < artifacts/shared/$x 2> /dev/null | cut -c-32; true"
MAILED: Final = "grep -c hello-$x messages/two/inbox; true"

FEW: Final = "rm -f messages/one/*"  # each is asked for, so that there would be ever more requests
CLAIM: Final = "echo first > steps/$x/claim"
ANYBODY: Final = "echo > steps/$x/claim && echo complete > steps/$x/status"
HOLDER: Final = "echo complete > steps/$x/status"
IN_TURN: Final = "mkdir locks/$x && rmdir locks/$x"


@final
@dataclass(frozen=True, slots=True)
class Operation:
    """A kind of operation. `look` prints how things are: `old` before, `new` after it."""

    name: str
    script: str
    look: str
    old: str
    new: str
    between: tuple[str, ...] = ()  # what else a crash may leave: what several acts come to
    before: str = "true"  # what `one` does first
    before_two: str = "true"  # and then `two`
    then_old: str = "true"  # what `two` can do if nothing came of it
    then_new: str = "true"  # what `one` can do if it did
    beats: bool = False  # it is about what is under `agents/`
    once: bool = False  # looking changes what is seen
    printing: str = ""  # nothing may come of it unless it has printed this


def _steps() -> list[Operation]:
    held = "in_progress one"
    untaken = {"look": OF_STEP, "old": "pending", "new": held}
    usable = {"then_old": ANYBODY, "then_new": HOLDER}
    bound = {"look": OF_STEP, "old": "pending", "new": "pending", "then_old": ANYBODY}
    finishes = [
        Operation(
            f"finish as {state}",
            f"echo {state} > steps/$x/status && echo told",
            f"cat steps/$x/status; {'cat steps/$x/handoff > /dev/null' if whole else 'true'}",
            *("in_progress", state),
            before=CLAIM,
            then_old="! echo > steps/$x/claim",
            then_new="echo pending > steps/$x/status",
        )
        for state, whole in (("complete", False), ("failed", False), ("blocked", False))
    ]
    return [
        Operation("claim", "echo n > steps/$x/claim && echo told", **untaken, **usable),
        Operation("claim by mkdir", "mkdir steps/$x/claim && echo told", **untaken, **usable),
        Operation(
            "claim what was given back",
            "echo n > steps/$x/claim && echo told",
            **untaken,
            before=f"{CLAIM}; rm steps/$x/claim",
            **usable,
        ),
        Operation(
            "add to the note",
            "echo more >> steps/$x/claim && echo told",
            *(OF_NOTE, "one first", "one first more"),
            before=CLAIM,
            then_old="! echo > steps/$x/claim",
            then_new=HOLDER,
        ),
        *finishes,
        Operation(
            "finish what nobody holds",
            "echo complete > steps/$x/status && echo told",
            *("cat steps/$x/status", "pending", "complete"),
            then_old=ANYBODY,
            then_new="echo pending > steps/$x/status",
        ),
        Operation(
            "give back by pending",
            "echo pending > steps/$x/status && echo told",
            *(OF_STEP, held, "pending"),
            before=CLAIM,
            then_old="! echo > steps/$x/claim",
            then_new="echo > steps/$x/claim",
        ),
        Operation(
            "give back by rm",
            "rm steps/$x/claim && echo told",
            *(OF_STEP, held, "pending"),
            before=CLAIM,
            then_old="! echo > steps/$x/claim",
            then_new="echo > steps/$x/claim",
        ),
        Operation(
            "reopen",
            "echo pending > steps/$x/status && echo told",
            *("cat steps/$x/status", "complete", "pending"),
            before=f"{CLAIM}; {HOLDER}",
            then_old="! echo > steps/$x/claim",
            then_new="echo > steps/$x/claim",
        ),
        Operation(
            "hand off",
            "echo read this > steps/$x/handoff && echo told",
            *("cat steps/$x/handoff 2> /dev/null || echo none", "none", "read this"),
            before=CLAIM,
            then_new=HOLDER,
        ),
        Operation("hold", "exec 9> steps/$x/hold && exec 9>&- && echo told", **bound),
        Operation(
            "hold and finish",
            "exec 9> steps/$x/hold && echo complete > steps/$x/status && echo told; exec 9>&-",
            *("cat steps/$x/status", "pending", "complete"),
            then_old=ANYBODY,
        ),
        Operation(
            "hold what is claimed",
            "exec 9> steps/$x/hold && exec 9>&- && echo told",
            *(OF_STEP, held, "pending"),
            before=CLAIM,
            then_new="echo > steps/$x/claim",
        ),
        Operation(
            "take",
            's=$(cat ready/take) && [ "$s" = $x ] && echo told',
            *(OF_STEP, "pending", held),
            before="echo pending > steps/$x/status",
            then_old=ANYBODY,
            then_new=HOLDER,
        ),
        Operation(
            "say what comes first",
            "echo $x-first > steps/$x/after && echo told",
            *("cat steps/$x/after 2> /dev/null || echo none", "none", "$x-first"),
            then_new="! ls ready | grep -qx $x",
        ),
        Operation(
            "keep a file with a step",
            "cp /dev/stdin steps/$x/notes <<< kept && echo told",
            *("cat steps/$x/notes 2> /dev/null || echo none", "none", "kept"),
        ),
        Operation(
            "remove a step",
            "rm -r steps/$x && echo told",
            *("ls steps | grep -qx $x && echo some || echo none", "some", "none"),
            before=f"{CLAIM}; echo a > steps/$x/handoff; echo b > steps/$x/notes",
            then_new="echo > steps/$x/claim",
        ),
    ]


def _locks() -> list[Operation]:
    return [
        Operation(
            "lock by mkdir",
            "mkdir locks/$x && echo told",
            *(OF_LOCK, "free", "one"),
            then_old=IN_TURN,
            then_new="rmdir locks/$x",
        ),
        Operation(
            "unlock by rmdir",
            "rmdir locks/$x && echo told",
            *(OF_LOCK, "one", "free"),
            before="mkdir locks/$x",
            then_old="! mkdir locks/$x",
            then_new=IN_TURN,
        ),
        Operation(
            "lock by a file",
            "exec 9> locks/$x && exec 9>&- && echo told",
            *(OF_LOCK, "free", "free"),
            then_old=IN_TURN,
        ),
    ]


def _memory() -> list[Operation]:
    kept = "[ $(ls memory/_history/$x | wc -l) = 1 ]"
    return [
        Operation(
            "set a new key",
            "cp /dev/stdin memory/$x <<< one && echo told",
            *(OF_VALUE, "none", "one"),
            between=("",),  # `cp` makes what is new with O_EXCL
            then_new=kept,
        ),
        Operation(
            "set a key",
            "echo two > memory/$x && echo told",
            *(OF_VALUE, "one", "two"),
            before="echo one > memory/$x",
            then_new="grep -qx two memory/_history/$x/*",
        ),
        Operation(
            "append to a key",
            "echo two >> memory/$x && echo told",
            *(OF_VALUE, "one", "one two"),
            before="echo one > memory/$x",
            then_old="echo last >> memory/$x; [ $(grep -c two memory/$x) = 0 ]",
            then_new="echo last >> memory/$x; [ $(grep -c two memory/$x) = 1 ]",
        ),
        Operation(
            "create a key once",
            "set -C; echo one > memory/$x && echo told",
            *(OF_VALUE, "none", "one"),
            between=("",),
            then_new="! { set -C; echo two > memory/$x; }",
        ),
        Operation(
            "remove a key",
            "rm memory/$x && echo told",
            *(OF_VALUE, "one", "none"),
            before="echo one > memory/$x",
        ),
        Operation(
            "rename a key",
            "mv memory/$x memory/$x-new && echo told",
            *(OF_VALUES, "one none", "none one"),
            between=("one one",),
            before="echo one > memory/$x",
        ),
    ]


def _mail() -> list[Operation]:
    return [
        Operation(
            "send to an inbox",
            "cp /dev/stdin messages/two/inbox <<< hello-$x && echo told",
            *(MAILED, "0", "1"),
        ),
        Operation(
            "send by a name",
            "cp /dev/stdin messages/two/$x.txt <<< hello-$x && echo told",
            *(MAILED, "0", "1"),
        ),
        Operation(
            "send to all",
            "cp /dev/stdin messages/_broadcast/inbox <<< hello-$x && echo told",
            *(MAILED, "0", "1"),
        ),
        # Shown and not marked is shown again; what was not shown is never marked.
        Operation(
            "read what is unread",
            "cat messages/one/unread && echo told",
            "grep -q hello-$x as/one/messages/one/unread && echo unread || echo read",
            *("unread", "read"),
            before=FEW,
            before_two="echo hello-$x >> messages/one/inbox",
            once=True,
            printing="hello-$x",
        ),
        Operation(
            "remove a message",
            'rm "messages/one/$(ls messages/one | grep _two_ | tail -n 1)" && echo told',
            *("grep -c hello-$x messages/one/inbox; true", "1", "0"),
            before=FEW,
            before_two="echo hello-$x >> messages/one/inbox",
        ),
    ]


def _files() -> list[Operation]:
    return [
        Operation(
            "create a file",
            "cp /dev/stdin artifacts/shared/$x <<< one && echo told",
            *(OF_FILE, "none", "one"),
        ),
        Operation(
            "replace a file",
            "cp /dev/stdin artifacts/shared/$x <<< two && echo told",
            *(OF_FILE, "one", "two"),
            before="echo one > artifacts/shared/$x",
        ),
        Operation(
            "append to a file",
            "tee -a artifacts/shared/$x <<< two > /dev/null && echo told",
            *(OF_FILE, "one", "one two"),
            before="echo one > artifacts/shared/$x",
        ),
        Operation(
            "cut a file",
            "truncate -s 2 artifacts/shared/$x && echo told",
            *(OF_FILE, "one", "on"),
            before="echo one > artifacts/shared/$x",
        ),
        Operation(
            "rename a file",
            "mv artifacts/shared/$x artifacts/shared/$x-new && echo told",
            *(OF_FILES, "one none", "none one"),
            between=("one one",),
            before="echo one > artifacts/shared/$x",
        ),
        Operation(
            "rename a file onto another",
            "mv -f artifacts/shared/$x artifacts/shared/$x-new && echo told",
            *(OF_FILES, "one two", "none one"),
            between=("one one",),
            before="echo one > artifacts/shared/$x; echo two > artifacts/shared/$x-new",
        ),
        Operation(
            "remove a file",
            "rm artifacts/shared/$x && echo told",
            *(OF_FILE, "one", "none"),
            before="echo one > artifacts/shared/$x",
        ),
        Operation(
            "replace a large file",
            'cp "$large" artifacts/shared/$x && echo told',
            *(OF_LARGE, "$(md5sum <<< one | cut -c-32)", '$(md5sum < "$large" | cut -c-32)'),
            before="echo one > artifacts/shared/$x",
        ),
    ]


def _agents() -> list[Operation]:
    return [
        Operation(
            "say what one does",
            "echo does-$x > agents/one && echo told",
            *("grep -c does-$x agents/one; true", "0", "1"),
            beats=True,
        ),
        Operation(
            "act as another",
            "cp /dev/stdin as/$x/messages/two/inbox <<< hello-$x && echo told",
            *(MAILED, "0", "1"),
            beats=True,
        ),
    ]


OPERATIONS: Final = (*_steps(), *_locks(), *_memory(), *_mail(), *_files(), *_agents())
