"""What else is remembered: decisions about dangling ids, sizes before imports, rejected rows, severed references."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from integrity.admin.base import Page, badge, figure, run_link, when
from integrity.models import Decision, RejectedRow, Severed, Snapshot
from integrity.shown import show


class OfRun(Page):
    """Records of a run."""

    list_select_related = ("run",)

    @admin.display(description="run", ordering="run")
    def run_told(self, one: Any) -> SafeString | None:
        return run_link(one.run_id, f"run {one.run_id}" + (" (dry run)" if one.run.dry_run else ""))


@admin.register(Decision)
class DecisionAdmin(OfRun):
    """What a relink decided about each id that leads nowhere."""

    list_display = ("old", "target", "outcome_told", "new", "by", "rows_told", "why", "run_told")
    list_filter = ("outcome", "target", "run__dry_run")
    search_fields = ("=old", "=new", "target", "why", "=run__pk")
    ordering = ("-pk",)
    fields = ("old", "target", "outcome_told", "new", "by", "why", "candidates_told", "rows_told", "pool", "run_told")
    readonly_fields = fields

    @admin.display(description="outcome", ordering="outcome")
    def outcome_told(self, one: Decision) -> SafeString:
        return badge(one.outcome)

    @admin.display(description="rows", ordering="rows")
    def rows_told(self, one: Decision) -> SafeString:
        return figure(one.rows)

    @admin.display(description="candidates, with what speaks for and against each")
    def candidates_told(self, one: Decision) -> str:
        return "; ".join(show(candidate) for candidate in one.candidates) or "none"


@admin.register(Snapshot)
class SnapshotAdmin(OfRun):
    """What an import found before it wrote."""

    list_display = ("table", "rows_before", "rows_then", "keys_kept", "taken_at", "run_told")
    list_display_links = ("table",)
    list_filter = ("table",)
    search_fields = ("=table", "=run__pk")
    ordering = ("-pk",)
    fields = ("table", "rows_before", "rows_then", "keys_kept", "references_told", "digest", "taken_at", "run_told")
    readonly_fields = fields

    @admin.display(description="rows before", ordering="rows")
    def rows_before(self, one: Snapshot) -> SafeString:
        return figure(one.rows)

    @admin.display(description="rows after", ordering="rows_after")
    def rows_then(self, one: Snapshot) -> SafeString:
        return figure(one.rows_after)

    @admin.display(description="keys kept", ordering="keys")
    def keys_kept(self, one: Snapshot) -> SafeString:
        return figure(one.keys)

    @admin.display(description="rows that refer, and that lead nowhere")
    def references_told(self, one: Snapshot) -> str:
        return "; ".join(f"{table}: {show(counts)}" for table, counts in one.references.items()) or "none"


@admin.register(RejectedRow)
class RejectedRowAdmin(OfRun):
    """Why an import left a row out."""

    list_display = ("reason", "feed", "field", "value_in_short", "file_name", "line", "run_told")
    list_filter = ("feed",)
    search_fields = ("=run__pk", "field", "reason", "file")
    ordering = ("-pk",)
    fields = ("reason", "feed", "field", "value_told", "file", "line", "row", "run_told")
    readonly_fields = fields

    @admin.display(description="value")
    def value_told(self, one: RejectedRow) -> str:
        return "-" if one.value is None else one.value

    @admin.display(description="value")
    def value_in_short(self, one: RejectedRow) -> str:
        return Truncator(self.value_told(one)).chars(50)

    @admin.display(description="file", ordering="file")
    def file_name(self, one: RejectedRow) -> str:
        return PurePath(one.file).name


@admin.register(Severed)
class SeveredAdmin(Page):
    """Who deleted rows that others refer to."""

    list_display = ("at_told", "event", "table", "rows_told", "dangling_told", "session_user", "application_name")
    list_filter = ("table", "event", "session_user")
    search_fields = ("table", "session_user", "role", "application_name")
    ordering = ("-pk",)
    fields = (
        *("at_told", "event", "table", "rows_told", "keys_told", "dangling_told", "session_user", "role"),
        *("application_name", "client"),
    )
    readonly_fields = fields

    @admin.display(description="at", ordering="at")
    def at_told(self, one: Severed) -> str | None:
        return when(one.at)

    @admin.display(description="rows", ordering="rows")
    def rows_told(self, one: Severed) -> SafeString:
        return figure(one.rows)

    @admin.display(description="keys")
    def keys_told(self, one: Severed) -> str:
        shown = one.keys or []
        return ", ".join(str(key) for key in shown[:50]) + (f" and {len(shown) - 50:,} more" if len(shown) > 50 else "")

    @admin.display(description="left dangling")
    def dangling_told(self, one: Severed) -> str:
        return show(one.dangling or {})
