"""Vehicles and their logs, made from the figures that a test is about."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from vehicles.models import Vehicle, VehicleEvent

FIRST_DAY = datetime(2026, 3, 2, 8, tzinfo=UTC)

numbers = count(1)


def day(passed: float) -> datetime:
    """A moment so many days after FIRST_DAY."""
    return FIRST_DAY + timedelta(days=passed)


def make_vehicle(readings: Iterable[int | None] = (), **fields: Any) -> Vehicle:
    """A vehicle with a reading on each of the days from FIRST_DAY on; None is a day without one."""
    vehicle = Vehicle.objects.create(**{"name": f"Vehicle {next(numbers)}"} | fields)
    for passed, miles in enumerate(readings):
        if miles is not None:
            make_event(vehicle, passed, miles)
    return Vehicle.objects.get(pk=vehicle.pk)


def make_event(vehicle: Vehicle, passed: float = 0, miles: int | None = None, **fields: Any) -> VehicleEvent:
    """An event `passed` days after FIRST_DAY; with miles it is a reading."""
    return VehicleEvent.objects.create(**{"vehicle": vehicle, "occurred_at": day(passed), "miles": miles} | fields)


def replace_odometer(vehicle: Vehicle, passed: float, miles: int = 0, replaced: int | None = None) -> VehicleEvent:
    """A new odometer that reads `miles`; the old one read `replaced` at last."""
    return make_event(vehicle, passed, miles, type="odometer_replacement", replaced_miles=replaced)
