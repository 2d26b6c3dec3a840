"""What the provider brings. A team is deactivated and never deleted: what members wrote points at its number."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.administration.base import Kept, ReadOnly, TabularInline
from config.administration.repairs import Repairable
from teams.admin.pointing import REPAIRS, Gone, team_shown
from teams.models import Club, League, Match, Series, Team, TeamKey, TeamMembership


class Named(Kept):
    """A name, and how many teams have it."""

    search_fields = ["name"]
    list_display = ["name", "teams"]
    ordering = ["name"]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        queryset: QuerySet[Any] = super().get_queryset(request).annotate(number_of_teams=Count("teams"))
        return queryset

    @admin.display(description="teams", ordering="number_of_teams")
    def teams(self, row: Any) -> SafeString:
        link = f"{reverse('admin:teams_team_changelist')}?{self.opts.model_name}__id__exact={row.pk}"
        return format_html('<a href="{}">{}</a>', link, row.number_of_teams)


@admin.register(League)
class LeagueAdmin(Named):
    """With the provider's own name."""

    list_display = ["name", "league_id", "teams"]
    search_fields = ["name", "league_id"]


@admin.register(Club)
class ClubAdmin(Named):
    """By name."""


@admin.register(Series)
class SeriesAdmin(Named):
    """By name."""


class Members(TabularInline):
    """Who plays for a team."""

    model = TeamMembership
    autocomplete_fields = ["user"]
    extra = 0


@admin.register(Team)
class TeamAdmin(Kept):
    """A club's team of a series in a league."""

    list_display = ["name", "alias", "club", "series", "league", "external_id", "members_count", "is_active"]
    list_filter = ["is_active", "league"]
    list_select_related = ["club", "series", "league"]
    search_fields = ["name", "alias", "club__name", "series__name", "=external_id"]
    autocomplete_fields = ["club", "series", "league"]
    ordering = ["name", "pk"]
    inlines = [Members]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Team]":
        queryset: QuerySet[Team] = super().get_queryset(request)
        return queryset.annotate(number_of_members=Count("memberships"))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """The lists of clubs and series lead here."""
        return lookup in ("club__id__exact", "series__id__exact") or super().lookup_allowed(lookup, value, request)

    @admin.display(description="members", ordering="number_of_members")
    def members_count(self, team: Any) -> int:
        return int(team.number_of_members)


@admin.register(TeamKey)
class TeamKeyAdmin(ReadOnly):
    """Which team a number stood for; it tells what a number meant that leads nowhere."""

    list_display = ["team_id", "club", "series", "league", "since"]
    search_fields = ["=team_id", "club", "series", "league"]
    ordering = ["-since", "-pk"]


@admin.register(Match)
class MatchAdmin(Repairable):
    """The schedule; a team is known by its text until the text leads to one."""

    rules = ["teams.home_team_is_there", "teams.away_team_is_there"]
    strategies = REPAIRS
    list_display = ["date", "time", "league", "home", "away", "location", "is_scheduled"]
    list_filter = ["league", "is_scheduled", Gone.of("home_team", "away_team")]
    list_select_related = ["league"]
    search_fields = ["home_text", "away_text", "location"]
    autocomplete_fields = ["league", "home_team", "away_team"]
    date_hierarchy = "date"
    ordering = ["-date", "-pk"]
    fields = [
        "league",
        "date",
        "time",
        "home_team",
        "home_text",
        "away_team",
        "away_text",
        "location",
        "is_scheduled",
        "verdict",
    ]
    readonly_fields = ["verdict"]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Match]":
        queryset: QuerySet[Match] = super().get_queryset(request)
        return queryset.prefetch_related("home_team", "away_team")

    @admin.display(description="home", ordering="home_text")
    def home(self, match: Match) -> SafeString:
        return team_shown(match, "home_team", match.home_text)

    @admin.display(description="away", ordering="away_text")
    def away(self, match: Match) -> SafeString:
        return team_shown(match, "away_team", match.away_text)
