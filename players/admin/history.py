"""History, to be read: a row that is added, changed or removed by hand would break the master that it explains.

What is wrong in it is repaired from the player's page, where the rows are suspected, tried, journaled and undoable.
"""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from config.administration.base import ReadOnly
from players.admin.base import distance
from players.models import HourlyMetric


class Since(admin.SimpleListFilter):
    """The newest hours: by an index, where a calendar of all years would read the whole table."""

    title = "ridden"
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "In the last day"), ("7", "In the last 7 days"), ("31", "In the last 31 days")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[HourlyMetric]") -> "QuerySet[HourlyMetric]":
        if self.value() not in ("1", "7", "31"):
            return queryset
        return queryset.filter(hour__gte=timezone.now() - timedelta(days=int(self.value() or 0)))


@admin.register(HourlyMetric)
class HistoryAdmin(ReadOnly):
    """Newest written first, which is almost by hour."""

    list_display = ["full_hour", "player", "device", "distance", "group_at_time", "origin"]
    list_display_links = ["full_hour"]
    list_filter = [Since, "is_adjustment"]
    list_select_related = ["player", "device", "group_at_time"]
    fields = ["player", "device", "hour", "distance", "group_at_time", "is_adjustment"]
    search_fields = ["player__name", "player__id_tag", "device__name"]
    search_help_text = "A player's name or tag, or a device"
    ordering = ["-id"]

    @admin.display(description="hour", ordering="hour")
    def full_hour(self, row: HourlyMetric) -> SafeString:
        return format_html('<span class="nowrap">{}</span>', date_format(localtime(row.hour), "DATETIME_FORMAT"))

    @admin.display(description="origin", ordering="is_adjustment")
    def origin(self, row: HourlyMetric) -> str:
        return "adjustment" if row.is_adjustment else "ride"

    @admin.display(description="distance", ordering="distance_km")
    def distance(self, row: HourlyMetric) -> SafeString:
        return distance(row.distance_km)
