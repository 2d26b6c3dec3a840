"""The kilometres are right at every read, whoever rides, moves, closes, repairs and dies meanwhile."""

import pytest

from tests.players.bank import Bank, deadlocks
from tests.players.bikes import assert_true_to_rules


def run(seconds, seed=1):
    before = deadlocks()
    bank = Bank(seed, seconds)
    bank.run()
    bank.check_end()
    assert_true_to_rules()
    assert deadlocks() == before
    return bank.counts


@pytest.mark.django_db(transaction=True)
def test_the_sums_are_right_at_every_read():
    counts = run(seconds=4)
    assert all(counts[what] for what in ("reports", "moves", "closed", "repairs", "kills", "reads")), counts


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_sums_are_right_at_every_read_for_a_minute(seed):
    assert run(60, seed)["reports"] > 1_000
