"""The violations that an address names: those that somebody has marked in the list, or the one of a page."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest

from integrity.models import Violation

AT_ONCE = 200
"""How many one click repairs or accepts: a page holds them all, for a person to read."""


def numbers(request: HttpRequest) -> list[int]:
    """The numbers in the address, no more of them than AT_ONCE."""
    return [int(text) for text in request.GET.getlist("violation") if text.isdecimal()][:AT_ONCE]


def violations(request: HttpRequest) -> QuerySet[Violation]:
    """Those of them that are there, the oldest first."""
    return Violation.objects.filter(pk__in=numbers(request)).order_by("pk")
