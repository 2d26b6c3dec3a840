"""Imports: what came in, what differed, what was left out and why; an import is taken back like any other run."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from integrity import statuses
from integrity.admin.base import Page, badge, figure, rule_link, run_link, when
from integrity.importing.history import NUMBERS, WRITTEN, counts, feeds, gates, name_of, rejected_object, seconds
from integrity.importing.uploads import without_folder
from integrity.models import Change, ImportRun, RejectedRow
from integrity.permissions import may
from integrity.registry import registry
from integrity.shown import counted, lasting

REJECTED_SHOWN = 50


@admin.register(ImportRun)
class ImportAdmin(Page):
    """Imports, the latest first."""

    list_display = (
        "number",
        "about",
        "status_told",
        "written",
        "unchanged",
        "rejected",
        "actor",
        "at",
        "lasted",
        "reason_told",
    )
    list_display_links = ("number",)
    list_filter = ("status", "dry_run")
    search_fields = ("=pk", "actor", "reason", "error", "options__import")
    search_help_text = "A number, an import, who, why, or what went wrong."
    ordering = ("-pk",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may read the records, or import."""
        return may(request.user, "read") or may(request.user, "import")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("results")

    # Columns

    @admin.display(description="run", ordering="pk")
    def number(self, run: ImportRun) -> str:
        return str(run.pk)

    @admin.display(description="import")
    def about(self, run: ImportRun) -> str:
        return name_of(run) + (" (dry run)" if run.dry_run else "")

    @admin.display(description="status", ordering="status")
    def status_told(self, run: ImportRun) -> SafeString:
        return badge(run.status)

    @admin.display(description="written")
    def written(self, run: ImportRun) -> SafeString:
        found = counts(feeds(run))
        return figure(sum(found[name] for name in WRITTEN))

    @admin.display(description="unchanged")
    def unchanged(self, run: ImportRun) -> SafeString:
        return figure(counts(feeds(run))["unchanged"])

    @admin.display(description="rejected")
    def rejected(self, run: ImportRun) -> SafeString:
        return figure(counts(feeds(run))["rejected"])

    @admin.display(description="started", ordering="started_at")
    def at(self, run: ImportRun) -> str | None:
        return when(run.started_at)

    @admin.display(description="lasted", empty_value="-")
    def lasted(self, run: ImportRun) -> str | None:
        return _lasted(run)

    @admin.display(description="reason", empty_value="-")
    def reason_told(self, run: ImportRun) -> str | None:
        return run.reason[:120] or None

    # The page of one

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One import: its feeds, what differed, what referred to its tables, what was left out."""
        run = self.seen(request, object_id)
        rejected = Paginator(RejectedRow.objects.filter(run=run).order_by("pk"), REJECTED_SHOWN)
        page = rejected.get_page(request.GET.get("p"))
        found = feeds(run)
        waiting = not run.dry_run and Change.objects.filter(run=run, undone_by=None).exists()
        return self.page(
            request,
            "import.html",
            title=f"Import {run.pk}: {name_of(run)}",
            original=run,
            run=run,
            name=name_of(run),
            status=badge(run.status),
            error=without_folder(run.error),
            started=when(run.started_at),
            lasted=_lasted(run),
            is_open=run.status in (statuses.QUEUED, statuses.RUNNING),
            only=run.options.get("only"),
            numbers=NUMBERS,
            feeds=[_feed(feed, told=without_folder(run.error)) for feed in found],
            totals=[(name, figure(number)) for name, number in counts(found).items()] if len(found) > 1 else None,
            snapshots=[_snapshot(one) for one in run.snapshots.all()],
            gates=[_gate(label) for label in gates(run)],
            rejected=[rejected_object(row) | {"file": PurePath(row.file).name} for row in page],
            rejected_page=page,
            rejected_told=counted(rejected.count, "problem"),
            followed_by=[
                (run_link(other.pk), other.verb, badge(other.status))
                for other in run.followed_by.filter(dry_run=False)[:20]
            ],
            run_page=run_link(run.pk, "All that was written, row by row"),
            can_be_undone=waiting and run.status != statuses.RUNNING,
        )


def _lasted(run: ImportRun) -> str | None:
    lasted = seconds(run)
    return None if lasted is None else lasting(lasted)


def _feed(feed: dict[str, Any], told: str) -> dict[str, Any]:
    """told: what the page says of the import as a whole, which needs no repeating."""
    return {
        "label": feed["feed"],
        "status": badge(feed["status"]),
        "rows": figure(feed["rows"]),
        "numbers": [(name, figure(feed[name])) for name in NUMBERS],
        "fields": [(name, figure(number)) for name, number in feed["fields"].items()],
        "error": None if feed["error"] == told else feed["error"],
    }


def _snapshot(one: Any) -> dict[str, Any]:
    return {
        "table": one.table,
        "before": figure(one.rows),
        "after": figure(one.rows_after),
        "keys": figure(one.keys),
        "references": [
            {
                "by": f"{reference['table']} ({', '.join(reference['columns'])})",
                "rows": figure(reference["rows"]),
                "dangling": reference["dangling"],
            }
            for reference in one.references
        ],
    }


def _gate(label: str) -> SafeString | str:
    return rule_link(label) if any(rule.label == label for rule in registry) else label
