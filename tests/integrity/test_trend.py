"""What looks have found over time, and when a bound will be passed."""

import datetime

import pytest
from django.db.models import Q
from django.utils import timezone

from integrity import Always
from integrity.trend import FEWEST, forecast, latest, trend
from tests.integrity.helpers import declared
from tests.integrity.looks import NOW, ago, looked
from tests.toy import models as toy

DAY = datetime.timedelta(days=1)


def daily(*values):
    """Looks on consecutive days, the last one now."""
    return [(NOW - (len(values) - 1 - day) * DAY, value) for day, value in enumerate(values)]


def days_ahead(points, bound):
    at = forecast(points, bound)
    return None if at is None else round((at - NOW) / DAY, 1)


def test_what_grows_steadily_passes_its_bound_when_the_line_does():
    assert days_ahead(daily(10, 20, 30, 40, 50), 99) == 5


def test_single_looks_that_are_far_off_do_not_move_it():
    assert days_ahead(daily(10, 20, 900, 40, 50, 0, 70, 80, 90, 100), 149) == pytest.approx(5, abs=0.6)


@pytest.mark.parametrize("values", [(50, 40, 30, 20, 10), (50, 50, 50, 50, 50), (10, 50, 20, 10, 9)])
def test_what_does_not_grow_passes_nothing(values):
    assert forecast(daily(*values), 60) is None


def test_from_few_looks_nothing_is_forecast():
    assert forecast(daily(*range(10, 10 * FEWEST, 10)), 99) is None


def test_what_is_passed_already_is_not_forecast():
    assert forecast(daily(10, 20, 30, 40, 50), 49) is None


def test_nothing_is_forecast_far_beyond_what_was_seen():
    assert days_ahead(daily(0, 10, 20, 30, 40), 430) == 39.1
    assert forecast(daily(0, 10, 20, 30, 40), 450) is None


def test_looks_of_one_instant_say_nothing():
    assert forecast([(NOW, 1)] * 5, 10) is None


@pytest.fixture
def rule(db):
    return declared(Always, toy.Account, Q(balance__gte=0))


def test_the_latest_looks_are_told_the_oldest_first(rule):
    for hours, violations in ((3, 30), (2, 20), (1, 10)):
        looked(rule, ago(hours=hours), violations)
    looked(rule, ago(minutes=1), 99, keys=[1])
    looked(rule, ago(minutes=1), None, status="failed")
    assert [(p.at, p.violations) for p in latest([rule], 2)[rule.label]] == [(ago(hours=2), 20), (ago(hours=1), 10)]


def test_of_many_looks_the_last_of_each_piece_of_the_time_is_told(rule, monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    for hour in range(48, 0, -1):
        looked(rule, ago(hours=hour), hour)
    points = trend(rule, ago(hours=48, minutes=30), points=4)
    assert [point.violations for point in points] == [37, 25, 13, 1]


def test_looks_before_that_time_are_not_told(rule):
    looked(rule, ago(days=9), 9)
    looked(rule, ago(days=1), 1)
    assert [point.violations for point in trend(rule, ago(days=2))] == [1]
