"""The log: entries are made, changed, deleted and restored by verbs, which sign them."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from config.administration.base import AdminTextInputWidget, Page
from vehicles.events import create_event, delete_event, edit_event, restore_event
from vehicles.models import VehicleEvent


class Deleted(admin.SimpleListFilter):
    """Entries that count, or deleted ones."""

    title = "deleted"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[VehicleEvent]") -> "QuerySet[VehicleEvent]":
        if self.value() in ("yes", "no"):
            return queryset.filter(deleted_at__isnull=self.value() == "no")
        return queryset


class EventForm(forms.ModelForm):  # type: ignore[type-arg]
    """With a reason for the audit, where an entry is changed."""

    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=AdminTextInputWidget,
        help_text="Why a reading changes, for the audit.",
    )

    class Meta:
        model = VehicleEvent
        fields = ["vehicle", "type", "occurred_at", "miles", "replaced_miles", "cost", "notes", "source"]


@admin.register(VehicleEvent)
class VehicleEventAdmin(Page):
    """Deleting an entry keeps its row; it can be restored."""

    form = EventForm
    list_display = ["occurred_at", "vehicle", "type", "miles", "cost", "source", "deleted_at"]
    list_filter = ["type", Deleted]
    list_select_related = ["vehicle"]
    search_fields = ["vehicle__name", "vehicle__vin", "notes"]
    autocomplete_fields = ["vehicle"]
    ordering = ["-occurred_at", "-pk"]
    actions = ["restore"]

    def save_model(self, request: HttpRequest, obj: VehicleEvent, form: Any, change: bool) -> None:
        by, values = request.user.get_username(), dict(form.cleaned_data)
        reason, vehicle = values.pop("reason"), values.pop("vehicle")
        if change:
            changed = {name: value for name, value in values.items() if name in form.changed_data}
            now_of = VehicleEvent.objects.values_list("vehicle_id", flat=True).get(pk=obj.pk)
            moved = vehicle.pk if "vehicle" in form.changed_data else None
            edit_event(now_of, obj.pk, by=by, reason=reason, to=moved, **changed)
        else:
            obj.pk = create_event(vehicle.pk, by=by, **values).pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: VehicleEvent) -> None:
        delete_event(obj.vehicle_id, obj.pk, by=request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[VehicleEvent]") -> None:
        for event in queryset:
            self.delete_model(request, event)

    @admin.action(description="Restore selected events", permissions=["change"])
    def restore(self, request: HttpRequest, queryset: "QuerySet[VehicleEvent]") -> None:
        """Put deleted entries back into the log."""
        for event in queryset.exclude(deleted_at=None):
            restore_event(event.vehicle_id, event.pk, by=request.user.get_username())
