"""Distance goes on over new odometers, months add up to it, and exports say the same."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vehicles.factories import day, make_event, make_vehicle, replace_odometer
from vehicles.exceptions import Unknown
from vehicles.history import Month, Reading, as_csv, history, per_month

pytestmark = pytest.mark.django_db


def distances(vehicle):
    return [reading.distance for reading in history(vehicle.pk).readings]


def test_distance_is_the_growth_of_the_readings():
    assert distances(make_vehicle([1000, 1100, 1350])) == [0, 100, 350]


def test_distance_goes_on_over_a_new_odometer():
    vehicle = make_vehicle([90_000, 90_100])
    replace_odometer(vehicle, 2, 10, replaced=90_180)
    make_event(vehicle, 3, 60)
    assert distances(vehicle) == [0, 100, 180, 230]
    assert [reading.odometer for reading in history(vehicle.pk).readings] == [1, 1, 2, 2]


def test_what_the_old_odometer_read_at_last_may_be_unknown():
    vehicle = make_vehicle([90_000, 90_100])
    replace_odometer(vehicle, 2, 0)
    make_event(vehicle, 3, 60)
    assert distances(vehicle) == [0, 100, 100, 160]


def test_over_an_override_that_explains_a_fall_nothing_counts():
    vehicle = make_vehicle([90_000, 90_100, None, 20_000, 20_050])
    vehicle.mileage_overrides.create(mileage=20_000, author="ann", via="test", at=day(2))
    assert distances(vehicle) == [0, 100, 100, 150]


def test_over_an_override_between_readings_that_follow_the_way_counts():
    vehicle = make_vehicle([90_000, None, 90_100])
    vehicle.mileage_overrides.create(mileage=90_050, author="ann", via="test", at=day(1))
    assert distances(vehicle) == [0, 100]


def test_a_wrong_reading_is_taken_back_by_the_next():
    assert distances(make_vehicle([1000, 11_000, 1200])) == [0, 10_000, 200]


def test_without_readings_there_is_no_distance():
    found = history(make_vehicle([None]).pk)
    assert (found.distance, found.readings, found.months) == (0, [], [])


def reading(at, distance):
    return Reading(at, distance, distance, 1, "odometer", "manual", 1)


def test_what_lies_between_two_months_is_spread_over_both():
    begin = datetime(2026, 1, 22, tzinfo=UTC)
    found = per_month([reading(begin, 0), reading(begin + timedelta(days=20), 200)])
    assert found == [Month("2026-01", 100.0), Month("2026-02", 100.0)]


def test_a_month_without_readings_has_its_share():
    found = per_month([reading(datetime(2025, 12, 31, tzinfo=UTC), 0), reading(datetime(2026, 2, 1, tzinfo=UTC), 320)])
    assert found == [Month("2025-12", 10.0), Month("2026-01", 310.0)]


def test_two_readings_at_one_moment_count_in_its_month():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert per_month([reading(moment, 0), reading(moment, 7)]) == [Month("2026-01", 7.0)]


EPOCH = datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Vienna"))
moments = st.integers(0, 3 * 365 * 24).map(lambda hours: EPOCH + timedelta(hours=hours))


@given(st.lists(st.tuples(moments, st.integers(0, 9000)), max_size=8))
def test_months_add_up_to_the_distance(rows):
    ordered = sorted(rows)
    found = per_month([reading(at, distance) for at, distance in ordered])
    driven = ordered[-1][1] - ordered[0][1] if ordered else 0
    assert sum(month.miles for month in found) == pytest.approx(driven, abs=0.1 * (len(found) + 1))
    assert [month.month for month in found] == sorted({month.month for month in found})


def test_a_spreadsheet_takes_no_source_for_a_formula():
    vehicle = make_vehicle()
    make_event(vehicle, 0, 5, source="=cmd()")
    assert ",'=cmd()," in as_csv(history(vehicle.pk))


def test_an_unknown_vehicle_has_no_history():
    with pytest.raises(Unknown, match="There is no vehicle 4000000"):
        history(4_000_000)


def test_a_history_takes_five_queries(django_assert_num_queries):
    vehicle = make_vehicle(list(range(1, 30)))
    with django_assert_num_queries(5):
        history(vehicle.pk)
