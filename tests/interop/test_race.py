"""Two mounts and the reference's own library race for steps: each has one winner."""

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from tests.interop.fleet import Fleet
from tests.interop.reference import PROGRAMS, Process, inherited

ROUNDS = 300
FAIR = ROUNDS // 10
NOTICE = 0.01  # seconds from telling the contenders to their release
# Seconds a contender may take to react, drawn anew each time. A path is walked before its claim is
# sent: without chance, the library would be first at the store in four rounds of five.
REACTION = 0.005
VERBS = ("create", "mkdir", "symlink")


def test_race_of_two_mounts_and_the_reference_has_one_winner_whom_all_three_name(
    make_fleet: Callable[..., Fleet],
) -> None:
    fleet = make_fleet("designer", "developer")
    wins: Counter[str] = Counter()
    took: dict[str, list[float]] = {}
    first: dict[str, str] = {}
    contested = 0  # rounds in which another began before the winner had its answer
    with ExitStack() as stack:
        library = fleet.reference.start("claim_by_library.py")
        order = [("cli", stack.enter_context(library))]
        command = [sys.executable, str(PROGRAMS / "claim_by_path.py")]
        for mount, agent in zip(fleet.mounts, ("designer", "developer"), strict=True):
            path = Process(command, mount.path, inherited())
            order.append((agent, stack.enter_context(path)))
        for _, each in order:
            assert each.receive() == "ready"
        for number in range(ROUNDS):
            step = f"round-{number}"
            release = time.monotonic() + NOTICE
            starts = {agent: release + random.uniform(0, REACTION) for agent, _ in order}
            for agent, each in order:
                each.send([step, starts[agent], VERBS[number // 3 % 3]])
            answers = {agent: each.receive() for agent, each in order}
            winners = [agent for agent, (won, _) in answers.items() if won]
            assert len(winners) == 1, (step, answers)
            for _, each in order:
                each.send([step])
            assert [each.receive() for _, each in order] == winners * 3, step
            wins[winners[0]] += 1
            took.setdefault(winners[0], []).append(answers[winners[0]][1])
            answered = starts[winners[0]] + answers[winners[0]][1]
            contested += sum(start < answered for start in starts.values()) > 1
            first.setdefault(winners[0], step)
            order = order[1:] + order[:1]  # none is always told first
    for agent, times in took.items():
        print(f"{agent}: {wins[agent]} wins, median {median(times) * 1000:.1f} ms")
    print(f"{contested} rounds were contested")
    assert contested > ROUNDS // 2
    assert len(wins) == 3
    assert min(wins.values()) >= FAIR, wins
    for winner, step in first.items():
        refusal = fleet.reference.refusal("claim", step, agent="late")
        assert f"Step {step} already claimed by {winner}" in refusal
