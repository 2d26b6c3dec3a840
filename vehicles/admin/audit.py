"""The audit, to be read: overrides, changes of the mileage, corrections of readings."""

from django.contrib import admin

from config.administration.base import ReadOnly
from vehicles.models import MileageChange, MileageOverride, ReadingCorrection


@admin.register(MileageOverride)
class MileageOverrideAdmin(ReadOnly):
    """Who said what, when and why."""

    list_display = ["at", "vehicle", "previous", "mileage", "reason", "author"]
    list_select_related = ["vehicle"]
    search_fields = ["vehicle__name", "vehicle__vin", "author"]


@admin.register(MileageChange)
class MileageChangeAdmin(ReadOnly):
    """Every mileage that a vehicle has had."""

    list_display = ["at", "vehicle", "old", "new", "source", "event_id", "who", "via"]
    list_filter = ["source"]
    list_select_related = ["vehicle"]
    search_fields = ["vehicle__name", "vehicle__vin", "who"]
    # An event that has been deleted for good has no page and no name any more.
    fields = ["vehicle", "old", "new", "source", "event_id", "at", "who", "via"]
    readonly_fields = ["event_id"]


@admin.register(ReadingCorrection)
class ReadingCorrectionAdmin(ReadOnly):
    """Readings that were changed after their entry."""

    list_display = ["at", "vehicle", "event_id", "old", "new", "reason", "who", "via"]
    list_select_related = ["vehicle"]
    search_fields = ["vehicle__name", "vehicle__vin", "who"]
    fields = ["vehicle", "event_id", "old", "new", "reason", "at", "who", "via"]
    readonly_fields = ["event_id"]
