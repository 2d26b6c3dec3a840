"""The triggers come and go with the migrations, on a database with data."""

import pytest
from django.core.management import call_command
from django.db import connection

from integrity.enforce import enforce
from integrity.enforcement.states import state
from integrity.registry import registry
from tests.vehicles.factories import make_vehicle
from vehicles.models import Vehicle

LEFT = """
    SELECT relname FROM pg_class WHERE relname LIKE 'vehicle%'
    UNION ALL SELECT proname FROM pg_proc
        WHERE prorettype = 'trigger'::regtype AND pronamespace = current_schema()::regnamespace
        AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = pg_proc.oid)
"""
RULE = "vehicles.current_mileage"


def left():
    """Tables and indexes of the app, and functions that no trigger calls any more."""
    with connection.cursor() as cursor:
        cursor.execute(LEFT)
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
def test_migrations_go_forwards_backwards_and_forwards_again_with_data():
    make_vehicle([1000, 1100])
    try:
        call_command("migrate", "vehicles", "zero", verbosity=0)
        assert left() == []
    finally:
        call_command("migrate", verbosity=0)
    vehicle = make_vehicle([1000, 1100])
    assert vehicle.current_mileage == 1100
    assert state(registry.get(RULE)) == "guarded"
    assert enforce([registry.get(RULE)]).rules[0].enforcement == "enforced"


@pytest.mark.django_db
def test_vehicles_from_before_the_triggers_are_filled_by_one_repair():
    """Taken away and installed again beside data that nobody kept true, wrong values that are not 0 among it."""
    from integrity.repair import repair

    rule = registry.get(RULE)
    enforce([rule], remove=True)
    vehicles = [make_vehicle([100 * n]) for n in range(1, 4)]
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    Vehicle.objects.filter(pk=vehicles[0].pk).update(current_mileage=7)
    assert enforce([rule]).rules[0].violations == 3
    assert repair([(rule, None)], max_affected="100%").changes == 3
    assert [v.current_mileage for v in Vehicle.objects.order_by("id")] == [100, 200, 300]
    assert enforce([rule]).rules[0].enforcement == "enforced"
