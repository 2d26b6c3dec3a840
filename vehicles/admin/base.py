"""Miles in the administration."""

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from vehicles.models import Vehicle


def miles(value: int | None) -> str:
    """Miles in a column of figures."""
    return "-" if value is None else f"{value:,}"


def history_link(vehicle: Vehicle, text: str) -> SafeString:
    """A link to the history of a vehicle's mileage."""
    return format_html('<a href="{}">{}</a>', reverse("admin:vehicles_vehicle_mileage", args=[vehicle.pk]), text)
