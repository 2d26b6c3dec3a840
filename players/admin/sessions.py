"""Rides that are going on: to be read, and to be closed when a bike has fallen silent."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from config.administration.base import ReadOnly
from players.admin.base import distance
from players.models import OpenSession
from players.sessions import close_sessions


@admin.register(OpenSession)
class SessionAdmin(ReadOnly):
    """Closing saves what is in flight; the same bike opens a new session with its next report."""

    list_display = ["player", "device", "started_at", "last_activity", "ridden", "in_flight"]
    fields = ["player", "device", "started_at", "last_activity", "ridden", "in_flight"]
    list_select_related = ["player", "device"]
    search_fields = ["player__name", "player__id_tag", "device__name"]
    ordering = ["-last_activity", "-pk"]
    actions = ["close"]

    @admin.display(description="ridden", ordering="distance_km")
    def ridden(self, session: OpenSession) -> SafeString:
        return distance(session.distance_km)

    @admin.display(description="in flight")
    def in_flight(self, session: OpenSession) -> SafeString:
        return distance(session.distance_km - session.flushed_km)

    def has_close_permission(self, request: HttpRequest) -> bool:
        """Whoever may change sessions may close them; nobody may do anything else to them."""
        return request.user.has_perm("players.change_opensession")

    @admin.action(description="Close: save what is in flight", permissions=["close"])
    def close(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        closed = close_sessions(list(queryset.values_list("player_id", flat=True)))
        sessions = "1 session is" if closed.sessions == 1 else f"{closed.sessions} sessions are"
        messages.success(request, f"{sessions} closed; {closed.km:,f} km went into history.")
