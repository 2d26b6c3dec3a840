"""What members wrote: polls, messages, practice times."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from config.administration.base import TabularInline
from config.administration.repairs import Repairable
from teams.admin.pointing import REPAIRS, Gone, team_shown
from teams.models import CaptainMessage, Poll, PollChoice, PracticeTime


class Written(Repairable):
    """A row that points at one team."""

    strategies = REPAIRS
    readonly_fields = ["verdict"]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        # Not joined: a join would leave out the rows whose team is gone.
        queryset: QuerySet[Any] = super().get_queryset(request)
        return queryset.prefetch_related("team")

    @admin.display(description="team", ordering="team_id")
    def of_team(self, row: Any) -> SafeString:
        return team_shown(row)


class Choices(TabularInline):
    """What can be answered, and how often it was."""

    model = PollChoice
    fields = ["position", "text", "votes"]
    readonly_fields = ["votes"]
    ordering = ["position", "pk"]
    extra = 0

    def get_queryset(self, request: HttpRequest) -> "QuerySet[PollChoice]":
        queryset: QuerySet[PollChoice] = super().get_queryset(request)
        return queryset.annotate(number_of_votes=Count("responses"))

    @admin.display(description="votes")
    def votes(self, choice: Any) -> int:
        return int(getattr(choice, "number_of_votes", 0))


@admin.register(Poll)
class PollAdmin(Written):
    """Questions to teams."""

    rules = ["teams.poll_has_its_team"]
    list_display = ["question", "of_team", "created_by", "created_at", "closed_at"]
    list_filter = [Gone]
    list_select_related = ["created_by"]
    search_fields = ["question", "created_by__username"]
    autocomplete_fields = ["team", "created_by"]
    fields = ["question", "team", "created_by", "closed_at", "verdict"]
    ordering = ["-created_at", "-pk"]
    inlines = [Choices]


@admin.register(CaptainMessage)
class CaptainMessageAdmin(Written):
    """What captains told their teams."""

    rules = ["teams.message_has_its_team"]
    list_display = ["__str__", "of_team", "captain", "created_at"]
    list_filter = [Gone]
    list_select_related = ["captain"]
    search_fields = ["message", "captain__username"]
    autocomplete_fields = ["team", "captain"]
    fields = ["team", "captain", "message", "verdict"]
    ordering = ["-created_at", "-pk"]


@admin.register(PracticeTime)
class PracticeTimeAdmin(Written):
    """The week of each team."""

    rules = ["teams.practice_time_is_one", "teams.practice_time_has_its_team"]
    list_display = ["__str__", "end_time", "of_team", "location", "created_at"]
    list_filter = ["day_of_week", Gone]
    search_fields = ["location"]
    autocomplete_fields = ["team", "league"]
    fields = ["team", "league", "day_of_week", "start_time", "end_time", "location", "verdict"]
    # By the primary key: no other order of millions of rows is for nothing.
    ordering = ["-pk"]
