"""Pausing, resuming and cancelling a run that is at work."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from integrity import control
from integrity.admin.base import actor, require, rule_url
from integrity.admin.consent import ReasonForm, note
from integrity.admin.repairing import rule_or_404
from integrity.exceptions import EngineError
from integrity.models import Run
from integrity.overview.kept import forget
from integrity.schedules import healing
from integrity.schedules.readiness import readiness

WORDS = {
    "pause": ("Pause", "It waits before its next batch until it is resumed; what it has written stays.", "is paused"),
    "resume": ("Resume", "It goes on with its next batch.", "goes on"),
    "cancel": (
        "Cancel",
        "It ends before its next batch, as partial. What was committed stays, and can be gone on with or taken back.",
        "ends before its next batch",
    ),
}


def control_view(admin: Any, request: HttpRequest, number: int, verb: str) -> HttpResponse:
    """Ask why, then ask the run."""
    require(admin, request, "control")
    run: Run = admin.seen(request, str(number))
    word, what, told = WORDS[verb]
    back = reverse("admin:integrity_run_change", args=[run.pk])
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            getattr(control, verb)(run.pk, actor=actor(request))
        except EngineError as error:
            messages.error(request, str(error))
        else:
            note(request, run, f"{word}: {form.cleaned_data['reason']}")
            messages.success(request, f"Run {run.pk} {told}.")
        return HttpResponseRedirect(back)
    return admin.page(  # type: ignore[no-any-return]
        request,
        "ask.html",
        title=f"{word} run {run.pk}?",
        original=run,
        sentences=[what],
        form=form,
        button=word,
        back=back,
    )


def resume_automatic_view(admin: Any, request: HttpRequest, label: str) -> HttpResponse:
    """Let a rule's automatic repair go on that waits for a person."""
    require(admin, request, "control")
    rule = rule_or_404(label)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        try:
            run = healing.resume(rule, actor=actor(request), reason=reason)
        except EngineError as error:
            messages.error(request, str(error))
        else:
            forget()
            note(request, run, f"Resume the automatic repair of {rule.label}: {reason}")
            messages.success(request, f"The automatic repair of {rule.label} goes on after the next scheduled look.")
        return HttpResponseRedirect(rule_url(label))
    now = readiness(rule) if rule.automatic else None
    return admin.page(  # type: ignore[no-any-return]
        request,
        "ask.html",
        title=f"Resume the automatic repair of {rule.label}?",
        sentences=[f"It {now.word}, because {now.why}."] if now and now.why else ["It is not waiting for anybody."],
        form=form,
        button="Resume",
        back=rule_url(label),
    )
