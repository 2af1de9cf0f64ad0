"""`README` in the root of a mount: how to use this very tree, on one screen."""

from typing import Final

_TEXT: Final = """\
This directory is a bucket that agents coordinate through. You are: {agent}
(`cat {at}/.tcfs/agent` says why; below {at}/as/NAME/ you act as NAME).

CLAIM A STEP     echo "what I will do" > {at}/steps/design/claim
                 "File exists": somebody has it; cat {at}/steps/design/owner
  give it back   rm {at}/steps/design/claim
  how long       as long as this mount lives; then its lease runs out, and it is free
  just while I   exec 9> {at}/steps/design/hold         (given back when this shell ends)
  hand it on     echo "what the next one must know" > {at}/steps/design/handoff
  finish it      echo complete > {at}/steps/design/status
                 also: blocked  needs_review  failed; `pending` reopens it
  wait for it    timeout 300 cat {at}/steps/design/wait
  all steps      ls {at}/steps; cat {at}/status
  in order       echo "design api" > {at}/steps/build/after     (these come first)
  what is next   while s=$(cat {at}/ready/take); do ...; echo complete > {at}/steps/$s/status; done

TAKE A LOCK      L={at}/locks/db; mkdir $L && trap "rmdir $L" EXIT     (whose? cat $L/owner)
  while open     exec 9> {at}/locks/db                     (gone with the process)

REMEMBER         echo "v2, JSON over HTTP" > {at}/memory/design.contract
                 cat {at}/memory/design.contract
  add a line     echo "a line" >> {at}/memory/log        (no line of anybody's is lost)
  only if new    (set -C; echo mine > {at}/memory/leader)
  versions       ls {at}/memory/_history/design.contract

SEND MAIL        echo "contract is in memory/design.contract" >> {at}/messages/NAME/inbox
  to everybody   echo "release at noon" >> {at}/messages/_broadcast/inbox
  about a step   printf 'Step: design\\n\\nready\\n' >> {at}/messages/NAME/inbox
  read mine      cat {at}/messages/{agent}/unread       (what is new; `inbox` has it all)
  wait for mail  timeout 300 cat {at}/messages/{agent}/wait

SHARE FILES      cp report.pdf {at}/artifacts/shared/; ls {at}/artifacts/design
  add a line     mkdir -p {at}/runs/1; echo '{{"loss": 1}}' >> {at}/runs/1/metrics.jsonl

WHO IS THERE     ls -l {at}/agents; cat {at}/agents/NAME
  transcripts    ls {at}/sessions/*; tail -f {at}/sessions/HARNESS/ID/transcript.jsonl

WHEN IT FAILS    tail -3 {at}/.tcfs/errors     says what happened and what to do
                 Check exit codes: `echo x > file || echo failed`.
EXACT OBJECTS    cat {at}/steps/design/claim.json; ls {at}/.tcfs/raw
"""


def readme(mountpoint: str, agent: str) -> str:
    """Return the text for a mount at `mountpoint` read by `agent`."""
    return _TEXT.format(at=mountpoint.rstrip("/"), agent=agent)
