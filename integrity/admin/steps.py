"""The two steps of whatever writes: it is tried, shown and rolled back; then carried out, once, by whoever saw it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from integrity import statuses
from integrity.admin.base import actor
from integrity.admin.consent import APPLY, TRY, RepairForm, note
from integrity.confirmed import confirm
from integrity.exceptions import EngineError
from integrity.models import Run
from integrity.overview.kept import forget
from integrity.reports import Report, rows
from integrity.shown import counted
from integrity.workers import queue

SHOWN = 20
"""How many of the planned rows a page shows."""


class Verb(Protocol):
    """What is done; ``later`` puts it off and answers with the run that a worker will perform."""

    def now(self, *, dry_run: bool, max_affected: str | None, **given: Any) -> Report: ...

    def later(self, *, dry_run: bool, max_affected: str | None, **given: Any) -> Run: ...


@dataclass(frozen=True)
class Wanted:
    """What somebody wants done: how the pages call it, and what it is. ``too_long``: why it is not for a request."""

    title: str
    verb: Verb
    back: str
    command: str
    sentences: list[str]
    things: list[tuple[str, str]] = field(default_factory=list)
    original: Any = None
    too_long: str = ""
    has_brake: bool = True

    @property
    def is_put_off(self) -> bool:
        """Whether a worker does it."""
        return bool(self.too_long) and queue.is_there()


def in_two_steps(admin: Any, request: HttpRequest, wanted: Wanted) -> HttpResponse:
    """The page that asks, the one that shows what was tried, and the answer to who has confirmed it."""
    confirms = _tried(request)
    form = RepairForm(request.POST or None, initial={"step": TRY, "reason": confirms.reason if confirms else ""})
    page = {"wanted": wanted, "title": wanted.title, "original": wanted.original, "form": form, "confirms": confirms}
    if request.method != "POST" or (wanted.too_long and not wanted.is_put_off) or not form.is_valid():
        return admin.page(request, "try.html", **page)  # type: ignore[no-any-return]
    applies = form.cleaned_data["step"] == APPLY
    try:
        if applies:
            confirm(form.cleaned_data["tried"], actor=actor(request))
        given = _given(request, form)
        if wanted.is_put_off:
            return put_off(request, wanted.verb.later(dry_run=not applies, **given), given["reason"])
        report = wanted.verb.now(dry_run=not applies, **given)
    except EngineError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(wanted.back)
    if applies:
        return _tell(request, report, given["reason"])
    return admin.page(request, "confirm.html", **page, **_shown(report, form))  # type: ignore[no-any-return]


def _tried(request: HttpRequest) -> Run | None:
    """The dry run that a worker has performed, which the address names."""
    number = request.GET.get("tried", "")
    found = Run.objects.filter(pk=int(number), dry_run=True) if number.isdecimal() else Run.objects.none()
    return found.filter(actor=actor(request)).first()


def _given(request: HttpRequest, form: RepairForm) -> dict[str, Any]:
    limit = form.cleaned_data["max_affected"] or None
    return {"actor": actor(request), "reason": form.cleaned_data["reason"], "max_affected": limit}


def _shown(report: Report, form: RepairForm) -> dict[str, Any]:
    """What the page says of a dry run, with the form that carries it out."""
    stopped = [rule.error for rule in report.rules if rule.error]
    fields = {name: form.cleaned_data[name] for name in ("reason", "max_affected")}
    return {
        "report": report,
        "stopped": stopped,
        "braked": [rule.brake for rule in report.rules if rule.brake],
        "can_apply": bool(report.changes) and not stopped,
        "apply": RepairForm(initial={**fields, "step": APPLY, "tried": report.run}),
    }


def put_off(request: HttpRequest, run: Run, reason: str) -> HttpResponse:
    """Tell who wanted it which run a worker will perform."""
    messages.success(request, f"Run {run.pk} is put off: a worker begins with it as soon as one is free.")
    note(request, run, f"Put off: {run.verb}{' (dry run)' if run.dry_run else ''}. {reason}")
    return HttpResponseRedirect(reverse("admin:integrity_run_change", args=[run.pk]))


def _tell(request: HttpRequest, report: Report, reason: str) -> HttpResponse:
    said = f"Run {report.run} ({report.verb}) wrote {rows(report.changes)}."
    wrong = "; ".join(rule.error for rule in report.rules if rule.error)
    skipped = sum(rule.skipped for rule in report.rules)
    if wrong:
        messages.error(request, f"{said} It was not finished: {wrong}")
    elif skipped:
        messages.warning(request, f"{said} {counted(skipped, 'key')} had changed meanwhile and stayed as they are.")
    elif report.status == statuses.VIOLATED:
        messages.warning(request, f"{said} Something is left that this repair cannot cure.")
    else:
        messages.success(request, said)
    forget()
    note(request, Run.objects.get(pk=report.run), f"{report.verb.capitalize()}: {rows(report.changes)}. {reason}")
    return HttpResponseRedirect(reverse("admin:integrity_run_change", args=[report.run]))
