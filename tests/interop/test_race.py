"""Two mounts and the reference's own library race for steps: each has one winner."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from tests.interop.fleet import Fleet
from tests.interop.reference import PROGRAMS, Process

ROUNDS = 300
FAIR = ROUNDS // 10
NOTICE = 0.01  # seconds from telling the contenders to their release
VERBS = ("create", "mkdir", "symlink")


def test_race_of_two_mounts_and_the_reference_has_one_winner_whom_all_three_name(
    make_fleet: Callable[..., Fleet],
) -> None:
    fleet = make_fleet("designer", "developer")
    wins: Counter[str] = Counter()
    took: dict[str, list[float]] = {}
    first: dict[str, str] = {}
    with ExitStack() as stack:
        start = stack.enter_context
        order = [("cli", start(fleet.reference.start("claim_by_library.py")))]
        command = [sys.executable, str(PROGRAMS / "claim_by_path.py")]
        for mount, agent in zip(fleet.mounts, ("designer", "developer"), strict=True):
            order.append((agent, start(Process(command, mount.path, os.environ))))
        for _, each in order:
            assert each.receive() == "ready"
        for number in range(ROUNDS):
            step = f"round-{number}"
            release = time.monotonic() + NOTICE
            for _, each in order:
                each.send([step, release, VERBS[number // 3 % 3]])
            answers = {agent: each.receive() for agent, each in order}
            winners = [agent for agent, (won, _) in answers.items() if won]
            assert len(winners) == 1, (step, answers)
            for _, each in order:
                each.send([step])
            assert [each.receive() for _, each in order] == winners * 3, step
            wins[winners[0]] += 1
            took.setdefault(winners[0], []).append(answers[winners[0]][1])
            first.setdefault(winners[0], step)
            order = order[1:] + order[:1]  # none is always told first
    for agent, times in took.items():
        print(f"{agent}: {wins[agent]} wins, median {median(times) * 1000:.1f} ms")
    assert len(wins) == 3
    assert min(wins.values()) >= FAIR, wins
    for winner, step in first.items():
        refusal = fleet.reference.refusal("claim", step, agent="late")
        assert f"Step {step} already claimed by {winner}" in refusal
