"""Looking at rules, and again at what a run changed."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from integrity import statuses
from integrity.admin.base import actor, require, rule_url
from integrity.admin.consent import ReasonForm, is_long, note
from integrity.admin.repairing import rule_or_404
from integrity.admin.steps import put_off
from integrity.engine import analyze, verify
from integrity.exceptions import EngineError
from integrity.leases import is_dead
from integrity.models import Run
from integrity.overview import standings
from integrity.registry import registry
from integrity.reports import Report
from integrity.shown import counted, lasting
from integrity.workers import later, queue


def analyze_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Look at the rules that the address names, or at all."""
    require(admin, request, "analyze")
    labels = request.GET.getlist("rule")
    rules = [rule_or_404(label) for label in labels] if labels else list(registry)
    found = standings(rules, points=1)
    known = [one.looks.attempt.seconds or 0 for one in found if one.looks.attempt]
    names = labels if len(labels) < len(list(registry)) else []
    form = ReasonForm(request.POST or None)
    is_put_off = is_long(sum(known)) and queue.is_there()
    too_long = ""
    if is_long(sum(known)) and not is_put_off:
        too_long = f"The last looks took {lasting(sum(known))} together, which is longer than the administration waits."
    if request.method == "POST" and form.is_valid() and is_put_off:
        reason = form.cleaned_data["reason"]
        return put_off(request, later.analyze(rules, actor=actor(request), reason=reason), reason)
    if request.method == "POST" and form.is_valid() and not too_long:
        at_work = _at_work(request, rules)
        if at_work is not None:
            messages.warning(request, f"Run {at_work.pk}, which you began a moment ago, looks at them now.")
            return HttpResponseRedirect(reverse("admin:integrity_run_change", args=[at_work.pk]))
        report = analyze(rules, actor=actor(request), reason=form.cleaned_data["reason"])
        return _tell(request, report, form.cleaned_data["reason"])
    least = f" The last looks took {lasting(sum(known))} together." if known else ""
    return admin.page(  # type: ignore[no-any-return]
        request,
        "ask.html",
        title=f"Look at {labels[0]}?" if len(rules) == 1 and labels else f"Look at {counted(len(rules), 'rule')}?",
        sentences=[f"It only reads the data; what it finds is recorded.{least}"]
        + (["A worker does it, and its run tells when it has ended."] if is_put_off else []),
        things=[(one.rule.label, _last(one)) for one in found],
        form=form,
        button="Look now",
        back=rule_url(labels[0]) if len(labels) == 1 else reverse("admin:integrity_declaredrule_changelist"),
        too_long=too_long,
        command=" ".join(["manage.py integrity analyze", *names]),
    )


def verify_view(admin: Any, request: HttpRequest, number: int) -> HttpResponse:
    """Look again at what a run changed."""
    require(admin, request, "analyze")
    run: Run = admin.seen(request, str(number))
    form = ReasonForm(request.POST or None)
    back = reverse("admin:integrity_run_change", args=[run.pk])
    if request.method == "POST" and form.is_valid():
        try:
            report = verify(run.pk, actor=actor(request), reason=form.cleaned_data["reason"])
        except EngineError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(back)
        return _tell(request, report, form.cleaned_data["reason"])
    return admin.page(  # type: ignore[no-any-return]
        request,
        "ask.html",
        title=f"Verify run {run.pk}?",
        original=run,
        sentences=["Every rule that reads a table which the run wrote is looked at again, for the keys it changed."],
        form=form,
        button="Verify",
        back=back,
    )


def _at_work(request: HttpRequest, rules: Any) -> Run | None:
    """A form that was sent twice."""
    labels = {rule.label for rule in rules}
    for run in Run.objects.filter(status=statuses.RUNNING, verb=Run.Verb.ANALYZE, actor=actor(request)):
        if not is_dead(run) and set(run.results.values_list("rule", flat=True)) <= labels:
            return run
    return None


def _last(one: Any) -> str:
    if one.look is None:
        return "never looked at"
    return f"{counted(one.violations, 'violation')} at the last look"


def _tell(request: HttpRequest, report: Report, reason: str) -> HttpResponse:
    found = sum(rule.violations or 0 for rule in report.rules)
    failed = [f"{rule.rule}: {rule.error}" for rule in report.rules if rule.error]
    said = f"Run {report.run} looked at {counted(len(report.rules), 'rule')}"
    if failed:
        messages.error(request, f"{said}; not checked: {'; '.join(failed)}")
    elif found:
        messages.warning(request, f"{said} and found {counted(found, 'violation')}.")
    else:
        messages.success(request, f"{said} and found nothing wrong.")
    note(request, Run.objects.get(pk=report.run), f"{report.verb.capitalize()}: {reason}")
    return HttpResponseRedirect(reverse("admin:integrity_run_change", args=[report.run]))
