"""A vehicle's mileage follows its log for every writer: each story is told by the ORM, bulk, raw SQL and COPY."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.utils import timezone

from integrity.engine import analyze
from integrity.registry import registry
from tests.integrity.helpers import execute
from tests.vehicles.factories import day, make_vehicle
from tests.vehicles.writers import WRITERS, Row
from vehicles.models import MileageChange, Vehicle, VehicleEvent

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Story:
    """What is done to a vehicle (and another one), and what its mileage is then."""

    name: str
    does: Callable
    says: tuple[int, str]
    other: tuple[int, str] = (0, "none")


def writes(*rows):
    """Readings in the order of their entry: (days after the first, miles)."""

    def does(write, vehicle, other):
        write.insert([Row(vehicle, passed, miles, entered) for entered, (passed, miles) in enumerate(rows)])

    return does


def then(*steps):
    def does(write, vehicle, other):
        for step in steps:
            step(write, vehicle, other)

    return does


def updates(reading, **values):
    return lambda write, vehicle, other: write.update({"miles": reading}, **values)


def deletes(miles):
    return lambda write, vehicle, other: write.delete({"miles": miles})


def moves(miles):
    return lambda write, vehicle, other: write.update({"miles": miles}, vehicle_id=other.pk)


def overrides(mileage):
    return lambda write, vehicle, other: write.override(vehicle, mileage)


def truncates(write, vehicle, other):
    execute("SET CONSTRAINTS ALL IMMEDIATE", "TRUNCATE vehicles_vehicleevent", "SET CONSTRAINTS ALL DEFERRED")


LOG = writes((0, 1000), (10, 2000))
LATER = writes((20, 3000))
BACKDATED = writes((1, 10), (2, 20))
OVERRIDE = overrides(50_000)
DELETED, RESTORED = updates(2000, deleted_at=timezone.now()), updates(2000, deleted_at=None)
EVENT, NONE = "event", (0, "none")

STORIES = [
    Story("the latest reading counts", LOG, (2000, EVENT)),
    Story("no readings are no mileage", writes(), NONE),
    Story("an older receipt that is entered later does not win", writes((10, 2000), (0, 1000)), (2000, EVENT)),
    Story("a bulk import of backdated events changes nothing", then(LATER, BACKDATED), (3000, EVENT)),
    Story("two events of one day are ordered by time, not entry", writes((0.6, 1060), (0.5, 1050)), (1060, EVENT)),
    Story("of two events at one time the later entry counts", writes((0, 1000), (0, 1001)), (1001, EVENT)),
    Story("a lower later reading counts as well", writes((0, 2000), (10, 1000)), (1000, EVENT)),
    Story("deleting the latest falls back to the one before", then(LOG, deletes(2000)), (1000, EVENT)),
    Story("deleting an older one changes nothing", then(LOG, deletes(1000)), (2000, EVENT)),
    Story("deleting the last one leaves nothing", then(LOG, deletes(2000), deletes(1000)), NONE),
    Story("a soft delete says nothing", then(LOG, DELETED), (1000, EVENT)),
    Story("a restored event speaks again", then(LOG, DELETED, RESTORED), (2000, EVENT)),
    Story("miles set to NULL say nothing", then(LOG, updates(2000, miles=None)), (1000, EVENT)),
    Story("miles set to 0 say nothing", then(LOG, updates(2000, miles=0)), (1000, EVENT)),
    Story("0 miles are no reading", writes((0, 1000), (10, 0)), (1000, EVENT)),
    Story("an event without miles is no reading", writes((0, 1000), (10, None)), (1000, EVENT)),
    Story("a corrected reading counts", then(LOG, updates(2000, miles=1900)), (1900, EVENT)),
    Story("an event that is dated back loses", then(LOG, updates(2000, occurred_at=day(-1))), (1000, EVENT)),
    Story("a moved event changes both vehicles", then(LOG, moves(2000)), (1000, EVENT), (2000, EVENT)),
    Story("an override wins", then(LOG, OVERRIDE), (50_000, "override")),
    Story("an override of 0 wins", then(LOG, overrides(0)), (0, "override")),
    Story("newer events do not move an override", then(LOG, OVERRIDE, LATER), (50_000, "override")),
    Story("without the override the log counts at once", then(LOG, OVERRIDE, LATER, overrides(None)), (3000, EVENT)),
    Story("an override without a log", then(overrides(7)), (7, "override")),
    Story("an emptied log leaves nothing", then(LOG, truncates), NONE),
    Story("an emptied log leaves the override", then(LOG, overrides(5), truncates), (5, "override")),
]  # fmt: skip


def mileage(vehicle):
    return Vehicle.objects.values_list("current_mileage", "mileage_computed_from").get(pk=vehicle.pk)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_whoever_writes(story, writer):
    vehicle, other = make_vehicle(), make_vehicle()
    story.does(WRITERS[writer], vehicle, other)
    assert (mileage(vehicle), mileage(other)) == (story.says, story.other)
    assert analyze([registry.get("vehicles.current_mileage")]).status == "clean"


@pytest.mark.parametrize("writer", WRITERS)
def test_the_initial_mileage_counts_until_there_is_a_reading(writer):
    vehicle = make_vehicle(initial_mileage=500)
    assert mileage(vehicle) == (500, "manual")
    WRITERS[writer].insert([Row(vehicle, 0, 400)])
    assert mileage(vehicle) == (400, "event")
    WRITERS[writer].delete({"miles": 400})
    assert mileage(vehicle) == (500, "manual")


def test_an_initial_mileage_of_0_is_one():
    assert mileage(make_vehicle(initial_mileage=0)) == (0, "manual")


@pytest.mark.parametrize("writer", WRITERS)
def test_a_mileage_written_by_hand_is_put_right(writer):
    vehicle = make_vehicle([1000])
    Vehicle.objects.filter(pk=vehicle.pk).update(current_mileage=7, mileage_computed_from="manual")
    assert mileage(vehicle) == (1000, "event")


def test_a_form_that_was_read_a_while_ago_writes_no_old_mileage():
    vehicle = make_vehicle([1000])
    WRITERS["sql"].insert([Row(vehicle, 5, 1100)])
    vehicle.name = "renamed"
    vehicle.save()
    assert [change.new for change in MileageChange.objects.order_by("id")] == [1000, 1100]
    assert Vehicle.objects.get().name == "renamed"


def test_when_it_changed_is_kept_and_only_then():
    vehicle = make_vehicle([1000])
    assert vehicle.mileage_last_updated_at is not None
    VehicleEvent.objects.update(notes="washed", cost=3, source="app")
    Vehicle.objects.update(name="renamed")
    WRITERS["sql"].insert([Row(vehicle, -1, 900)])
    found = Vehicle.objects.get()
    assert found.mileage_last_updated_at == vehicle.mileage_last_updated_at
    WRITERS["sql"].insert([Row(vehicle, 5, 1100)])
    assert Vehicle.objects.get().mileage_last_updated_at > vehicle.mileage_last_updated_at


def test_an_update_of_other_columns_writes_nothing_to_the_vehicle():
    make_vehicle([1000, 1100])

    def version():
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT xmin::text, ctid::text FROM vehicles_vehicle")
            return cursor.fetchall()

    before = version()
    VehicleEvent.objects.update(notes="washed", cost=3, source="app")
    assert version() == before


def test_a_bulk_import_writes_each_vehicle_once():
    vehicles = [make_vehicle(), make_vehicle()]
    WRITERS["bulk"].insert([Row(v, passed, 100 + passed, passed) for v in vehicles for passed in range(50)])
    assert [(c.old, c.new) for c in MileageChange.objects.all()] == [(0, 149)] * 2


def test_each_vehicle_follows_its_own_log():
    vehicles = [make_vehicle([100 * n, 200 * n]) for n in range(1, 4)]
    assert [mileage(v)[0] for v in vehicles] == [200, 400, 600]
