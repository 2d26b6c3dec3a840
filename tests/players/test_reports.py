"""Reports read history: half-open, in local time, and cut by the group of that time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from players.exceptions import Invalid, Unknown
from players.reports import mileage
from tests.players.factories import FIRST_HOUR, make_device, make_group, make_hour, make_player

pytestmark = pytest.mark.django_db
VIENNA = ZoneInfo("Europe/Vienna")


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def ridden(*hours, km=1, **fields):
    """A player with one kilometre in each of these UTC hours."""
    player, device = make_player(stored=0), make_device()
    for hour in hours:
        make_hour(player, device, (at(hour) - FIRST_HOUR) / timedelta(hours=1), km, **fields)
    return player


def km(report):
    return [row.km for row in report.rows]


def test_the_interval_holds_its_start_and_not_its_end():
    ridden("2026-03-02 08:00", "2026-03-02 09:00", "2026-03-02 10:00")
    assert mileage(at("2026-03-02 08:00"), at("2026-03-02 10:00")).total_km == 2


def test_rows_follow_each_other_without_a_gap_and_may_be_empty():
    ridden("2026-03-02 08:00", "2026-03-04 08:00")
    report = mileage(at("2026-03-02"), at("2026-03-05"))
    assert km(report) == [1, 0, 1]
    assert [row.end for row in report.rows[:-1]] == [row.start for row in report.rows[1:]]


def test_the_first_and_the_last_bucket_are_cut_to_the_interval():
    ridden("2026-03-04 08:00", "2026-03-10 08:00")
    report = mileage(at("2026-03-04 06:00"), at("2026-03-11"), "week")
    assert [(row.start, row.end) for row in report.rows] == [
        (at("2026-03-04 06:00"), at("2026-03-09")),
        (at("2026-03-09"), at("2026-03-11")),
    ]
    assert km(report) == [1, 1]


@pytest.mark.parametrize(("zone", "expected"), [("UTC", [2, 0]), ("Europe/Vienna", [1, 1]), ("America/Lima", [2, 0])])
def test_an_hour_near_midnight_belongs_to_the_local_day(zone, expected):
    ridden("2026-03-02 22:00", "2026-03-02 23:00")
    assert km(mileage(at("2026-03-02", zone), at("2026-03-04", zone), tz=zone)) == expected


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-03-30", 24)])
def test_a_day_has_the_hours_that_its_clock_shows(day, hours):
    begin = at(day, "Europe/Vienna")
    first = begin.astimezone(UTC)
    ridden(*[(first + timedelta(hours=number)).replace(tzinfo=None).isoformat() for number in range(-1, hours + 1)])
    following = datetime.combine(begin.date() + timedelta(days=1), begin.time(), VIENNA)
    assert km(mileage(begin, following, tz="Europe/Vienna")) == [hours]
    assert km(mileage(begin, following, "hour", tz="Europe/Vienna")) == [1] * hours


def test_a_local_hour_that_comes_twice_is_two_rows():
    ridden("2026-10-25 00:00", km=3)
    ridden("2026-10-25 01:00", km=4)
    report = mileage(at("2026-10-25 00:00"), at("2026-10-25 02:00"), "hour", tz="Europe/Vienna")
    assert [(row.start.isoformat(), row.km) for row in report.rows] == [
        ("2026-10-25T02:00:00+02:00", 3),
        ("2026-10-25T02:00:00+01:00", 4),
    ]


def test_a_day_without_midnight_begins_when_its_clock_does():
    report = mileage(at("2026-03-28", "Asia/Beirut"), at("2026-03-30", "Asia/Beirut"), tz="Asia/Beirut")
    assert report.rows[1].start.isoformat() == "2026-03-29T01:00:00+03:00"


def test_months_and_weeks_are_those_of_the_local_calendar():
    ridden("2026-01-31 23:00", "2026-03-01 12:00")
    assert km(mileage(at("2026-01-01", "Europe/Vienna"), at("2026-04-01", "Europe/Vienna"), "month", tz=VIENNA)) == [
        0,
        1,
        1,
    ]


def test_a_report_on_a_group_takes_its_subtree_as_it_was_at_the_time():
    school = make_group()
    class_ = make_group(parent=school)
    ridden("2026-03-02 08:00", group_at_time=class_, km=5)
    ridden("2026-03-02 08:00", group_at_time=make_group(), km=7)
    assert mileage(at("2026-03-02"), at("2026-03-03"), group=school.pk).total_km == 5


def test_hidden_players_and_adjustments_are_in_the_report():
    player = make_player(rides=[4], is_visible=False)
    make_hour(player, None, km=2, is_adjustment=True)
    assert mileage(FIRST_HOUR, FIRST_HOUR + timedelta(days=1)).total_km == 6


def test_all_time_plus_in_flight_is_the_master():
    player = make_player(rides=["4.00001", 6], open=["2.5", "0.5"])
    report = mileage(at("2000-01-02"), at("2099-01-01"), "month")
    assert report.total_km + Decimal(2) == player.distance_total


@pytest.mark.parametrize("hidden", [True, False])
def test_a_group_that_is_hidden_or_missing_is_unknown(hidden):
    group = make_group(is_visible=False).pk if hidden else 999
    with pytest.raises(Unknown, match="There is no group"):
        mileage(at("2026-03-02"), at("2026-03-03"), group=group)


@pytest.mark.parametrize(
    ("arguments", "field", "sentence"),
    [
        ({"start": at("2026-03-03"), "end": at("2026-03-03")}, "to", "The end lies after the start"),
        ({"start": at("1999-03-03")}, "from", "between the years 2000 and 2100"),
        ({"end": at("2201-03-03")}, "to", "between the years 2000 and 2100"),
        ({"start": at("2020-03-03"), "bucket": "hour"}, "bucket", "more than 5,000 times a hour: take a larger"),
        ({"tz": "Mars/Olympus"}, "tz", "'Mars/Olympus' is no time zone: give a name such as Europe/Vienna"),
        ({"tz": "../passwd"}, "tz", "is no time zone"),
    ],
)
def test_a_report_names_what_it_cannot_use(arguments, field, sentence):
    with pytest.raises(Invalid, match=sentence) as error:
        mileage(**({"start": at("2026-03-02"), "end": at("2026-03-03")} | arguments))
    assert error.value.field == field


@pytest.mark.parametrize("count", [1, 20])
def test_a_report_takes_three_statements_however_much_there_is(count, django_assert_num_queries):
    school = make_group()
    for _ in range(count):
        make_player(rides=[1, 2], groups=[make_group(parent=school)])
    with django_assert_num_queries(3):
        mileage(FIRST_HOUR, FIRST_HOUR + timedelta(days=90), "hour", group=school.pk)
