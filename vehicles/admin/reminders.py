"""Service reminders: what is due, and that it has been done."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from config.administration.base import Page
from vehicles.models import ServiceReminder
from vehicles.reminders import complete, status


@admin.register(ServiceReminder)
class ServiceReminderAdmin(Page):
    """Mails are sent by `send_service_reminders`."""

    list_display = ["title", "vehicle", "state", "due_miles", "due_on", "email", "told", "done_at"]
    list_filter = [("done_at", admin.EmptyFieldListFilter)]
    list_select_related = ["vehicle"]
    search_fields = ["title", "vehicle__name", "vehicle__vin"]
    autocomplete_fields = ["vehicle"]
    readonly_fields = ["told", "told_at", "done_at"]
    actions = ["mark_as_done"]

    @admin.display(description="state")
    def state(self, reminder: ServiceReminder) -> str:
        return "done" if reminder.done_at else status(reminder, timezone.localdate()).state.value

    @admin.action(description="Mark selected reminders as done", permissions=["change"])
    def mark_as_done(self, request: HttpRequest, queryset: "QuerySet[ServiceReminder]") -> None:
        """They are no longer due."""
        for reminder in queryset.filter(done_at=None):
            complete(reminder.pk)
