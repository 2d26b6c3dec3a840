"""A report moves the master, the session and each group above once, and a ride's hours come into history as ridden."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError
from psycopg.errors import DeadlockDetected

from players import recording
from players.exceptions import Invalid, Reused, Unknown, WrongKey
from players.keys import create_key
from players.models import Device, Group, HourlyMetric, IdempotencyKey, Player
from players.placing import place_group, place_player
from players.recording import Answer, Report, kilometres, update_data
from players.reports import mileage
from tests.players.bikes import GLOBAL, NOON, assert_true_to_rules, history, in_flight, ride
from tests.players.factories import make_device, make_group, make_player

pytestmark = pytest.mark.django_db


@pytest.fixture
def school():
    return make_group("School")


@pytest.fixture
def class_(school):
    return make_group("Class", school)


@pytest.fixture
def ada(class_):
    return make_player(name="Ada", id_tag="Ada-1", groups=[class_])


@pytest.fixture
def bea(class_):
    return make_player(name="Bea", groups=[class_])


@pytest.fixture
def red(class_):
    return make_device("Red", class_)


@pytest.fixture
def blue():
    return make_device("Blue")


def total(row):
    row.refresh_from_db()
    return row.distance_total


# What one report moves


def test_a_report_moves_the_player_the_session_and_every_group_above(ada, red, class_, school):
    assert ride(ada, red, "1.25", at=0) == Answer(
        skipped=False, distance_total=Decimal("1.25"), session_km=Decimal("1.25")
    )
    assert [total(row) for row in (ada, class_, school)] == [Decimal("1.25")] * 3
    assert in_flight(ada) == Decimal("1.25")
    assert_true_to_rules()


def test_a_player_of_two_classes_counts_once_in_the_school(school, class_, red):
    ada = make_player(groups=[class_, make_group("Club", school)])
    ride(ada, red, 3)
    assert [total(group) for group in Group.objects.order_by("name")] == [3, 3, 3]
    assert_true_to_rules()


def test_a_hidden_player_counts_in_the_groups(class_, red):
    ride(make_player(groups=[class_], is_visible=False), red, 3)
    assert total(class_) == 3


def test_tag_and_device_ignore_case(ada, red):
    update_data(Report("ADA-1", "rEd", Decimal(2)), GLOBAL)
    assert total(ada) == 2


def test_a_report_of_zero_keeps_the_ride_going_and_leaves_no_row(ada, red):
    ride(ada, red, 0, at=0)
    ride(ada, red, 0, at=70)
    assert (history(ada), in_flight(ada)) == ([], 0)


def test_a_report_says_when_the_player_was_active(ada, red):
    ride(ada, red, at=3)
    ada.refresh_from_db()
    assert ada.last_active == NOON + timedelta(minutes=3)


@pytest.mark.parametrize("who", ["player", "device"])
def test_where_collection_is_off_nothing_moves(who, ada, red):
    row = ada if who == "player" else red
    row.collects = False
    row.save()
    assert ride(ada, red, 5) == Answer(skipped=True)
    assert (total(ada), in_flight(ada)) == (0, None)


# Hours


def test_each_hour_gets_its_own_part(ada, red):
    for minutes, km in [(50, 1), (55, 2), (65, 4), (130, 8)]:
        ride(ada, red, km, at=minutes)
    assert history(ada) == [("Red", 12, 3), ("Red", 13, 4)]
    assert in_flight(ada) == 8
    assert_true_to_rules()


def test_a_running_session_that_is_partly_in_history_is_not_counted_twice(ada, red):
    ride(ada, red, 3, at=50)
    assert ride(ada, red, 4, at=65).session_km == 7
    assert (history(ada), in_flight(ada), total(ada)) == ([("Red", 12, 3)], 4, 7)


def test_a_second_session_in_one_hour_adds_to_the_row_of_the_first(ada, bea, red):
    ride(ada, red, 3, at=1)
    ride(bea, red, 1, at=2)
    ride(ada, red, 5, at=3)
    ride(bea, red, 1, at=4)
    assert history(ada) == [("Red", 12, 8)]
    assert_true_to_rules()


def test_the_hour_is_that_of_the_utc_clock_whatever_the_offset_of_the_caller(ada, red):
    half = NOON.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    ride(ada, red, 1, at=half + timedelta(minutes=40))
    ride(ada, red, 1, at=half + timedelta(minutes=50))
    assert history(ada) == []
    ride(ada, red, 1, at=half + timedelta(minutes=61))
    assert history(ada) == [("Red", 12, 2)]


def test_a_ride_over_midnight_is_cut_at_midnight(ada, red):
    night = datetime(2026, 3, 28, 23, 59, tzinfo=UTC)
    ride(ada, red, 1, at=night)
    ride(ada, red, 2, at=night + timedelta(minutes=2))
    ride(ada, red, 4, at=night + timedelta(hours=1, minutes=2))
    days = mileage(datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC))
    assert [row.km for row in days.rows] == [1, 2]


def test_the_clock_of_another_server_may_be_behind(ada, red):
    ride(ada, red, 1, at=60)
    ride(ada, red, 2, at=59)
    ride(ada, red, 0, at=121)
    assert history(ada) == [("Red", 13, 3)]


# Switches


def test_another_rider_on_the_device_closes_the_session_of_the_first(ada, bea, red):
    ride(ada, red, 3, at=10)
    ride(bea, red, 1, at=20)
    assert (history(ada), in_flight(ada), in_flight(bea)) == ([("Red", 12, 3)], None, 1)
    assert_true_to_rules()


def test_a_rider_who_changes_the_device_closes_the_first_session(ada, red, blue):
    ride(ada, red, 3, at=10)
    assert ride(ada, blue, 1, at=20).session_km == 1
    assert (history(ada), in_flight(ada)) == ([("Red", 12, 3)], 1)
    assert_true_to_rules()


def test_riders_who_change_places_close_both_sessions(ada, bea, red, blue):
    ride(ada, red, 3, at=10)
    ride(bea, blue, 4, at=10)
    ride(ada, blue, 1, at=20)
    assert (history(ada), history(bea)) == ([("Red", 12, 3)], [("Blue", 12, 4)])
    assert (in_flight(ada), in_flight(bea)) == (1, None)


def test_a_session_that_is_closed_late_goes_into_the_hour_in_which_it_was_ridden(ada, bea, red):
    ride(ada, red, 3, at=10)
    ride(bea, red, 1, at=200)
    assert history(ada) == [("Red", 12, 3)]


# Whose hour it was


def test_an_hour_belongs_to_the_group_of_the_device(ada, red, class_):
    ride(ada, red, at=10)
    ride(ada, red, at=70)
    assert HourlyMetric.objects.get().group_at_time == class_


def test_on_a_bike_without_group_it_belongs_to_the_lowest_leaf_group_of_the_player(blue, school):
    leaves = [make_group("Leaf", school), make_group("Other leaf", school)]
    ada = make_player(groups=[school, *leaves[::-1]])
    ride(ada, blue, at=10)
    ride(ada, blue, at=70)
    assert HourlyMetric.objects.get().group_at_time == leaves[0]


def test_without_any_group_it_belongs_to_none(blue):
    ada = make_player()
    ride(ada, blue, at=10)
    ride(ada, blue, at=70)
    assert HourlyMetric.objects.get().group_at_time is None


def test_history_stays_with_the_group_that_it_was_ridden_for(ada, red, class_):
    ride(ada, red, 2, at=10)
    ride(ada, red, 1, at=70)
    place_player(ada, [make_group("Next class").pk])
    assert mileage(NOON, NOON + timedelta(hours=1), group=class_.pk).total_km == 2


# Moves in the tree


def test_a_group_that_moves_takes_its_kilometres_along(ada, red, class_, school):
    ride(ada, red, 3)
    other = make_group("Other school")
    class_.parent = other
    place_group(class_)
    ride(ada, red, 4)
    assert [total(group) for group in (class_, school, other)] == [7, 0, 7]
    assert_true_to_rules()


def test_a_player_who_changes_the_class_takes_the_kilometres_along(ada, red, class_, school):
    ride(ada, red, 3)
    other = make_group("Other class", school)
    place_player(ada, [other.pk])
    ride(ada, red, 4)
    assert [total(group) for group in (class_, school, other)] == [0, 7, 7]
    assert_true_to_rules()


# What is refused


@pytest.mark.parametrize("value", [-1, Decimal("-0.00001"), "-1", float("nan"), Decimal("NaN"), Decimal("Infinity")])
def test_a_distance_below_zero_or_without_an_end_is_refused(value):
    with pytest.raises(Invalid) as error:
        kilometres(value)
    assert error.value.field == "distance"


@pytest.mark.parametrize("value", ["", "twelve", "1_0", " 1", "1e2", "\uff11", True, None, [], "1.", "0x1"])
def test_garbage_is_no_distance(value):
    with pytest.raises(Invalid, match="Give the distance in km as a number"):
        kilometres(value)


@pytest.mark.parametrize("value", ["100.00001", 101, Decimal("1e999999"), 10**100])
def test_an_implausible_distance_is_refused(value):
    with pytest.raises(Invalid, match="A report takes 0 to 100 km"):
        kilometres(value)


def test_the_plausible_maximum_is_a_setting(settings):
    settings.PLAYERS = {"MAX_DISTANCE_KM": "5"}
    assert kilometres(5) == 5
    with pytest.raises(Invalid, match="A report takes 0 to 5 km"):
        kilometres("5.1")


@pytest.mark.parametrize("value", ["0.000001", Decimal("1.123456"), Decimal("1e-999999"), 0.1 + 0.2])
def test_more_than_five_places_are_refused(value):
    with pytest.raises(Invalid, match="at most 5 places"):
        kilometres(value)


@pytest.mark.parametrize("value", [0.1, "0.1", Decimal("0.10000"), Decimal("1e-1"), "0.1000000"])
def test_a_distance_is_exactly_what_was_sent(value):
    assert kilometres(value) == Decimal("0.1")


def test_a_verb_refuses_what_a_door_let_in(ada, red):
    with pytest.raises(Invalid):
        ride(ada, red, "-1")
    assert total(ada) == 0


def test_an_unknown_tag_or_device_is_named(ada, red):
    with pytest.raises(Unknown, match="no player with the ID tag 'nobody'") as error:
        update_data(Report("nobody", "Red", Decimal(1)), GLOBAL)
    assert error.value.field == "id_tag"
    with pytest.raises(Unknown, match="no device 'Green'") as error:
        update_data(Report("Ada-1", "Green", Decimal(1)), GLOBAL)
    assert error.value.field == "device_id"


@pytest.mark.parametrize("device", ["Blue", "Green"])
def test_a_key_of_one_device_serves_no_other_and_tells_nothing_of_it(device, ada, red, blue):
    key = create_key("red", red)[1]
    with pytest.raises(WrongKey, match="belongs to another device"):
        update_data(Report("Ada-1", device, Decimal(1)), key)


def test_a_key_of_a_device_serves_it(ada, red):
    update_data(Report("Ada-1", "red", Decimal(1)), create_key("red", red)[1])
    assert total(ada) == 1


# The same report again


def test_the_same_idempotency_key_gets_the_first_answer_and_moves_nothing(ada, red):
    first = ride(ada, red, 3, at=0, key="a")
    ride(ada, red, 4, at=1, key="b")
    assert ride(ada, red, 3, at=2, key="a") == first
    assert (total(ada), in_flight(ada)) == (7, 7)


def test_a_report_that_was_skipped_stays_skipped(ada, red):
    Player.objects.update(collects=False)
    ride(ada, red, 3, key="a")
    Player.objects.update(collects=True)
    assert ride(ada, red, 3, key="a") == Answer(skipped=True)


def test_a_report_is_the_same_however_it_is_written(ada, red):
    ride(ada, red, "3.10000", key="a")
    update_data(Report("ADA-1", "RED", Decimal("3.1")), GLOBAL, "a")
    assert total(ada) == Decimal("3.1")


@pytest.mark.parametrize("other", [Report("Ada-1", "Red", Decimal(4)), Report("nobody", "Red", Decimal(3))])
def test_an_idempotency_key_with_another_body_is_refused(other, ada, red):
    ride(ada, red, 3, key="a")
    with pytest.raises(Reused, match="came with another body before"):
        update_data(other, GLOBAL, "a")
    assert total(ada) == 3


def test_an_idempotency_key_is_one_within_a_device(ada, red, blue):
    ride(ada, red, 3, key="a")
    ride(ada, blue, 4, key="a")
    assert total(ada) == 7


def test_an_idempotency_key_is_free_again_after_a_day(ada, red):
    ride(ada, red, 3, at=0, key="a")
    assert ride(ada, red, 4, at=24 * 60 + 1, key="a").distance_total == 7
    assert IdempotencyKey.objects.count() == 1


def test_a_refused_report_keeps_no_answer(ada, red):
    with pytest.raises(Unknown):
        update_data(Report("nobody", "Red", Decimal(1)), GLOBAL, "a")
    assert ride(ada, red, 3, key="a").distance_total == 3


# Rolled back


def failing(monkeypatch, *errors):
    """Fail after the last statement of a report with each of these errors, then no more."""
    left, execute = list(errors), recording.execute

    def run(sql, values=()):
        found = execute(sql, values)
        if sql == recording.RIDE and left:
            raise left.pop(0)
        return found

    monkeypatch.setattr(recording, "execute", run)


def deadlock():
    error = OperationalError("deadlock detected")
    error.__cause__ = DeadlockDetected()
    return error


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("times", [1, 3])
def test_a_report_is_tried_again_after_a_deadlock_and_counts_once(times, monkeypatch, ada, red, class_):
    failing(monkeypatch, *[deadlock()] * times)
    ride(ada, red, 3, key="a")
    assert [total(ada), total(class_), in_flight(ada)] == [3, 3, 3]
    assert_true_to_rules()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [deadlock(), RuntimeError("killed")])
def test_a_report_that_fails_for_good_leaves_nothing_and_may_come_again(error, monkeypatch, ada, bea, red):
    ride(bea, red, 5, at=0)
    failing(monkeypatch, *[error] * 4)
    with pytest.raises(type(error)):
        ride(ada, red, 3, at=1, key="a")
    assert (total(ada), in_flight(ada), in_flight(bea), history(bea)) == (0, None, 5, [])
    monkeypatch.undo()
    ride(ada, red, 3, at=2, key="a")
    assert total(ada) == 3
    assert_true_to_rules()


@pytest.mark.django_db(transaction=True)
def test_history_is_not_lost_by_cascade(ada, red):
    from django.db.models import ProtectedError

    ride(ada, red, 3, at=0)
    ride(ada, red, 3, at=70)
    for model in (Player, Device, Group):
        with pytest.raises(ProtectedError):
            model.objects.all().delete()
    assert_true_to_rules()
