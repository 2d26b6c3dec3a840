"""Rows that point at a team by its number: which lead nowhere, and what can be done about it."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from teams.models import Team

REPAIRS = {
    "relink": "Point it at the team that the evidence leads to; where it does not lead to exactly one, leave it.",
    "nullify": "Forget the number: it belongs to no team then.",
    "quarantine": "Move it out of the table, whole, until somebody restores it.",
    "keep_one": "Keep the first entry of the same time and place, and remove the others.",
}
"""What is said of each repair to whoever chooses."""


def team_shown(row: Any, field: str = "team", text: str = "") -> SafeString:
    """The team in a list, or that its number leads nowhere. Teams must be prefetched."""
    number = getattr(row, f"{field}_id")
    if number is None:
        return format_html("{}", text or "-")
    try:
        return format_html("{}", getattr(row, field) or gone(number))
    except ObjectDoesNotExist:
        return gone(number)


def gone(number: int) -> SafeString:
    """That a number leads nowhere."""
    return format_html('<span class="verdict bad">{} is gone</span>', number)


class Gone(admin.SimpleListFilter):
    """Rows of which a team is gone, of which it is there, and of which none is known."""

    title = "team"
    parameter_name = "team-is"
    fields: tuple[str, ...] = ("team",)

    @classmethod
    def of(cls, *fields: str) -> "type[Gone]":
        """The filter for these references."""
        return type("Gone", (cls,), {"fields": fields})

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("gone", "Gone"), ("there", "There"), ("none", "None")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        none = Q(*((f"{field}__isnull", True) for field in self.fields), _connector=Q.OR)
        lost = Q(pk__in=[])
        for field in self.fields:
            there = Team.objects.filter(pk=OuterRef(f"{field}_id"))
            lost |= Q(~Exists(there), **{f"{field}__isnull": False})
        match self.value():
            case "gone":
                return queryset.filter(lost)
            case "there":
                return queryset.exclude(none).filter(~lost)
            case "none":
                return queryset.filter(none)
        return queryset
