"""Runs: what was done, by whom and why, what it found and wrote, and what is in the way of one that is at work."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from integrity import leases, statuses
from integrity.admin.analyzing import verify_view
from integrity.admin.base import Page, actor, badge, figure, rule_link, run_link, when
from integrity.admin.changes import differing, told
from integrity.admin.controlling import WORDS, control_view
from integrity.admin.filters import ByRuleOfRun
from integrity.admin.repairing import next_step, undo_view
from integrity.control import IN_BATCHES
from integrity.models import Change, Result, Run
from integrity.overview.activity import summed
from integrity.permissions import may
from integrity.shown import lasting, show
from integrity.workers.progress import progress

SHOWN = 20
"""So many changes are shown on the page of their run; the list has them all."""


@admin.register(Run)
class RunAdmin(Page):
    """Runs, the latest first."""

    list_display = (
        "number",
        "verb_told",
        "status_told",
        "about",
        "found",
        "wrote",
        "actor",
        "reason_told",
        "at",
        "lasted",
    )
    list_display_links = ("number",)
    list_filter = ("verb", "status", "dry_run", ByRuleOfRun, "database")
    search_fields = ("=pk", "actor", "reason", "error")
    search_help_text = "A number, who, why, or what went wrong."
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return summed(super().get_queryset(request))

    # Columns

    @admin.display(description="run", ordering="pk")
    def number(self, run: Run) -> str:
        return str(run.pk)

    @admin.display(description="verb", ordering="verb")
    def verb_told(self, run: Run) -> str:
        return verb_of(run)

    @admin.display(description="status", ordering="status")
    def status_told(self, run: Run) -> SafeString:
        return badge(run.status)

    @admin.display(description="rules")
    def about(self, run: Any) -> SafeString | str | None:
        return about(run)

    @admin.display(description="violations")
    def found(self, run: Any) -> SafeString:
        return figure(run.found)

    @admin.display(description="changes")
    def wrote(self, run: Any) -> SafeString:
        return figure(run.wrote)

    @admin.display(description="reason")
    def reason_told(self, run: Run) -> str | None:
        return run.reason[:120] or None

    @admin.display(description="started", ordering="started_at")
    def at(self, run: Run) -> str | None:
        return when(run.started_at)

    @admin.display(description="lasted")
    def lasted(self, run: Run) -> str | None:
        return lasted(run)

    # Pages

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view

        def asking(verb: str) -> Any:
            return wrap(lambda request, number: control_view(self, request, number, verb))

        ours = [
            path(
                "<int:number>/undo/",
                wrap(lambda r, number: undo_view(self, r, number)),
                name=self.page_name("undo"),
            ),
            path(
                "<int:number>/verify/",
                wrap(lambda r, number: verify_view(self, r, number)),
                name=self.page_name("verify"),
            ),
            *(path(f"<int:number>/{verb}/", asking(verb), name=self.page_name(verb)) for verb in WORDS),
        ]
        return [*ours, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One run: results, progress, changes, and what can be asked of it."""
        run = self.seen(request, object_id)
        changes: list[Change] = []
        if request.user.has_perm("integrity.view_change"):
            changes = list(Change.objects.filter(run=run).order_by("pk")[: SHOWN + 1])
        waiting = Change.objects.filter(run=run, undone_by=None).exists()
        is_running, is_queued = run.status == statuses.RUNNING, run.status == statuses.QUEUED
        holds = is_running and run.verb in IN_BATCHES
        is_dead = is_running and not run.shared and leases.is_dead(run)
        far = progress(run) if is_running or is_queued else None
        return self.page(
            request,
            "run.html",
            title=f"Run {run.pk}: {verb_of(run)}",
            original=run,
            run=run,
            status=badge(run.status),
            verb=verb_of(run),
            of=run_link(run.of_id),
            followed_by=[
                (run_link(other.pk), verb_of(other), badge(other.status)) for other in run.followed_by.all()[:20]
            ],
            started=when(run.started_at),
            lasted=lasted(run),
            results=[_line(result) for result in run.results.all()],
            progress=far,
            remaining=lasting(far.remaining) if far and far.remaining is not None else None,
            waited=[(word, lasting(seconds)) for word, seconds in (run.waited or {}).items() if seconds >= 0.1],
            keys=[(label, len(keys), show(keys[0]) if keys else "") for label, keys in (run.keys or {}).items()],
            max_affected=run.options.get("max_affected"),
            changes=[
                (told(one), one, show(one.key), differing(one), run_link(one.undone_by_id)) for one in changes[:SHOWN]
            ],
            more_changes=len(changes) > SHOWN,
            can_be_undone=waiting and not run.dry_run and (not is_running or is_dead),
            can_pause=holds and not run.asked,
            can_resume=holds and run.asked == Run.Asked.PAUSE,
            can_cancel=(holds and run.asked != Run.Asked.CANCEL) or is_queued,
            is_queued=is_queued,
            is_open=is_running or is_queued,
            next_step=next_step(run) if _may_go_on(request, run) else "",
            is_dead=is_dead,
        )


def _may_go_on(request: HttpRequest, run: Run) -> bool:
    """Whether it is theirs to carry out what was tried."""
    return run.verb in IN_BATCHES and run.actor == actor(request) and may(request.user, run.verb)


def verb_of(run: Run) -> str:
    """The verb, and what of: ``undo of run 7 (dry run)``."""
    return run.verb + (f" of run {run.of_id}" if run.of_id else "") + (" (dry run)" if run.dry_run else "")


def about(run: Any) -> SafeString | str | None:
    """Its rule, or how many."""
    if run.rules == 1:
        return rule_link(run.of_rule)
    return f"{run.rules} rules" if run.rules else run.options.get("import")


def lasted(run: Run) -> str | None:
    """How long it took."""
    return lasting((run.finished_at - run.started_at).total_seconds()) if run.finished_at else None


def _line(result: Result) -> dict[str, Any]:
    return {
        "rule": rule_link(result.rule),
        "status": badge(result.status),
        "strategy": result.strategy,
        "checked": figure(result.checked),
        "violations": figure(result.violations),
        "changes": figure(result.changes),
        "outcomes": show(result.outcomes) if result.outcomes else "",
        "skipped": result.skipped,
        "lasted": None if result.seconds is None else lasting(result.seconds),
        "error": result.error,
        "truncated": result.truncated,
    }
