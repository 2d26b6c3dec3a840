"""A vehicle's mileage as people ask for it: the value, where it comes from, and since when."""

from typing import Any

from vehicles.finding import Reference, find_vehicle
from vehicles.models import MileageOverride, Vehicle, VehicleEvent
from vehicles.readings import ALONG, IS_READING

DESCRIPTIONS = {
    Vehicle.Source.OVERRIDE: "Set by an override",
    Vehicle.Source.EVENT: "Computed from latest event",
    Vehicle.Source.MANUAL: "Taken from the initial mileage",
    Vehicle.Source.NONE: "No mileage is known",
}


def mileage_of(reference: Reference) -> dict[str, Any]:
    """The mileage with its source, by the names of the API. Raises Unknown."""
    vehicle = find_vehicle(reference)
    source = Vehicle.Source(vehicle.mileage_computed_from)
    return {
        "current_mileage": vehicle.current_mileage,
        "override": vehicle.current_mileage_override,
        "source": source.value,
        "last_updated_at": vehicle.mileage_last_updated_at,
        "is_override_active": vehicle.is_overridden,
        "metadata": {
            "description": DESCRIPTIONS[source],
            "vehicle_id": vehicle.pk,
            "vehicle_uuid": vehicle.uuid,
            "initial_mileage": vehicle.initial_mileage,
            "event": _event(vehicle) if source is Vehicle.Source.EVENT else None,
            "override": _override(vehicle) if vehicle.is_overridden else None,
        },
    }


def _event(vehicle: Vehicle) -> dict[str, Any] | None:
    """The event that the mileage comes from."""
    order = [f"-{column}" for column in ALONG]
    rows = VehicleEvent.objects.filter(IS_READING, vehicle=vehicle).order_by(*order)
    found = rows.values("id", "uuid", "type", "occurred_at").first()
    return dict(found) if found else None


def _override(vehicle: Vehicle) -> dict[str, Any] | None:
    """Who set the override, when and why; nothing where it was set while nobody kept the audit."""
    rows = MileageOverride.objects.filter(vehicle=vehicle, mileage=vehicle.current_mileage_override)
    found = rows.values("reason", "author", "at").first()
    return dict(found) if found else None
