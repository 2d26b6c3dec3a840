"""The administration of what the engine keeps: rows in quarantine, and the way back for them."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from integrity import statuses
from integrity.admin.base import Page, rule_link, run_link
from integrity.admin.consent import ReasonForm, note
from integrity.admin.filters import ByApp, ByRule
from integrity.exceptions import EngineError
from integrity.models import Quarantined, Run
from integrity.quarantine import along, restore
from integrity.registry import registry
from integrity.repairing.owners import key_as_told
from integrity.reports import Report, RuleReport, rows
from integrity.shown import show

AT_ONCE = 200
"""How many rows are put back by one click: a page holds them all, for a person to read."""


@admin.register(Quarantined)
class QuarantineAdmin(Page):
    """Shows rows in quarantine; nothing of them can be edited, and restoring is a verb of the engine."""

    list_display = ("__str__", "rule_told", "key_told", "since", "moved_by", "reason")
    list_filter = (ByApp, ByRule, "table")
    search_fields = ("rule", "table", "run__actor", "run__reason")
    ordering = ("-pk",)
    fields = (
        "rule_told",
        "because",
        "key_told",
        "table",
        "values",
        "went_along",
        "since",
        "moved_by",
        "reason",
        "run_told",
    )
    readonly_fields = fields
    actions = ("restore_selected",)

    def has_restore_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may put rows back; asked by Django for the action."""
        return bool(request.user.has_perm("integrity.restore_quarantined"))

    # What is shown

    @admin.display(description="key", empty_value="-")
    def key_told(self, row: Quarantined) -> str:
        return show(key_as_told(row))

    @admin.display(description="since", ordering="run__started_at")
    def since(self, row: Quarantined) -> str:
        return str(localize(timezone.localtime(row.run.started_at)))

    @admin.display(description="moved by", ordering="run__actor")
    def moved_by(self, row: Quarantined) -> str:
        return row.run.actor

    @admin.display(description="reason", empty_value="-")
    def reason(self, row: Quarantined) -> str | None:
        return row.run.reason or None

    @admin.display(description="run")
    def run_told(self, row: Quarantined) -> SafeString | None:
        return run_link(row.run_id, f"{row.run_id}: {row.run.verb}, {row.run.status}")

    @admin.display(description="rule", ordering="rule")
    def rule_told(self, row: Quarantined) -> SafeString:
        return rule_link(row.rule)

    @admin.display(description="what the rule says")
    def because(self, row: Quarantined) -> str:
        known = {rule.label: rule for rule in registry}
        return known[row.rule].because if row.rule in known else "The rule is not declared any more."

    @admin.display(description="the row")
    def values(self, row: Quarantined) -> SafeString:
        held = ((column, show(value)) for column, value in (row.before or {}).items())
        return format_html("<dl>{}</dl>", format_html_join("", "<dt><b>{}</b></dt><dd>{}</dd>", held))

    @admin.display(description="went along", empty_value="nothing")
    def went_along(self, row: Quarantined) -> str | None:
        if row.rule not in {rule.label for rule in registry}:
            return None
        return ", ".join(f"{rows(number)} of {table}" for table, number in along(row)) or None

    # Restoring

    @admin.action(description="Put back the selected rows", permissions=["restore"])
    def restore_selected(self, request: HttpRequest, queryset: QuerySet[Quarantined]) -> HttpResponse | None:
        """Ask for a reason on a page that lists the rows, then put them back and tell what became of them."""
        chosen = list(queryset[: AT_ONCE + 1])
        if len(chosen) > AT_ONCE:
            whole = f"manage.py integrity undo {chosen[0].run_id}"
            self.message_user(
                request, f"Choose at most {AT_ONCE} rows; a whole run is taken back by {whole}.", messages.ERROR
            )
            return None
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return self._ask(request, chosen, form)
        try:
            reports = restore(chosen, actor=request.user.get_username(), reason=form.cleaned_data["reason"])
        except EngineError as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        for report in reports:
            self._tell(request, report)
            note(
                request,
                Run.objects.get(pk=report.run),
                f"Put back: {rows(report.changes)}. {form.cleaned_data['reason']}",
            )
        return None

    def _ask(self, request: HttpRequest, chosen: Sequence[Quarantined], form: ReasonForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"Put back {rows(len(chosen))}?",
            "opts": self.model._meta,
            "chosen": [(row, show(key_as_told(row)), row.run.reason) for row in chosen],
            "form": form,
            "checkbox": ACTION_CHECKBOX_NAME,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/integrity/restore.html", context)

    def _tell(self, request: HttpRequest, report: Report) -> None:
        if report.changes:
            done = f"Put back: {rows(report.changes)}. To take that back: manage.py integrity undo {report.run}"
            self.message_user(request, done, messages.SUCCESS)
        for rule in report.rules:
            for sentence in _troubles(rule):
                self.message_user(request, sentence, messages.WARNING)


def _troubles(rule: RuleReport) -> list[str]:
    """What a person must know of rows that were put back, or could not be."""
    found = [f"{c.table} {show(c.key)} stays in quarantine: {c.why}." for c in rule.conflicts]
    if rule.error:
        found.append(rule.error)
    if rule.status == statuses.VIOLATED:
        where = "; ".join(show(registry.get(rule.rule).key_as_json(finding.key)) for finding in rule.sample)
        found.append(f"{rule.rule} is broken again at {where}: the row is back, and what was wrong with it is too.")
    return found
