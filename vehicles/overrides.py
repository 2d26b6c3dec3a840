"""Overrides: a person's word instead of the log. The database keeps who said what, when and why."""

from django.db import transaction

from vehicles.audit import signed
from vehicles.exceptions import Invalid
from vehicles.finding import Reference, find_vehicle
from vehicles.models import Vehicle
from vehicles.readings import MAX_MILES


def set_override(vehicle: Reference, mileage: int, *, by: str, reason: str = "") -> Vehicle:
    """The vehicle with its mileage as it is from now on: the override. Raises Unknown and Invalid."""
    if not 0 <= mileage <= MAX_MILES:
        raise Invalid(f"Give whole miles from 0 to {MAX_MILES}, not {mileage}.", "mileage")
    return _write(vehicle, mileage, by, reason)


def clear_override(vehicle: Reference, *, by: str, reason: str = "") -> Vehicle:
    """The vehicle with its mileage as the log has it. Raises Unknown."""
    return _write(vehicle, None, by, reason)


def _write(vehicle: Reference, mileage: int | None, by: str, reason: str) -> Vehicle:
    # Locked first, so that the previous value in the audit is the one that was replaced.
    with transaction.atomic(), signed(by, reason.strip()):
        found = find_vehicle(vehicle, lock=True)
        found.current_mileage_override = mileage
        found.save(update_fields=["current_mileage_override"])
        found.refresh_from_db()
    return found
