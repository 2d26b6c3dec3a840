"""Alerts in the administration: what was told, how each delivery fared, and sending again what did not arrive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from integrity.admin.base import Page, badge, run_link, when
from integrity.alerts.messages import details, headline
from integrity.alerts.models import Alert, AlertDelivery
from integrity.alerts.sending import send_again
from integrity.exceptions import UsageError
from integrity.permissions import may

SHOWN = 3
"""Events of a message in the list; its page has all of them."""


@admin.register(Alert)
class AlertAdmin(Page):
    """Shows alerts; nothing of them can be edited."""

    list_display = ("number", "found", "told", "fates")
    list_display_links = ("number",)
    list_filter = ("deliveries__status", "deliveries__channel")
    search_fields = ("events",)
    ordering = ("-pk",)
    fields = ("found", "run_told", "told_at_length", "deliveries_told")
    readonly_fields = fields
    actions = ("send_selected_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        return super().get_queryset(request).select_related("run").prefetch_related("deliveries")

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may send again; asked by Django for the action."""
        return may(request.user, "control")

    # What is shown

    @admin.display(description="alert", ordering="pk")
    def number(self, alert: Alert) -> int:
        return alert.pk

    @admin.display(description="found", ordering="at")
    def found(self, alert: Alert) -> str | None:
        return when(alert.at)

    @admin.display(description="what")
    def told(self, alert: Alert) -> SafeString:
        more = len(alert.events) - SHOWN
        lines = [headline(event) for event in alert.events[:SHOWN]] + ([f"and {more} more"] if more > 0 else [])
        return _lines([line] for line in lines)

    @admin.display(description="deliveries")
    def fates(self, alert: Alert) -> SafeString | str:
        found = [(delivery.channel, badge(delivery.status)) for delivery in alert.deliveries.all()]
        return _lines(found) if found else "to nobody"

    @admin.display(description="found by")
    def run_told(self, alert: Alert) -> SafeString | str:
        run = alert.run
        told = f"run {run.pk}: {run.verb} by {run.actor} on {run.host}" if run else ""
        return run_link(alert.run_id, told) or "a look at the clock"

    @admin.display(description="what")
    def told_at_length(self, alert: Alert) -> SafeString:
        told = [[format_html("<b>{}</b>", headline(event)), *details(event)] for event in alert.events]
        return _stack(_lines([line] for line in lines) for lines in told)

    @admin.display(description="deliveries")
    def deliveries_told(self, alert: Alert) -> SafeString | str:
        found = [_fate(delivery) for delivery in alert.deliveries.all()]
        return _stack(_lines([line] for line in lines) for lines in found) if found else "to nobody"

    # Sending again

    @admin.action(description="Send again what did not arrive", permissions=["control"])
    def send_selected_again(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        """Make it due; a page does not wait for the network."""
        made = 0
        for number in queryset.values_list("pk", flat=True):
            try:
                made += send_again(number)
            except UsageError as error:
                self.message_user(request, str(error), messages.WARNING)
        if made:
            told = f"{made} {'delivery is' if made == 1 else 'deliveries are'} due now, for whoever sends next."
            self.message_user(request, told, messages.SUCCESS)


def _fate(delivery: AlertDelivery) -> list[SafeString | str]:
    told = f"{delivery.attempts} attempt{'' if delivery.attempts == 1 else 's'}"
    if delivery.sent_at:
        told += f", arrived {when(delivery.sent_at)}"
    elif delivery.status == AlertDelivery.Status.WAITING:
        told += f", due {when(delivery.next_attempt_at)}"
    head = format_html("<b>{}</b> {} {}", delivery.channel, badge(delivery.status), told)
    return [head, delivery.last_error] if delivery.last_error else [head]


def _lines(lines: Iterable[Sequence[SafeString | str]]) -> SafeString:
    """A line each, its parts beside each other."""
    parts = (format_html_join(" ", "{}", ([part] for part in line)) for line in lines)
    return format_html('<div class="i-lines">{}</div>', format_html_join("", "<div>{}</div>", ([p] for p in parts)))


def _stack(blocks: Iterable[SafeString]) -> SafeString:
    return format_html('<div class="i-stack">{}</div>', format_html_join("", "{}", ([block] for block in blocks)))
