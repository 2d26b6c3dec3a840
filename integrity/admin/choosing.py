"""Which repair somebody wants for the violations that were chosen from the list."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from integrity.admin.base import require
from integrity.admin.chosen import violations
from integrity.admin.offers import described
from integrity.admin.repairing import rule_or_404
from integrity.models import Violation
from integrity.shown import counted, show


def choose_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """The repairs of the one rule that the chosen violations break; straight on where there is only one."""
    require(admin, request, "repair")
    chosen = list(violations(request).filter(status=Violation.Status.OPEN))
    labels = list(dict.fromkeys(one.rule for one in chosen))
    if len(labels) != 1:
        told = "They break different rules" if labels else "None of them is open"
        return _back(request, f"{told}: choose open violations of one rule. The filter by rule shows them alone.")
    rule = rule_or_404(labels[0])
    if not rule.repairs:
        return _back(request, f"{rule.label} declares no repair: a person decides.")
    query = "&".join(f"violation={one.pk}" for one in chosen)
    links = [(described(rule, name), f"{_repair_url(rule.label, name)}?{query}") for name in rule.repairs]
    if len(links) == 1:
        return HttpResponseRedirect(links[0][1])
    return admin.page(  # type: ignore[no-any-return]
        request,
        "choose.html",
        title=f"Repair {counted(len(chosen), 'violation')} of {rule.label}",
        things=[(show(one.key), show(one.actual or {})) for one in chosen],
        links=links,
    )


def _repair_url(label: str, strategy: str) -> str:
    return reverse("admin:integrity_declaredrule_repair", args=[label, strategy])


def _back(request: HttpRequest, why: str) -> HttpResponse:
    messages.error(request, why)
    return HttpResponseRedirect(reverse("admin:integrity_violation_changelist"))
