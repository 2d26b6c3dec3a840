"""The audit is written by the database for every writer, and only grows."""

import pytest
from django.db import IntegrityError, connection, transaction

from integrity.engine import analyze
from integrity.registry import registry
from integrity.repair import repair
from integrity.undo import undo
from tests.integrity.helpers import execute
from tests.vehicles.factories import day, make_event, make_vehicle
from tests.vehicles.writers import WRITERS, Row
from vehicles import events, overrides
from vehicles.models import MileageChange, MileageOverride, ReadingCorrection, Vehicle, VehicleEvent

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("writer", WRITERS)
def test_a_change_names_old_new_source_and_event(writer):
    vehicle = make_vehicle()
    WRITERS[writer].insert([Row(vehicle, 0, 1000), Row(vehicle, 1, 1100, 1)])
    change = MileageChange.objects.first()
    assert (change.new, change.source, change.event.miles) == (1100, "event", 1100)
    WRITERS[writer].override(vehicle, 7)
    change = MileageChange.objects.first()
    assert (change.old, change.new, change.source, change.event_id) == (1100, 7, "override", None)


@pytest.mark.parametrize("writer", WRITERS)
def test_an_override_is_kept_whoever_sets_and_clears_it(writer):
    vehicle = make_vehicle([1000])
    for mileage in (50_000, 60_000, None):
        WRITERS[writer].override(vehicle, mileage)
    kept = MileageOverride.objects.order_by("id").values_list("previous", "mileage")
    assert list(kept) == [(None, 50_000), (50_000, 60_000), (60_000, None)]


def test_a_vehicle_that_begins_with_an_override_has_a_line():
    make_vehicle(current_mileage_override=5)
    assert MileageOverride.objects.get().mileage == 5


def test_a_verb_signs_with_the_person_and_the_reason():
    vehicle = make_vehicle([1000])
    overrides.set_override(vehicle.pk, 5, by="ann", reason=" Odometer replaced ")
    kept = MileageOverride.objects.get()
    assert (kept.author, kept.reason) == ("ann", "Odometer replaced")
    assert MileageChange.objects.first().who == "ann"


def test_a_signature_ends_with_its_verb():
    vehicle = make_vehicle()
    events.create_event(vehicle.pk, by="ann", occurred_at=day(0), miles=5)
    make_event(vehicle, 1, 6)
    user = connection.settings_dict["USER"] or current_user()
    assert [change.who for change in MileageChange.objects.order_by("id")] == ["ann", user]


def current_user():
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user")
        return cursor.fetchone()[0]


def test_a_stranger_is_the_database_user_and_its_program():
    vehicle = make_vehicle([1000])
    execute("SET LOCAL application_name = 'loader'", "UPDATE vehicles_vehicle SET current_mileage_override = 5")
    kept = MileageOverride.objects.get()
    assert (kept.author, kept.via) == (current_user(), f"{current_user()} loader")
    assert vehicle.mileage_changes.first().via == kept.via


def test_what_changes_nothing_leaves_no_line():
    vehicle = make_vehicle([1000])
    before = MileageChange.objects.count()
    Vehicle.objects.update(name="renamed", current_mileage_override=None)
    make_event(vehicle, -1, 900)
    VehicleEvent.objects.update(notes="washed")
    assert (MileageChange.objects.count(), MileageOverride.objects.count(), ReadingCorrection.objects.count()) == (
        before,
        0,
        0,
    )


@pytest.mark.parametrize("writer", WRITERS)
def test_a_reading_that_was_changed_is_kept(writer):
    vehicle = make_vehicle([1000])
    WRITERS[writer].update({"vehicle_id": vehicle.pk}, miles=900)
    correction = ReadingCorrection.objects.get()
    assert (correction.old, correction.new, correction.event.miles) == (1000, 900, 900)


@pytest.mark.parametrize("table", ["mileageoverride", "mileagechange", "readingcorrection"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET at = now()", "DELETE FROM {}"])
def test_the_audit_only_grows(table, statement):
    vehicle = make_vehicle([1000], current_mileage_override=5)
    vehicle.events.update(miles=900)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError, match=f"vehicles_{table} is an audit and only grows"), transaction.atomic():
        execute(statement.format(f"vehicles_{table}"))


def test_the_audit_outlives_its_event():
    vehicle = make_vehicle([1000])
    event = vehicle.events.get()
    events.delete_event(vehicle.pk, event.pk, by="ann", for_good=True)
    changes = list(MileageChange.objects.order_by("id"))
    assert [(c.new, c.event_id, c.who) for c in changes[1:]] == [(0, None, "ann")]
    assert changes[0].event_id == event.pk


def test_a_repair_and_its_undo_are_in_the_audit():
    vehicle = make_vehicle([1000])
    drift(vehicle, 7)
    report = repair([(registry.get("vehicles.current_mileage"), None)], actor="ann")
    assert (report.status, report.changes) == ("clean", 1)
    assert [(c.old, c.new) for c in MileageChange.objects.order_by("id")][1:] == [(7, 1000)]
    undo(report.run)
    assert analyze([registry.get("vehicles.current_mileage")]).status == "clean"


def drift(vehicle, mileage):
    """Past every trigger, as a replica's apply worker writes."""
    execute(
        "SET LOCAL session_replication_role = replica",
        f"UPDATE vehicles_vehicle SET current_mileage = {mileage} WHERE id = {vehicle.pk}",
        "SET LOCAL session_replication_role = origin",
    )


def test_a_writer_with_another_search_path_leaves_its_lines():
    vehicle = make_vehicle([1000])
    execute(
        "SET LOCAL search_path = pg_catalog",
        f"UPDATE public.vehicles_vehicleevent SET miles = 1100 WHERE vehicle_id = {vehicle.pk}",
        "SET LOCAL search_path = public",
    )
    assert (Vehicle.objects.get().current_mileage, MileageChange.objects.first().new) == (1100, 1100)
    assert ReadingCorrection.objects.get().new == 1100
