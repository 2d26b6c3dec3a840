"""How many keys the next batch takes, after how long the last one lasted and whether it kept people waiting."""

from types import SimpleNamespace

import pytest

from integrity.conf import conf
from integrity.repairing.batches import Batches


@pytest.fixture
def batches():
    return Batches(lambda keys: set(), lambda keys, why: None, SimpleNamespace(kept_waiting=0))


def after(batches, times, seconds, waited_for=0):
    """The size after some batches, each of which lasted as long as its size says."""
    batches.throttle.kept_waiting = waited_for
    for _ in range(times):
        batches._adapt(seconds(batches.size))
    return batches.size


def steps_and_keys(steps, each):
    return lambda size: steps + each * size


def test_a_quick_one_is_followed_by_a_larger_one_and_a_slow_one_by_a_smaller_one(batches):
    first = batches.size
    assert after(batches, 1, lambda size: 0.1) == first * 2
    assert after(batches, 1, lambda size: 3) == first
    assert after(batches, 1, lambda size: 0.8) == first


def test_one_that_keeps_people_waiting_is_followed_by_smaller_ones_for_as_long_as_it_helps(batches):
    assert 200 < after(batches, 20, steps_and_keys(0.1, 0.0001), waited_for=1) < 700
    assert after(batches, 20, steps_and_keys(0.1, 0.0001)) > 2000


def test_on_a_machine_that_is_so_busy_that_the_steps_alone_take_long_they_stay_worth_their_steps(batches):
    assert after(batches, 20, steps_and_keys(3, 0.0001), waited_for=1) > 1000
    few = conf().BATCH_KEYS // 50
    batches.size = 8
    assert after(batches, 20, lambda size: 0.9) >= few
    batches.size, batches.halved_at = 2, 3.2
    assert after(batches, 20, steps_and_keys(3, 0.001)) >= few


def test_what_takes_too_long_gets_as_small_as_it_must(batches):
    assert after(batches, 20, steps_and_keys(0.1, 0.5)) <= 4
