"""Filters by the rules and apps that are declared: a list of what is known, instead of a search through the records."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from integrity.registry import registry


class ByApp(admin.SimpleListFilter):
    """Records of the rules of one app."""

    title = "app"
    parameter_name = "app"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        apps = dict.fromkeys(rule.app for rule in registry)
        return [(app, app) for app in apps]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(rule__startswith=f"{self.value()}.") if self.value() else queryset


class ByRule(admin.SimpleListFilter):
    """Records of one rule."""

    title = "rule"
    parameter_name = "rule"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        app = request.GET.get("app")
        found = [rule.label for rule in registry if not app or rule.app == app]
        # One that is declared no more is known by who follows a link to it.
        asked = request.GET.get("rule")
        return [(label, label) for label in ([*found, asked] if asked and asked not in found else found)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(rule=self.value()) if self.value() else queryset


class ByRuleOfRun(ByRule):
    """Runs that worked on one rule."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(results__rule=self.value()) if self.value() else queryset
