"""What the database refuses, whoever writes."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models import F, ProtectedError
from django.db.models.functions import Now

from players.models import Device, Group, HourlyMetric, IdempotencyKey, OpenSession, Player
from tests.players.factories import FIRST_HOUR, make_device, make_group, make_hour, make_player

pytestmark = pytest.mark.django_db


def execute(sql, *params):
    """Write past Django, then check what is deferred to the end of the transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


DISTANCES = [
    ("players_player", "distance_total", "player_distance_is_valid"),
    ("players_group", "distance_total", "group_distance_is_valid"),
    ("players_hourlymetric", "distance_km", "hourly_metric_distance_is_valid"),
    ("players_opensession", "distance_km", "open_session_"),
]


@pytest.fixture
def rider():
    return make_player(rides=[4, 6], open=[2, 1], groups=[make_group()])


@pytest.mark.parametrize(("table", "column", "name"), DISTANCES)
@pytest.mark.parametrize("km", ["-0.00001", "NaN"])
def test_a_distance_is_a_number_from_zero_on(rider, table, column, name, km):
    with pytest.raises(IntegrityError, match=name):
        execute(f"UPDATE {table} SET {column} = %s", km)


@pytest.mark.parametrize(("table", "column", "name"), DISTANCES)
@pytest.mark.parametrize("km", ["Infinity", "10000000000", "twelve"])
def test_a_distance_is_finite_and_fits_its_column(rider, table, column, name, km):
    with pytest.raises(DataError):
        execute(f"UPDATE {table} SET {column} = %s", km)


def test_a_distance_may_be_zero_and_the_largest_of_its_column():
    player = make_player(stored="9999999999.99999", rides=[0])
    assert (Player.objects.get().distance_total, player.hourly_metrics.get().distance_km) == (
        Decimal("9999999999.99999"),
        Decimal(0),
    )


@pytest.mark.parametrize(
    ("km", "sentence"),
    [
        ("-1", "Enter a distance between 0 and 9999999999.99999 km in distance_total."),
        ("1.000001", "Ensure that there are no more than 5 decimal places."),
        ("NaN", "value must be a decimal number."),
        ("twelve", "value must be a decimal number."),
    ],
)
def test_a_form_says_which_distance_it_takes(km, sentence):
    player = Player(name="Rider", id_tag="tag", distance_total=km)
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        player.full_clean()


def test_an_id_tag_is_unique_ignoring_case():
    make_player(id_tag="AB-12")
    with pytest.raises(IntegrityError, match="player_id_tag_is_unique"):
        make_player(id_tag="ab-12")


def test_a_form_says_that_an_id_tag_is_taken():
    make_player(id_tag="AB-12")
    with pytest.raises(ValidationError, match="Another player has this ID tag"):
        Player(name="Rider", id_tag="ab-12").full_clean()


def test_a_device_name_is_unique_ignoring_case():
    make_device("Bike One")
    with pytest.raises(IntegrityError, match="device_name_is_unique"):
        make_device("BIKE ONE")


def test_a_group_name_is_unique():
    make_group("Class 1a")
    with pytest.raises(IntegrityError, match="players_group_name"):
        make_group("Class 1a")


def test_a_player_is_in_a_group_once():
    group = make_group()
    player = make_player(groups=[group])
    with pytest.raises(IntegrityError, match="membership_is_unique"):
        player.memberships.create(group=group)


def test_history_has_a_player_device_and_hour_once(rider):
    hour = rider.hourly_metrics.first()
    with pytest.raises(IntegrityError, match="hourly_metric_occurs_once"):
        make_hour(rider, hour.device)


def test_an_adjustment_without_device_is_one_per_hour(rider):
    make_hour(rider, None, is_adjustment=True)
    with pytest.raises(IntegrityError, match="hourly_metric_occurs_once"):
        make_hour(rider, None, is_adjustment=True)


def test_an_hour_holds_two_devices_and_an_adjustment_of_each(rider):
    hour = rider.hourly_metrics.first()
    make_hour(rider, make_device())
    make_hour(rider, hour.device, is_adjustment=True)
    make_hour(rider, None, is_adjustment=True)
    assert rider.hourly_metrics.filter(hour=FIRST_HOUR).count() == 4


def test_only_an_adjustment_has_no_device(rider):
    with pytest.raises(IntegrityError, match="hourly_metric_has_a_device"):
        make_hour(rider, None)


@pytest.mark.parametrize("off", [timedelta(minutes=30), timedelta(seconds=1), timedelta(microseconds=1)])
def test_history_is_kept_on_the_hour(rider, off):
    with pytest.raises(IntegrityError, match="hourly_metric_is_on_the_hour"):
        HourlyMetric.objects.update(hour=F("hour") + off)


def test_the_hour_is_utc_whatever_the_time_zone_of_the_session(rider):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'Asia/Kolkata'")
    make_hour(rider, make_device(), passed=50)
    with pytest.raises(IntegrityError, match="hourly_metric_is_on_the_hour"):
        execute("UPDATE players_hourlymetric SET hour = '2026-03-02 09:00:00'")


@pytest.mark.parametrize("flushed", ["-1", "2.00001", "NaN"])
def test_what_is_flushed_is_a_part_of_the_session(rider, flushed):
    with pytest.raises(IntegrityError, match="open_session_flushed_is_part"):
        execute("UPDATE players_opensession SET flushed_km = %s", flushed)


def test_a_session_starts_before_its_last_activity(rider):
    with pytest.raises(IntegrityError, match="open_session_starts_before_activity"):
        OpenSession.objects.update(started_at=F("last_activity") + timedelta(seconds=1))


def test_a_player_has_one_open_session(rider):
    with pytest.raises(IntegrityError, match="player_id"):
        OpenSession.objects.create(player=rider, device=make_device(), started_at=FIRST_HOUR, last_activity=FIRST_HOUR)


def test_a_device_uses_an_idempotency_key_once():
    request = {"device": make_device(), "key": "1", "body_hash": "", "answer": {}, "at": Now()}
    IdempotencyKey.objects.create(**request)
    IdempotencyKey.objects.create(**request | {"device": make_device()})
    with pytest.raises(IntegrityError, match="idempotency_key_is_unique"):
        IdempotencyKey.objects.create(**request)


@pytest.mark.parametrize("model", [Player, Device, Group])
def test_django_refuses_to_delete_what_history_needs(rider, model):
    make_hour(rider, make_device(), passed=9, group_at_time=make_group("At the time"))
    for row in model.objects.all():
        with pytest.raises(ProtectedError):
            row.delete()
    assert rider.hourly_metrics.count() == 3


@pytest.mark.parametrize("table", ["players_player", "players_device", "players_group"])
def test_the_database_refuses_to_delete_what_history_needs(table):
    group = make_group()
    make_hour(make_player(), make_device(), group_at_time=group)
    execute("SET CONSTRAINTS ALL DEFERRED")
    with pytest.raises(IntegrityError, match="still referenced from table"):
        execute(f"DELETE FROM {table}")


def test_a_device_under_an_open_session_is_kept():
    rider = make_player(open=[2, 0])
    with pytest.raises(ProtectedError):
        rider.open_session.device.delete()


def test_a_group_with_players_or_children_is_kept():
    school = make_group("School")
    make_player(groups=[make_group("Class", school)])
    for group in Group.objects.all():
        with pytest.raises(ProtectedError):
            group.delete()


def test_a_player_without_history_goes_with_its_memberships():
    group = make_group()
    make_player(groups=[group]).delete()
    assert (Player.objects.count(), group.memberships.count()) == (0, 0)


def test_a_name_says_what_a_row_is(rider):
    hour = rider.hourly_metrics.first()
    assert str(hour) == f"4.00000 km by player {rider.pk} at 2026-03-02 08:00"
