"""What no run can tell: looks that did not come are told once, and so is their return."""

from datetime import timedelta

import pytest
from django.db.models import Q
from django.utils import timezone

from integrity import Always
from integrity.alerts.clock import look_at_clock
from integrity.alerts.models import Alert, AlertState
from integrity.engine import analyze
from integrity.models import Run
from integrity.registry import registry
from tests.integrity.helpers import declared, registered
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _only_ours(monkeypatch):
    monkeypatch.setattr(registry, "_rules", {})


def positive(**options):
    return declared(Always, toy.Account, Q(balance__gte=0), name="positive", **options)


@pytest.fixture
def hourly():
    rule = positive(every="1h")
    with registered(rule):
        yield rule


def looked(rule, hours_ago):
    Run.objects.filter(pk=analyze([rule]).run).update(started_at=timezone.now() - hours_ago * HOUR)


def events():
    return [(event["event"], event["error"]) for alert in Alert.objects.order_by("id") for event in alert.events]


def test_a_missed_look_is_told_once_and_so_is_its_return(hourly):
    looked(hourly, hours_ago=5)
    for _ in range(3):
        look_at_clock()
    ((event, why),) = events()
    assert event == "missed"
    assert why.startswith("a look is due every 1 h, last ")
    looked(hourly, hours_ago=0)
    look_at_clock()
    assert [event for event, _ in events()] == ["missed", "on_time_again"]
    assert not AlertState.objects.exists()


def test_a_look_that_is_a_little_late_is_told_to_nobody(hourly):
    looked(hourly, hours_ago=1.9)
    look_at_clock()
    assert events() == []


def test_a_new_rule_has_time_to_be_looked_at(hourly):
    now = timezone.now()
    look_at_clock(now)
    look_at_clock(now + 0.9 * HOUR)
    assert events() == []
    look_at_clock(now + 1.1 * HOUR)
    assert [event for event, _ in events()] == ["missed"]


def test_a_rule_that_was_looked_at_in_time_is_new_no_more(hourly):
    look_at_clock(timezone.now() - 9 * HOUR)
    looked(hourly, hours_ago=0)
    look_at_clock()
    assert (events(), AlertState.objects.count()) == ([], 0)


def test_looks_that_come_without_an_answer_are_no_missed_looks(hourly):
    looked(hourly, hours_ago=5)
    AlertState.objects.create(rule=hourly.label, database="default", what="not checked", since=timezone.now())
    look_at_clock()
    assert events() == []


@pytest.mark.parametrize(("hours", "told"), [(0, []), (4, ["overdue"]), (6, [])])
def test_a_rule_without_a_schedule_is_overdue_when_the_setting_says_so(settings, hours, told):
    settings.INTEGRITY = {"ALERT_SWEEP_HOURS": hours}
    rule = positive()
    with registered(rule):
        looked(rule, hours_ago=5)
        look_at_clock()
        look_at_clock()
    assert [event for event, _ in events()] == told


def test_a_full_look_that_comes_at_last_is_told(settings):
    settings.INTEGRITY = {"ALERT_SWEEP_HOURS": 4}
    rule = positive()
    with registered(rule):
        for hours_ago in (5, 0):
            looked(rule, hours_ago)
            look_at_clock()
    assert [event for event, _ in events()] == ["overdue", "swept_again"]


def test_what_was_found_in_a_database_that_is_gone_is_forgotten_in_silence(hourly):
    looked(hourly, hours_ago=0)
    AlertState.objects.create(rule=hourly.label, database="standby", what="fails", since=timezone.now())
    look_at_clock()
    assert (events(), AlertState.objects.count()) == ([], 0)


def test_what_is_declared_no_more_is_forgotten_in_silence():
    toy.Account.objects.create(balance=-1)
    rule = positive()
    with registered(rule):
        analyze([rule])
    look_at_clock()
    assert ([event for event, _ in events()], AlertState.objects.count()) == (["starts_failing"], 0)
