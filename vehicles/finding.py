"""Rows by the number that a person or a program has: the short one of this database, or the uuid known outside."""

from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from vehicles.exceptions import Unknown
from vehicles.models import Vehicle, VehicleEvent

Found = TypeVar("Found", bound=Model)
Reference = int | UUID


def find(rows: "QuerySet[Found]", what: str, reference: Reference, field: str) -> Found:
    """The row of a reference, which was given as `field`. Raises Unknown."""
    by = {"uuid": reference} if isinstance(reference, UUID) else {"pk": reference}
    found = rows.filter(**by).first()
    if found is None:
        raise Unknown(f"There is no {what} {reference}.", field)
    return found


def find_vehicle(reference: Reference, *, lock: bool = False, field: str = "id") -> Vehicle:
    """A vehicle. Raises Unknown."""
    # The key stays as it is: events may be inserted meanwhile, as their foreign key locks the key alone.
    rows = Vehicle.objects.select_for_update(no_key=True) if lock else Vehicle.objects.all()
    return find(rows, "vehicle", reference, field)


def find_event(vehicle: Vehicle, reference: Reference, *, lock: bool = False) -> VehicleEvent:
    """An event of a vehicle, a deleted one too. Raises Unknown."""
    rows = VehicleEvent.objects.filter(vehicle=vehicle)
    return find(rows.select_for_update() if lock else rows, "event", reference, "event_id")
