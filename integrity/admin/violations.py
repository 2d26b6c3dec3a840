"""Violations: what is wrong with a row, what would put it right, and exceptions that somebody answers for."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from integrity.admin.accepting import accept_view, revoke_view
from integrity.admin.base import Page, badge, rule_link, run_link, when
from integrity.admin.choosing import choose_view
from integrity.admin.chosen import AT_ONCE
from integrity.admin.filters import ByApp, ByRule
from integrity.admin.offers import offers_for, statement_for
from integrity.models import Violation
from integrity.permissions import may
from integrity.registry import registry
from integrity.rules.base import Rule
from integrity.shown import counted, show


class Standing(admin.SimpleListFilter):
    """What is open is what there is to do; the others are chosen."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("accepted", "accepted"), ("resolved", "resolved"), ("all", "all")]

    def choices(self, changelist: Any) -> Any:
        chosen = self.value() or Violation.Status.OPEN
        for word, query in (("open", None), ("accepted", "accepted"), ("resolved", "resolved"), ("all", "all")):
            string = changelist.get_query_string({self.parameter_name: query} if query else {}, [self.parameter_name])
            yield {"selected": chosen == word, "query_string": string, "display": word}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value() or Violation.Status.OPEN
        return queryset if chosen == "all" else queryset.filter(status=chosen)


@admin.register(Violation)
class ViolationAdmin(Page):
    """Violations as they are stored; a page asks the database what could be done."""

    list_display = ("where", "rule_told", "actual_told", "expected_told", "status_told", "first_seen", "last_seen")
    list_filter = (Standing, ByApp, ByRule, "database")
    search_fields = ("rule", "key", "accepted_by", "accepted_because")
    search_help_text = "A rule, a key, or who accepted it and why."
    ordering = ("-pk",)
    actions = ("accept_selected", "revoke_selected", "repair_selected")

    def has_accept_permission(self, request: HttpRequest) -> bool:
        """Asked by Django for the actions."""
        return may(request.user, "accept")

    def has_repair_permission(self, request: HttpRequest) -> bool:
        """The same for those that repair."""
        return may(request.user, "repair")

    # Columns

    @admin.display(description="where", ordering="key")
    def where(self, one: Violation) -> str:
        return show(one.key)

    @admin.display(description="rule", ordering="rule")
    def rule_told(self, one: Violation) -> SafeString:
        return rule_link(one.rule)

    @admin.display(description="is")
    def actual_told(self, one: Violation) -> str | None:
        return show(one.actual) if one.actual else None

    @admin.display(description="should be")
    def expected_told(self, one: Violation) -> str | None:
        return show(one.expected) if one.expected else None

    @admin.display(description="status", ordering="status")
    def status_told(self, one: Violation) -> SafeString:
        return badge(one.status)

    # Actions

    @admin.action(description="Accept the selected violations", permissions=["accept"])
    def accept_selected(self, request: HttpRequest, queryset: QuerySet[Violation]) -> HttpResponse | None:
        return self._ask_for(request, queryset, "accept")

    @admin.action(description="Revoke the acceptance of the selected violations", permissions=["accept"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Violation]) -> HttpResponse | None:
        return self._ask_for(request, queryset, "revoke")

    @admin.action(description="Repair the selected violations", permissions=["repair"])
    def repair_selected(self, request: HttpRequest, queryset: QuerySet[Violation]) -> HttpResponse | None:
        return self._ask_for(request, queryset.filter(status=Violation.Status.OPEN), "repair")

    def _ask_for(self, request: HttpRequest, queryset: QuerySet[Violation], verb: str) -> HttpResponse | None:
        chosen = list(queryset.values_list("pk", flat=True)[: AT_ONCE + 1])
        if len(chosen) > AT_ONCE:
            self.message_user(request, f"Choose at most {counted(AT_ONCE, 'violation')} at once.", messages.ERROR)
            return None
        query = "&".join(f"violation={pk}" for pk in chosen)
        return HttpResponseRedirect(reverse(f"admin:{self.page_name(verb)}") + f"?{query}")

    # Pages

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        ours = [
            path("accept/", wrap(lambda request: accept_view(self, request)), name=self.page_name("accept")),
            path("revoke/", wrap(lambda request: revoke_view(self, request)), name=self.page_name("revoke")),
            path("repair/", wrap(lambda request: choose_view(self, request)), name=self.page_name("repair")),
        ]
        return [*ours, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What is wrong, why, since when, by which statement, and what could be done."""
        one: Violation = self.seen(request, object_id)
        rule = {known.label: known for known in registry}.get(one.rule)
        is_open = one.status == Violation.Status.OPEN
        return self.page(
            request,
            "violation.html",
            title=f"{one.rule} at {show(one.key)}",
            original=one,
            one=one,
            rule=rule,
            where=show(one.key),
            status=badge(one.status),
            times=[("first seen", when(one.first_seen)), ("last seen", when(one.last_seen))]
            + ([("resolved", when(one.resolved_at))] if one.resolved_at else []),
            run=run_link(one.run_id),
            until=when(one.accepted_until),
            row_url=self._row_url(request, rule, one) if rule else "",
            offers=offers_for(rule, one) if rule and is_open else [],
            sql=statement_for(rule, one) if rule else "",
        )

    def _row_url(self, request: HttpRequest, rule: Rule, one: Violation) -> str:
        """Where the administration has the row itself, for those who may see it; empty where it does not."""
        page = self.admin_site._registry.get(rule.model)
        if page is None or [key.name for key in rule.key_fields] != [rule.model._meta.pk.name]:
            return ""
        row = rule.model._base_manager.filter(pk=one.key[rule.model._meta.pk.name]).first()
        if row is None or not page.has_view_or_change_permission(request, row):
            return ""
        return reverse(f"admin:{rule.model._meta.app_label}_{rule.model._meta.model_name}_change", args=[row.pk])
