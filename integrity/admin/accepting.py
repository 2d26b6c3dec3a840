"""Accepting violations as exceptions, and taking that back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from integrity.admin.base import actor, require
from integrity.admin.chosen import violations
from integrity.admin.consent import AcceptForm, ReasonForm, note
from integrity.engine import accept, revoke
from integrity.exceptions import EngineError
from integrity.models import Violation
from integrity.registry import registry
from integrity.shown import counted, moment, show


def accept_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Ask why and until when, then accept the violations that the address names."""
    chosen = _chosen(admin, request)
    form = AcceptForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _ask(admin, request, chosen, form, "Accept", "neither counted nor repaired until it expires")

    def verb(rule: Any, key: Any) -> None:
        reason, until = form.cleaned_data["reason"], form.cleaned_data["until"]
        accept(rule, key, by=actor(request), because=reason, until=until)

    until = form.cleaned_data["until"]
    if until is not None and until <= timezone.now():
        form.add_error("until", "Give a time to come.")
        return _ask(admin, request, chosen, form, "Accept", "neither counted nor repaired until it expires")
    told = f"accepted until {moment(until)}" if until else "accepted until it is revoked"
    return _perform(admin, request, chosen, verb, told, form.cleaned_data["reason"])


def revoke_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Ask why, then let accepted violations count again."""
    chosen = _chosen(admin, request)
    form = ReasonForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _ask(admin, request, chosen, form, "Revoke the acceptance of", "counted and repaired again")
    return _perform(admin, request, chosen, revoke, "no longer accepted", form.cleaned_data["reason"])


def _chosen(admin: Any, request: HttpRequest) -> list[Violation]:
    require(admin, request, "accept")
    chosen = list(violations(request))
    if not chosen:
        raise Http404("There is no such violation.")
    return chosen


def _ask(admin: Any, request: HttpRequest, chosen: list[Violation], form: Any, verb: str, what: str) -> HttpResponse:
    one = chosen[0]
    title = f"{verb} {counted(len(chosen), 'violation')}?"
    back = _back(chosen)
    return admin.page(  # type: ignore[no-any-return]
        request,
        "ask.html",
        title=title,
        original=one if len(chosen) == 1 else None,
        sentences=[f"Each is {what}. Your name and the reason are kept with it."],
        things=[(f"{each.rule} at {show(each.key)}", _values(each)) for each in chosen],
        form=form,
        button=verb.partition(" ")[0],
        back=back,
    )


def _values(one: Violation) -> str:
    actual = show(one.actual) if one.actual else ""
    return f"{actual}, should be {show(one.expected)}" if actual and one.expected else actual


def _perform(
    admin: Any, request: HttpRequest, chosen: list[Violation], verb: Any, told: str, reason: str
) -> HttpResponse:
    done = []
    for one in chosen:
        try:
            rule = registry.get(one.rule)
            verb(rule, rule.key_from_json(one.key))
            done.append(one)
        except EngineError as error:
            messages.error(request, str(error))
    note(request, done, f"{told[:1].upper()}{told[1:]}: {reason}")
    if done:
        messages.success(request, f"{counted(len(done), 'violation')} {told}.")
    return HttpResponseRedirect(_back(chosen))


def _back(chosen: list[Violation]) -> str:
    if len(chosen) == 1:
        return reverse("admin:integrity_violation_change", args=[chosen[0].pk])
    return reverse("admin:integrity_violation_changelist")
