"""Overrides that meet each other, or a reading that is entered at the same time."""

import threading

import pytest
from django.db import connection

from tests.integrity.others import Other
from tests.vehicles.factories import day, make_vehicle
from vehicles.exceptions import Invalid, Unknown
from vehicles.models import MileageOverride, Vehicle
from vehicles.overrides import clear_override, set_override

INSERT = "INSERT INTO vehicles_vehicleevent (vehicle_id, occurred_at, miles) VALUES (%s, %s, %s)"


def in_a_thread(function, *arguments, **options):
    """A verb in a session of its own."""

    def run():
        try:
            function(*arguments, **options)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def meanwhile(statement, parameters, function, *arguments, **options):
    """A verb that begins while another one's transaction holds the vehicle, and ends after it."""
    with Other() as other:
        other.begin(statement, parameters)
        thread = in_a_thread(function, *arguments, **options)
        wait_for_a_lock()
        other.commit()
        thread.join(timeout=20)
    assert not thread.is_alive()


def wait_for_a_lock():
    with connection.cursor() as cursor:
        for _ in range(2000):
            cursor.execute("SELECT pg_sleep(0.005), count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            if cursor.fetchone()[1]:
                return
    raise AssertionError("nobody waits")


@pytest.mark.django_db(transaction=True)
def test_an_override_beside_a_new_reading_wins():
    vehicle = make_vehicle([1000])
    meanwhile(INSERT, [vehicle.pk, day(9), 2000], set_override, vehicle.pk, 5, by="ann")
    found = Vehicle.objects.get()
    assert (found.current_mileage, found.mileage_computed_from) == (5, "override")


@pytest.mark.django_db(transaction=True)
def test_an_override_is_cleared_beside_a_new_reading():
    vehicle = make_vehicle([1000], current_mileage_override=5)
    meanwhile(INSERT, [vehicle.pk, day(9), 2000], clear_override, vehicle.pk, by="ann")
    assert Vehicle.objects.get().current_mileage == 2000


@pytest.mark.django_db(transaction=True)
def test_of_two_overrides_the_later_names_the_earlier_as_previous():
    vehicle = make_vehicle([1000])
    first = "UPDATE vehicles_vehicle SET current_mileage_override = 5 WHERE id = %s"
    meanwhile(first, [vehicle.pk], set_override, vehicle.pk, 6, by="ann")
    assert list(MileageOverride.objects.order_by("id").values_list("previous", "mileage")) == [(None, 5), (5, 6)]


@pytest.mark.django_db
@pytest.mark.parametrize("mileage", [-1, 1_000_001])
def test_a_mileage_out_of_range_is_refused(mileage):
    with pytest.raises(Invalid, match=f"Give whole miles from 0 to 1000000, not {mileage}.") as refused:
        set_override(make_vehicle().pk, mileage, by="ann")
    assert refused.value.field == "mileage"


@pytest.mark.django_db
def test_a_vehicle_that_does_not_exist_is_named():
    with pytest.raises(Unknown, match=r"There is no vehicle 4000000\."):
        clear_override(4_000_000, by="ann")
