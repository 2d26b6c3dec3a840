"""What each run found for each rule."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from integrity.admin.base import Page, badge, figure, rule_link, run_link, when
from integrity.admin.filters import ByApp, ByRule
from integrity.models import Result
from integrity.shown import lasting, show


@admin.register(Result)
class ResultAdmin(Page):
    """Results, the latest first."""

    list_display = ("result", "rule_told", "verb", "status_told", "checked_told", "found", "wrote", "lasted", "at")
    list_display_links = ("result",)
    list_filter = (ByApp, ByRule, "status", "run__verb", "database")
    list_select_related = ("run",)
    search_fields = ("rule", "error")
    ordering = ("-pk",)
    fields = (
        *("rule_told", "run_told", "verb", "status_told", "strategy", "checked_told", "found", "truncated", "wrote"),
        *("outcomes_told", "skipped", "changed", "unnoticed", "lasted", "at", "database", "error"),
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("run")

    @admin.display(description="result", ordering="pk")
    def result(self, one: Result) -> str:
        return str(one.pk)

    @admin.display(description="rule", ordering="rule")
    def rule_told(self, one: Result) -> SafeString:
        return rule_link(one.rule)

    @admin.display(description="run")
    def run_told(self, one: Result) -> SafeString | str:
        return run_link(one.run_id) or "-"

    @admin.display(description="verb")
    def verb(self, one: Result) -> str:
        return one.run.verb + (" (dry run)" if one.run.dry_run else "")

    @admin.display(description="status", ordering="status")
    def status_told(self, one: Result) -> SafeString:
        return badge(one.status)

    @admin.display(description="checked", ordering="checked")
    def checked_told(self, one: Result) -> SafeString:
        return figure(one.checked)

    @admin.display(description="violations", ordering="violations")
    def found(self, one: Result) -> SafeString:
        return figure(one.violations)

    @admin.display(description="changes", ordering="changes")
    def wrote(self, one: Result) -> SafeString:
        return figure(one.changes)

    @admin.display(description="outcomes")
    def outcomes_told(self, one: Result) -> str:
        return show(one.outcomes) if one.outcomes else "-"

    @admin.display(description="lasted", ordering="seconds")
    def lasted(self, one: Result) -> str:
        return "-" if one.seconds is None else lasting(one.seconds)

    @admin.display(description="at", ordering="run__started_at")
    def at(self, one: Result) -> str | None:
        return when(one.run.finished_at or one.run.started_at)
