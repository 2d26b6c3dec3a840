"""The log: events are entered, changed, moved to another vehicle, deleted and restored.

Nothing here knows the mileage: the database follows the log by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from vehicles.audit import signed
from vehicles.exceptions import Invalid
from vehicles.finding import Reference, find_event, find_vehicle
from vehicles.models import VehicleEvent

REFUSED_FIELD = {
    "vehicle_event_miles_in_range": "miles",
    "vehicle_event_replaced_miles_in_range": "replaced_miles",
    "vehicle_event_time_in_range": "occurred_at",
    "vehicle_event_cost_not_negative": "cost",
    "vehicle_event_replacement_has_miles": "miles",
    "vehicle_event_replaced_miles_of_replacement": "replaced_miles",
}
"""Which field a constraint speaks about."""


def create_event(vehicle: Reference, *, by: str, **fields: Any) -> VehicleEvent:
    """Enter an event. Raises Unknown and Invalid."""
    # The line of the audit and what it is about are written together.
    with transaction.atomic(), signed(by), _refusals():
        event = VehicleEvent(vehicle=find_vehicle(vehicle), **fields)
        _require_valid(event)
        event.save(force_insert=True)
        event.refresh_from_db()
    return event


def edit_event(
    vehicle: Reference, event: Reference, *, by: str, reason: str = "", to: Reference | None = None, **fields: Any
) -> VehicleEvent:
    """Change some fields of an event; `to` is the vehicle that it moves to. Raises Unknown and Invalid."""
    # Locked, so that of two changes at a time neither is lost; only what is given is written.
    with transaction.atomic(), signed(by, reason), _refusals():
        found = find_event(find_vehicle(vehicle), event, lock=True)
        if to is not None:
            fields["vehicle"] = find_vehicle(to, field="vehicle_id")
        for field, value in fields.items():
            setattr(found, field, value)
        _require_valid(found)
        found.save(update_fields=list(fields))
        found.refresh_from_db()
    return found


def delete_event(vehicle: Reference, event: Reference, *, by: str, reason: str = "", for_good: bool = False) -> None:
    """Take an event out of the log: it stays as a deleted row, unless it is to go for good. Raises Unknown."""
    with transaction.atomic(), signed(by, reason):
        found = find_event(find_vehicle(vehicle), event, lock=True)
        if for_good:
            found.delete()
        elif found.deleted_at is None:
            found.deleted_at = timezone.now()
            found.save(update_fields=["deleted_at"])


def restore_event(vehicle: Reference, event: Reference, *, by: str, reason: str = "") -> VehicleEvent:
    """Put a deleted event back into the log. Raises Unknown."""
    with transaction.atomic(), signed(by, reason):
        found = find_event(find_vehicle(vehicle), event, lock=True)
        found.deleted_at = None
        found.save(update_fields=["deleted_at"])
    return found


def _require_valid(event: VehicleEvent) -> None:
    """What a field cannot hold; what fields say together is refused by the database."""
    try:
        event.clean_fields(exclude=["vehicle"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Invalid(" ".join(messages), field) from None


@contextmanager
def _refusals() -> Iterator[None]:
    """The database's refusals in words."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "") or ""
        if name not in REFUSED_FIELD:
            raise
        constraint = next(c for c in VehicleEvent._meta.constraints if c.name == name)
        raise Invalid(str(constraint.violation_error_message), REFUSED_FIELD[name]) from error
