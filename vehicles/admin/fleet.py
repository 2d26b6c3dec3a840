"""Vehicles: what they are by hand, their mileage by the log or by an override with a reason."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from config.administration.base import AdminIntegerFieldWidget, AdminTextareaWidget, Kept
from vehicles.admin.base import history_link, miles
from vehicles.anomalies import suspects
from vehicles.chart import bars, line
from vehicles.exceptions import Unknown
from vehicles.history import history
from vehicles.mileage import DESCRIPTIONS
from vehicles.models import Vehicle
from vehicles.overrides import clear_override, set_override
from vehicles.readings import MAX_MILES
from vehicles.reminders import statuses, told_in_words


class VehicleForm(forms.ModelForm):  # type: ignore[type-arg]
    """With the reason that an override needs."""

    current_mileage_override = forms.IntegerField(
        label="Override",
        required=False,
        min_value=0,
        max_value=MAX_MILES,
        widget=AdminIntegerFieldWidget,
        help_text="Empty: the log counts.",
    )
    override_reason = forms.CharField(
        required=False,
        max_length=500,
        widget=AdminTextareaWidget({"rows": 2}),
        help_text="Needed where the override changes; it is kept with your name.",
    )

    class Meta:
        model = Vehicle
        fields = ["name", "make", "model", "year", "vin", "initial_mileage", "current_mileage_override"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if "current_mileage_override" in self.changed_data and not (cleaned.get("override_reason") or "").strip():
            self.add_error("override_reason", "Say why: the override is kept with its reason.")
        return cleaned


@admin.register(Vehicle)
class VehicleAdmin(Kept):
    """The mileage is derived: it is overridden with a reason, or follows the log."""

    form = VehicleForm
    fieldsets = [
        (None, {"fields": ["name", "make", "model", "year", "vin", "initial_mileage"]}),
        ("Mileage", {"fields": ["mileage", "mileage_last_updated_at", "story"]}),
        ("Override", {"fields": ["current_mileage_override", "override_reason"]}),
    ]
    readonly_fields = ["mileage", "mileage_last_updated_at", "story"]
    list_display = ["name", "make", "model", "year", "vin", "mileage", "mileage_computed_from", "story"]
    list_filter = ["mileage_computed_from", "make"]
    search_fields = ["name", "vin", "make", "model"]
    ordering = ["name", "pk"]

    @admin.display(description="mileage", ordering="current_mileage")
    def mileage(self, vehicle: Vehicle) -> str:
        return miles(vehicle.current_mileage)

    @admin.display(description="history")
    def story(self, vehicle: Vehicle) -> SafeString | str:
        return history_link(vehicle, "History and chart") if vehicle.pk else "-"

    def save_model(self, request: HttpRequest, obj: Vehicle, form: Any, change: bool) -> None:
        """The row by the form, the override by its verb, which signs it."""
        wanted = obj.current_mileage_override
        if change:
            obj.save(update_fields=[name for name in form.changed_data if name in OWN])
        else:
            obj.current_mileage_override = None
            obj.save()
        if "current_mileage_override" not in form.changed_data:
            return
        by, reason = request.user.get_username(), form.cleaned_data["override_reason"]
        if wanted is None:
            clear_override(obj.pk, by=by, reason=reason)
        else:
            set_override(obj.pk, wanted, by=by, reason=reason)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.show_history)
        return [path("<int:vehicle>/mileage/", page, name="vehicles_vehicle_mileage"), *super().get_urls()]

    def show_history(self, request: HttpRequest, vehicle: int) -> HttpResponse:
        """The chart, what looks wrong, what is due, and who changed what."""
        try:
            found = history(vehicle)
        except Unknown as error:
            raise Http404(str(error)) from error
        if not self.has_view_permission(request, found.vehicle):
            raise Http404
        suspected = suspects(vehicle)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Mileage of {found.vehicle}",
            "opts": self.opts,
            "vehicle": found.vehicle,
            "description": DESCRIPTIONS[Vehicle.Source(found.vehicle.mileage_computed_from)],
            "history": found,
            "line": line(found, {s.event for s in suspected if s.suggested is not None}),
            "bars": bars(found.months),
            "suspects": suspected,
            "reminders": [
                (status, told_in_words(status.prediction) if status.prediction else "")
                for status in statuses([vehicle])
            ],
            "latest_changes": found.changes[:-21:-1],
            "latest_overrides": found.overrides[:-21:-1],
            "latest_corrections": found.corrections[:-21:-1],
        }
        return TemplateResponse(request, "admin/vehicles/mileage.html", context)


OWN = ("name", "make", "model", "year", "vin", "initial_mileage")
