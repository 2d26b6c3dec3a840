"""Letting the database keep a rule true, and taking that away again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from integrity.admin.base import actor, require, rule_url
from integrity.admin.consent import ReasonForm, is_long, note
from integrity.admin.repairing import rule_or_404
from integrity.admin.steps import put_off
from integrity.enforce import enforce
from integrity.enforcement.base import ENFORCED, GUARDED, RETIRED, Enforcement, Found, Step
from integrity.enforcement.states import found
from integrity.enforcement.ways import enforcement_of
from integrity.exceptions import EngineError, sentence
from integrity.models import Run
from integrity.overview import standings
from integrity.overview.kept import forget
from integrity.reports import Report
from integrity.rules.base import Rule
from integrity.shown import counted, lasting
from integrity.workers import later, queue

DIRTY = {
    "guard": "It lets no new violation in, and stays so until those that are there are repaired.",
    "ask": "While a violation is there it is refused: rows that break the rule could not be updated any more.",
    "refuse": "While a violation is there it is refused.",
}
"""What becomes of a table on which the rule is broken."""


def enforce_view(admin: Any, request: HttpRequest, label: str, *, remove: bool) -> HttpResponse:
    """Show the statements, ask why, then carry them out."""
    require(admin, request, "enforce")
    rule = rule_or_404(label)
    if not rule.enforce:
        raise Http404(f"{label} is not declared to be enforced.")
    form = ReasonForm(request.POST or None)
    lasts = _lasts(rule) if not remove else 0.0
    is_put_off = is_long(lasts) and queue.is_there()
    too_long = ""
    if is_long(lasts) and not is_put_off:
        too_long = f"It looks at all rows, which takes {lasting(lasts)}: longer than the administration waits."
    if request.method == "POST" and form.is_valid() and not too_long:
        given: dict[str, Any] = {"remove": remove, "actor": actor(request), "reason": form.cleaned_data["reason"]}
        if is_put_off:
            return put_off(request, later.enforce([rule], **given), given["reason"])
        return _carry_out(request, rule, given)
    try:
        said, statements = _told(rule, remove=remove)
    except (DatabaseError, EngineError) as error:
        messages.error(request, sentence(error))
        return HttpResponseRedirect(rule_url(label))
    return admin.page(  # type: ignore[no-any-return]
        request,
        "ask.html",
        title=f"Let the database {'no longer ' if remove else ''}keep {label} true?",
        sentences=said + (["A worker does it, and its run tells when it has ended."] if is_put_off else []),
        statements=statements,
        form=form,
        button="Take it away" if remove else "Enforce it",
        back=rule_url(label),
        too_long=too_long,
        command=f"manage.py integrity enforce {label}{' --remove' if remove else ''}",
    )


def can_be_enforced(found_now: Found | None) -> bool:
    """Whether there is anything to install or to prove."""
    return found_now is not None and found_now.state not in (ENFORCED, RETIRED, "unknown")


def can_be_removed(found_now: Found | None) -> bool:
    """Whether there is anything to take away."""
    return found_now is not None and found_now.state not in ("missing", RETIRED, "unknown")


def _told(rule: Rule, *, remove: bool) -> tuple[list[str], list[str]]:
    """What will be done, in words and in SQL."""
    way, now = enforcement_of(rule), found(rule)
    connection = connections[DEFAULT_DB_ALIAS]
    steps = way.remove(DEFAULT_DB_ALIAS) if remove else _to_enforce(way, now)
    statements = [statement.inline(connection) for step in steps for statement in step.statements]
    said = [f"It is {now.state} now{f': {now.why}' if now.why else ''}."]
    if remove:
        return [*said, "Whatever writes to the table then can break the rule; a look still finds it."], statements
    (standing,) = standings([rule], points=1)
    if standing.look is not None and standing.violations:
        said.append(f"The last look found {counted(standing.violations, 'violation')}. {DIRTY[way.dirty]}")
    proof = "If none of them breaks it, that is recorded as proven."
    if now.state == GUARDED:
        return [*said, "New violations are kept out already, and all rows are looked at.", proof], statements
    return [*said, "What is below is carried out; then all rows are looked at.", proof], statements


def _to_enforce(way: Enforcement, now: Found) -> Sequence[Step]:
    if not can_be_enforced(now):
        return []
    guard = [] if now.state == GUARDED else way.guard(DEFAULT_DB_ALIAS)
    return [*guard, *way.validate(DEFAULT_DB_ALIAS)]


def _carry_out(request: HttpRequest, rule: Rule, given: dict[str, Any]) -> HttpResponse:
    try:
        report = enforce([rule], **given)
    except EngineError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(rule_url(rule.label))
    _tell(request, report)
    forget()
    note(request, Run.objects.get(pk=report.run), f"Enforce{' --remove' if given['remove'] else ''}: {given['reason']}")
    return HttpResponseRedirect(reverse("admin:integrity_run_change", args=[report.run]))


def _tell(request: HttpRequest, report: Report) -> None:
    (result,) = report.rules
    said = f"{result.rule} is {result.enforcement} now."
    if result.error:
        messages.error(request, f"{said} {result.error}")
    elif result.violations:
        messages.warning(request, f"{said} First repair {counted(result.violations, 'violation')}.")
    else:
        messages.success(request, said)


def _lasts(rule: Rule) -> float:
    """Seconds: one look for the violations, one of the database for its own proof."""
    (standing,) = standings([rule], points=1)
    return 2 * (standing.looks.attempt.seconds or 0) if standing.looks.attempt else 0.0
