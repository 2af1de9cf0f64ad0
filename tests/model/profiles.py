"""How long the models are tried: the same few examples in the suite, many others at length."""

from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

_SLOW: Final = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def quick(examples: int, steps: int = 40) -> settings:
    """Return the settings of the suite: no two runs differ."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=_SLOW,
    )


def long(examples: int, steps: int = 60) -> settings:
    """Return the settings of a long run, which differ each time; a failure prints its program."""
    return settings(
        quick(examples, steps), derandomize=False, phases=[Phase.generate, Phase.shrink]
    )


def run(machine: type[RuleBasedStateMachine], profile: settings) -> None:
    """Try a machine."""
    run_state_machine_as_test(machine, settings=profile)
