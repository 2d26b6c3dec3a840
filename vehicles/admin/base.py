"""The one place that knows which admin is in use, and what all pages of ours share."""

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from vehicles.models import Vehicle

# Fields that a form declares itself are not dressed by the theme.
if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    from django.contrib.admin.widgets import (
        AdminIntegerFieldWidget,
        AdminRadioSelect,
        AdminSplitDateTime,
        AdminTextareaWidget,
        AdminTextInputWidget,
    )
elif apps.is_installed("unfold"):
    from unfold.admin import ModelAdmin
    from unfold.widgets import UnfoldAdminIntegerFieldWidget as AdminIntegerFieldWidget
    from unfold.widgets import UnfoldAdminRadioSelectWidget as AdminRadioSelect
    from unfold.widgets import UnfoldAdminSplitDateTimeWidget as AdminSplitDateTime
    from unfold.widgets import UnfoldAdminTextareaWidget as AdminTextareaWidget
    from unfold.widgets import UnfoldAdminTextInputWidget as AdminTextInputWidget
else:
    from django.contrib.admin.widgets import (
        AdminIntegerFieldWidget,
        AdminRadioSelect,
        AdminSplitDateTime,
        AdminTextareaWidget,
        AdminTextInputWidget,
    )

    ModelAdmin = admin.ModelAdmin


__all__ = [
    "AdminIntegerFieldWidget",
    "AdminRadioSelect",
    "AdminSplitDateTime",
    "AdminTextInputWidget",
    "AdminTextareaWidget",
    "Kept",
    "Page",
    "ReadOnly",
    "history_link",
    "miles",
]


class Page(ModelAdmin):
    """What every page of ours shares."""

    list_per_page = 50
    show_full_result_count = False


class Kept(Page):
    """Rows that are never deleted here."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnly(Kept):
    """Rows that the database writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def miles(value: int | None) -> str:
    """Miles in a column of figures."""
    return "-" if value is None else f"{value:,}"


def history_link(vehicle: Vehicle, text: str) -> SafeString:
    """A link to the history of a vehicle's mileage."""
    return format_html('<a href="{}">{}</a>', reverse("admin:vehicles_vehicle_mileage", args=[vehicle.pk]), text)
