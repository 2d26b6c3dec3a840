"""Every row that a repair or an undo wrote: what it was, and what it became."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connections
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from integrity.admin.base import Page, rule_link, run_link
from integrity.admin.filters import ByApp, ByRule
from integrity.models import Change
from integrity.shown import show

SHOWN = 4
"""So many columns of a change are shown in the list."""


class Operation(admin.SimpleListFilter):
    """Inserted, updated or deleted."""

    title = "what was done"
    parameter_name = "op"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(op, op) for op in ("insert", "update", "delete")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        wanted = {"insert": (True, False), "update": (False, False), "delete": (False, True)}.get(self.value() or "")
        if wanted is None:
            return queryset
        return queryset.filter(before__isnull=wanted[0], after__isnull=wanted[1])


class Undone(admin.SimpleListFilter):
    """Taken back, or not."""

    title = "taken back"
    parameter_name = "undone"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(undone_by__isnull=self.value() == "no") if self.value() else queryset


class Estimated(Paginator):  # type: ignore[type-arg]
    """Asks the catalog how many rows a whole table has: to count millions takes longer than to show fifty of them."""

    @cached_property
    def count(self) -> int:
        query: Any = self.object_list
        if query.query.where:
            return query.order_by().count()  # type: ignore[no-any-return]
        with connections[query.db].cursor() as cursor:
            cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [Change._meta.db_table])
            (estimate,) = cursor.fetchone()
        return int(estimate) if estimate > 100_000 else query.order_by().count()


@admin.register(Change)
class ChangeAdmin(Page):
    """Changes, the latest first."""

    list_display = ("change", "what", "row", "difference_told", "rule_told", "run_told", "undone_told")
    list_display_links = ("change",)
    list_filter = (Operation, Undone, ByApp, ByRule)
    search_fields = ("=run__pk", "=table")
    search_help_text = "The number of a run, or the name of a table."
    ordering = ("-pk",)
    paginator = Estimated
    fields = ("what", "row", "rule_told", "run_told", "undone_told", "owner_told", "difference", "images")
    readonly_fields = fields

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """Runs and tables lead here by a filter that is no column of the list."""
        return lookup in ("run__exact", "table__exact") or super().lookup_allowed(lookup, value, request)

    @admin.display(description="change", ordering="pk")
    def change(self, one: Change) -> str:
        return str(one.pk)

    @admin.display(description="what")
    def what(self, one: Change) -> SafeString:
        return told(one)

    @admin.display(description="row", ordering="table")
    def row(self, one: Change) -> str:
        return f"{one.table} {show(one.key)}"

    @admin.display(description="difference")
    def difference_told(self, one: Change) -> SafeString:
        return differing(one, limit=SHOWN)

    @admin.display(description="difference")
    def difference(self, one: Change) -> SafeString:
        return differing(one)

    @admin.display(description="the whole row, before and after")
    def images(self, one: Change) -> SafeString:
        held = [
            (name, _cell(one.before, name), _cell(one.after, name))
            for name in {**(one.before or {}), **(one.after or {})}
        ]
        lines = format_html_join("", "<tr><th scope=row>{}</th><td>{}</td><td>{}</td></tr>", held)
        head = "<tr><th scope=col>column</th><th scope=col>before</th><th scope=col>after</th></tr>"
        return format_html('<div class="i-scroll"><table class="i-table">{}{}</table></div>', SafeString(head), lines)

    @admin.display(description="rule", ordering="rule")
    def rule_told(self, one: Change) -> SafeString:
        return rule_link(one.rule)

    @admin.display(description="run", ordering="run")
    def run_told(self, one: Change) -> SafeString | str:
        return run_link(one.run_id) or "-"

    @admin.display(description="taken back by")
    def undone_told(self, one: Change) -> SafeString | str:
        return run_link(one.undone_by_id) or "-"

    @admin.display(description="for the violation at")
    def owner_told(self, one: Change) -> str:
        return show(one.owner) if one.owner else "the row itself"


def told(one: Change) -> SafeString:
    """What was done, coloured."""
    op = "insert" if one.before is None else "delete" if one.after is None else "update"
    if op == "delete" and one.quarantined:
        return format_html('<span class="i-op i-delete">{}</span>', "quarantine")
    return format_html('<span class="i-op i-{}">{}</span>', op, op)


def differing(one: Change, *, limit: int | None = None) -> SafeString:
    """The columns that differ, old struck out and new behind it; of an inserted or deleted row all that it held.

    limit: only so many columns, and how many more there are.
    """
    before, after = one.before or {}, one.after or {}
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if one.before is None or one.after is None:
        names = [name for name in names if (before or after)[name] is not None]
    lines = format_html_join(
        "",
        "<div><dt>{}</dt><dd>{}{}</dd></div>",
        (
            (
                name,
                format_html("<del>{}</del> ", show(before[name])) if name in before else "",
                format_html("<ins>{}</ins>", show(after[name])) if name in after else "",
            )
            for name in names[:limit]
        ),
    )
    more = len(names) - limit if limit is not None and len(names) > limit else 0
    rest = format_html("<div>and {} more</div>", more) if more else ""
    return format_html('<dl class="i-diff">{}{}</dl>', lines, rest) if lines else format_html("{}", "nothing")


def _cell(image: dict[str, Any] | None, name: str) -> str:
    return "-" if image is None else show(image.get(name))
