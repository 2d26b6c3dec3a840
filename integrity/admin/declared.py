"""The declared rules with how they stand, a page for each, and the overview of them all."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from integrity.admin.analyzing import analyze_view
from integrity.admin.base import Page, badge, rule_link, when
from integrity.admin.controlling import resume_automatic_view
from integrity.admin.dashboard import dashboard_context
from integrity.admin.enforcing import can_be_enforced, can_be_removed, enforce_view
from integrity.admin.offers import described, statement_for
from integrity.admin.repairing import repair_view, rule_or_404
from integrity.enforcement.base import Found
from integrity.enforcement.states import found as enforcement_found
from integrity.enforcement.states import tracking
from integrity.exceptions import EngineError, sentence
from integrity.models import DeclaredRule, Result, Sweep, Violation
from integrity.overview import Standing, standings
from integrity.overview.charts import of_points, spark
from integrity.overview.standing import BROKEN, HOLDS, NOT_CHECKED
from integrity.permissions import may
from integrity.registry import registry
from integrity.rules.base import SEVERITIES, Rule
from integrity.schedules.readiness import readiness
from integrity.schedules.schedule import schedule_of, sweep_of
from integrity.shown import lasting, show
from integrity.trend import outlook

LOOKS, VIOLATIONS, RESULTS = 60, 10, 8
"""So many looks are drawn, so many violations and results listed, on the page of a rule."""
STATES = (BROKEN, NOT_CHECKED, HOLDS)


@admin.register(DeclaredRule)
class DeclaredRuleAdmin(Page):
    """Rules come from the code; what is known of them comes from the records."""

    search_fields = ()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request.user, "read")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "read")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        ours = [
            path("health/", wrap(self.health_view), name=self.page_name("health")),
            path("analyze/", wrap(lambda request: analyze_view(self, request)), name=self.page_name("analyze")),
            path("<str:label>/repair/<str:strategy>/", wrap(self.repair_view), name=self.page_name("repair")),
            path("<str:label>/enforce/", wrap(self.enforce_view), name=self.page_name("enforce")),
            path("<str:label>/remove/", wrap(self.remove_view), name=self.page_name("remove")),
            path(
                "<str:label>/resume/",
                wrap(lambda request, label: resume_automatic_view(self, request, label)),
                name=self.page_name("resume"),
            ),
        ]
        return [*ours, *super().get_urls()]

    def repair_view(self, request: HttpRequest, label: str, strategy: str) -> HttpResponse:
        """Try a repair, then carry it out."""
        return repair_view(self, request, label, strategy)

    def enforce_view(self, request: HttpRequest, label: str) -> HttpResponse:
        """Let the database keep a rule true."""
        return enforce_view(self, request, label, remove=False)

    def remove_view(self, request: HttpRequest, label: str) -> HttpResponse:
        """Take away what keeps it true."""
        return enforce_view(self, request, label, remove=True)

    def health_view(self, request: HttpRequest) -> HttpResponse:
        """The overview, where the first page of the administration is not ours."""
        self._require_reader(request)
        return self.page(request, "health.html", title="Data health", **dashboard_context(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """All rules, those first that are broken."""
        self._require_reader(request)
        asked = {name: request.GET.get(name, "").strip() for name in ("q", "app", "status", "severity", "kind")}
        found = sorted(
            (one for one in standings(registry) if _is_asked_for(one, asked)),
            key=lambda one: (STATES.index(one.status), SEVERITIES.index(one.rule.severity)),
        )
        rules = list(registry)
        choices = {
            "app": list(dict.fromkeys(rule.app for rule in rules)),
            "status": list(STATES),
            "severity": list(SEVERITIES),
            "kind": sorted({rule.kind for rule in rules}),
        }
        return self.page(
            request,
            "rules.html",
            title="Rules",
            lines=[_line(one) for one in found],
            count=len(rules),
            asked=asked,
            choices=[(name, words, asked[name]) for name, words in choices.items()],
            is_narrowed=any(asked.values()),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """All there is to say about one rule."""
        self._require_reader(request)
        rule = rule_or_404(object_id)
        (standing,) = standings([rule], points=LOOKS)
        enforced, tracked = _database_says(rule)
        stored = Violation.objects.filter(rule=rule.label, status=Violation.Status.OPEN).order_by("pk")
        results = Result.objects.filter(rule=rule.label).select_related("run").order_by("-pk")
        return self.page(
            request,
            "rule.html",
            title=rule.label,
            rule=rule,
            model=rule.model._meta.label,
            line=_line(standing),
            standing=standing,
            chart=of_points(standing.points) if any(standing.trend) else None,
            offers=[described(rule, name) for name in rule.repairs],
            violations=[
                (one, show(one.key), show(one.actual or {}), show(one.expected or {})) for one in stored[:VIOLATIONS]
            ],
            results=[
                (
                    one,
                    badge(one.status),
                    when(one.run.finished_at or one.run.started_at),
                    one.seconds and lasting(one.seconds),
                )
                for one in results[:RESULTS]
            ],
            enforced=enforced,
            enforced_badge=badge(enforced.state) if enforced and enforced.state else "",
            can_be_enforced=can_be_enforced(enforced),
            can_be_removed=can_be_removed(enforced),
            tracked=tracked,
            sweep=Sweep.objects.filter(rule=rule.label).first() if rule.tracked else None,
            schedule=schedule_of(rule),
            sweep_schedule=sweep_of(rule),
            automatic=readiness(rule) if rule.automatic else None,
            forecast=outlook(rule, standing.points),
            sql=statement_for(rule),
        )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A rule is no row: what was done about it are its results."""
        return self.change_view(request, object_id)

    def _require_reader(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _is_asked_for(one: Standing, asked: dict[str, str]) -> bool:
    rule = one.rule
    told = {"app": rule.app, "status": one.status, "severity": rule.severity, "kind": rule.kind}
    words = f"{rule.label} {rule.because} {' '.join(rule.tags)} {rule.owner} {rule.model._meta.label}".lower()
    return asked["q"].lower() in words and all(not asked[name] or asked[name] == held for name, held in told.items())


def _line(one: Standing) -> dict[str, Any]:
    """How a rule stands, for a table."""
    return {
        "rule": one.rule,
        "link": rule_link(one.rule.label),
        "status": badge(one.status),
        "is_broken": one.status == BROKEN,
        "violations": one.violations if one.look else None,
        "checked": one.look.checked if one.look else None,
        "accepted": one.accepted,
        "open": one.open,
        "since": when(one.since) if one.status == BROKEN else None,
        "looked": when(one.look.at) if one.look else None,
        "why": one.why if one.status == NOT_CHECKED else "",
        "spark": spark(one.trend),
    }


def _database_says(rule: Rule) -> tuple[Found | None, str]:
    """What keeps the rule true now and whether its changes are noted; why that is not known, in place of either."""
    try:
        return enforcement_found(rule) if rule.enforce else None, tracking(rule)
    except (DatabaseError, EngineError) as error:
        return Found("unknown", sentence(error)), "unknown" if rule.tracked else ""
