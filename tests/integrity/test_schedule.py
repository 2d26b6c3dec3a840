"""When rules are to be looked at: durations, cron expressions, clocks that are put forward and back."""

import datetime
from zoneinfo import ZoneInfo

import pytest
from django.core.checks import run_checks
from django.db.models import Q
from django.utils import timezone

from integrity import Always
from integrity.exceptions import WrongDeclaration
from integrity.schedules.overdue import overdue
from integrity.schedules.schedule import Schedule, schedule_of
from tests.integrity.helpers import declared, registered
from tests.integrity.looks import NOW, ago, looked
from tests.toy import models as toy

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = datetime.timedelta(hours=1)


def positive(**options):
    return declared(Always, toy.Account, Q(balance__gte=0), name="positive", **options)


def at(*parts, fold=0):
    return datetime.datetime(*parts, tzinfo=BERLIN, fold=fold)


@pytest.fixture
def in_berlin(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    # That of a visitor of a page does not matter.
    with timezone.override(ZoneInfo("Asia/Tokyo")):
        yield


@pytest.mark.parametrize(
    ("text", "seconds"), [("15m", 900), ("1h", 3600), ("36h", 129_600), ("1d", 86_400), ("2w", 1_209_600)]
)
def test_a_duration_is_so_many_minutes_hours_days_or_weeks(text, seconds):
    assert Schedule(text).step.total_seconds() == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 hour", "'1 hour' is no schedule"),
        ("0h", "is no schedule"),
        ("15s", "is no schedule"),
        ("", "is no schedule"),
        ("@daily", "is no schedule"),
        ("0 3 * * * *", "is no schedule"),
        ("61 3 * * *", "is no cron expression: bad minute"),
        ("0 3 * * never", "bad day-of-week"),
        ("0 3 31 2 *", "bad day-of-month"),
    ],
)
def test_what_is_neither_a_duration_nor_a_cron_expression_is_refused(text, said):
    with pytest.raises(WrongDeclaration, match=said) as refused:
        Schedule(text)
    assert '"0 3 * * *"' in refused.value.hint


def test_what_was_never_looked_at_is_due_at_once():
    assert Schedule("0 3 * * *").is_due(None, NOW)


def test_a_look_is_due_when_its_duration_has_passed_and_not_before():
    assert not Schedule("1h").is_due(NOW, NOW + 0.9 * HOUR)
    assert Schedule("1h").is_due(NOW, NOW + HOUR)


def test_a_look_that_took_place_seconds_after_the_minute_does_not_slip_to_the_next_call():
    assert Schedule("1h").is_due(NOW + datetime.timedelta(seconds=40), NOW + HOUR)


@pytest.mark.usefixtures("in_berlin")
def test_a_cron_expression_speaks_of_the_clock_of_the_time_zone():
    last = datetime.datetime(2026, 7, 1, 12, tzinfo=datetime.UTC)
    assert Schedule("0 3 * * *").after(last) == at(2026, 7, 2, 3)


@pytest.mark.usefixtures("in_berlin")
def test_a_look_within_the_hour_that_is_left_out_in_spring_takes_place_at_its_end():
    assert Schedule("30 2 * * *").after(at(2026, 3, 28, 12)) == at(2026, 3, 29, 3)
    assert Schedule("30 2 * * *").after(at(2026, 3, 29, 3)) == at(2026, 3, 30, 2, 30)


@pytest.mark.usefixtures("in_berlin")
def test_a_nightly_look_within_the_hour_that_comes_twice_in_autumn_takes_place_once():
    first = Schedule("30 2 * * *").after(at(2026, 10, 24, 12))
    assert first == at(2026, 10, 25, 2, 30)
    assert Schedule("30 2 * * *").after(first) == at(2026, 10, 26, 2, 30)


@pytest.mark.usefixtures("in_berlin")
def test_a_look_each_half_an_hour_takes_place_in_both_hours_that_have_one_name():
    half = Schedule("*/30 * * * *").after(at(2026, 10, 25, 2, 30))
    assert (half.astimezone(datetime.UTC).hour, half.minute, half.fold) == (1, 0, 1)


@pytest.mark.usefixtures("in_berlin")
def test_an_hour_is_an_hour_when_clocks_are_put_back():
    before = at(2026, 10, 25, 2, 30).astimezone(datetime.UTC)
    assert not Schedule("1h").is_due(before, before + 0.9 * HOUR)


# Which schedule a rule has


def test_its_own_wins_over_the_setting(settings):
    settings.INTEGRITY = {"SCHEDULES": {"toy": "1d"}}
    assert schedule_of(positive(every="1h")).text == "1h"


@pytest.mark.parametrize("wanted", ["toy", "toy.positive", "tag:nightly"])
def test_the_setting_speaks_of_rules_apps_and_tags(settings, wanted):
    settings.INTEGRITY = {"SCHEDULES": {"players": "2h", wanted: "1d", "tag:money": "3h"}}
    assert schedule_of(positive(tags=["money", "nightly"])).text == "1d"


def test_a_rule_that_nothing_is_said_of_has_none(settings):
    settings.INTEGRITY = {"SCHEDULES": {"players": "2h"}}
    assert schedule_of(positive()) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": "hourly"}, "every=: 'hourly' is no schedule"),
        (
            {"every": "5m", "sweep": "0 25 * * *", "tracked": True},
            "sweep=: '0 25 * * *' is no cron expression: bad hour",
        ),
        ({"every": "5m", "sweep": "1d"}, "it is not tracked"),
        ({"sweep": "1d", "tracked": True}, "sweep= stands without every="),
    ],
)
def test_a_wrong_schedule_of_a_rule_is_told_when_django_starts(options, said):
    problems = positive(**options).check()
    assert [said in problem.msg for problem in problems] == [True]
    assert problems[0].id == "integrity.E002"
    assert problems[0].hint


def test_a_wrong_setting_is_told_when_django_starts(settings):
    settings.INTEGRITY = {"SCHEDULES": {"tag:nightly": "at three", "playerz": "1h", "players": "1h"}}
    found = [message for message in run_checks(tags=["integrity"]) if message.id == "integrity.E005"]
    assert [message.msg.partition("]")[2] for message in found] == [
        "['tag:nightly'] is for nothing that is declared.",
        "['tag:nightly']: 'at three' is no schedule.",
        "['playerz'] is for nothing that is declared.",
    ]
    assert "players" in found[0].hint


# What was missed


@pytest.fixture
def hourly(db):
    rule = positive(every="1h")
    with registered(rule):
        yield rule


def late(now=NOW):
    return [(one.rule.name, one.last, one.period, one.what) for one in overdue(now) if one.rule.app == "toy"]


@pytest.mark.parametrize(("hours", "missed"), [(1.9, False), (2.05, False), (2.2, True)])
def test_a_look_is_missed_after_two_periods_and_a_little(hourly, hours, missed):
    looked(hourly, ago(hours=hours))
    assert late() == ([("positive", ago(hours=hours), HOUR, "look")] if missed else [])


def test_a_rule_that_was_never_looked_at_is_overdue(hourly):
    assert late() == [("positive", None, HOUR, "look")]


@pytest.mark.parametrize(
    "other",
    [{"keys": {}}, {"verb": "repair"}, {"status": "failed"}, {"database": "replica"}, {"rule": "toy.another"}],
    ids=str,
)
def test_only_whole_looks_at_the_rule_count_that_came_to_an_answer(hourly, other):
    looked(hourly, ago(hours=5))
    looked(hourly, ago(hours=0.5), **other)
    assert [last for _, last, *_ in late()] == [ago(hours=5)]


def test_a_look_at_what_has_changed_is_none_where_each_is_to_be_whole(hourly):
    looked(hourly, ago(hours=0.5), changed=3)
    assert [last for _, last, *_ in late()] == [None]


@pytest.mark.django_db
def test_of_a_rule_with_a_sweep_each_is_missed_by_itself():
    rule = positive(every="5m", sweep="1d", tracked=True)
    with registered(rule):
        looked(rule, ago(days=3))
        looked(rule, ago(minutes=1), changed=3)
        assert late() == [("positive", ago(days=3), datetime.timedelta(days=1), "sweep")]
        looked(rule, ago(minutes=0))
        assert late() == []
        assert [what for *_, what in late(NOW + HOUR)] == ["look"]


@pytest.mark.django_db
def test_it_says_in_a_sentence_what_was_missed(hourly):
    looked(hourly, datetime.datetime(2026, 3, 2, 14, 30, tzinfo=datetime.UTC))
    assert str(overdue(rules=[hourly])[0]) == "toy.positive: a look is due every 1 h, last 2026-03-02 14:30 UTC"
