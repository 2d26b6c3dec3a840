"""What the overview of the administration tells of vehicles."""

from django.urls import reverse

from integrity.overview import Card, card
from vehicles.models import Vehicle

SHOWN = 3


@card(permission="vehicles.view_vehicle")
def overrides_in_force() -> Card:
    """Vehicles whose mileage is a person's word."""
    chosen = Vehicle.objects.filter(current_mileage_override__isnull=False)
    latest = chosen.order_by("-mileage_last_updated_at", "pk")[:SHOWN]
    return Card(
        "Overrides in force",
        chosen.count(),
        "Vehicles whose mileage somebody has said, whatever the log says.",
        [f"{vehicle}: {vehicle.current_mileage_override:,} miles" for vehicle in latest],
        reverse("admin:vehicles_vehicle_changelist") + "?mileage_computed_from__exact=override",
    )
