"""Short histories of real mounts and everybody else, while requests fail: the long ones are
`make faults`."""

import pytest

from tests.faults.histories.claims import claims
from tests.faults.histories.fleet import fleet
from tests.faults.histories.hosts import possible
from tests.faults.histories.mail import mail
from tests.faults.histories.memory import memory
from tests.faults.histories.steps import locks, steps, take

SEED = 20
pytestmark = pytest.mark.timeout(240)


def test_races_of_four_kinds_of_clients_have_one_winner_who_is_told() -> None:
    races = claims(SEED, 10, lanes=(10, 4, 4), mounts=1)
    assert races.good, races.wrong
    assert races.run == 10
    assert races.one_winner > 5


def test_steps_are_held_by_one_at_a_time() -> None:
    tenures = steps(SEED, 40, quick=True)
    assert tenures.good, (tenures.violations, tenures.wrong)
    assert tenures.told["claim: won"]


def test_locks_are_held_by_one_at_a_time() -> None:
    tenures = locks(SEED, 40, quick=True)
    assert tenures.good, (tenures.violations, tenures.wrong)
    assert tenures.told["claim: won"]


def test_each_step_that_is_taken_is_finished_once() -> None:
    tenures = take(SEED, 6, quick=True)
    assert tenures.good, (tenures.violations, tenures.wrong)
    assert tenures.told["finish: done"] >= 6


def test_memory_is_linearizable_and_loses_nothing() -> None:
    values = memory(SEED, 8, crashes=False, quick=True)
    assert values.good, (values.violations, values.lost, values.doubled)
    assert min(values.acknowledged["append"], values.acknowledged["set"]) >= 8


def test_mail_is_delivered_once_through_crashes() -> None:
    letters = mail(SEED, 50, crashes=1, foreign=False)
    assert letters.good, letters.wrong
    assert letters.crashes == 1


@pytest.mark.skipif(not possible(), reason="only root makes hosts, with ip(8) and its rights")
def test_a_host_that_is_cut_off_is_refused_in_time_and_comes_back() -> None:
    with fleet(SEED, "cut", apart=1, rate=0) as made:
        mount = made.mount("--deadline", "2")
        mount.out("echo one > memory/k")
        (place,) = made.places
        place.cut()
        done = mount.sh("cat memory/k")
        assert (done.returncode, "timed out" in done.stderr) == (1, True), done
        place.mend()
        assert mount.out("cat memory/k; cat .tcfs/agent | head -n 1") == "one\nm0\n"
        mount.out("echo > steps/x/claim")
        assert b'"host": "host0"' in (made.body("steps/x/claim.json") or b"")
