"""Repairing a rule, or some of its violations, and taking a run back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from integrity import statuses
from integrity.admin.base import require, rule_url
from integrity.admin.chosen import numbers, violations
from integrity.admin.consent import Deadline, is_long
from integrity.admin.offers import described
from integrity.admin.steps import SHOWN, Wanted, in_two_steps
from integrity.confirmed import CONFIRMED_BY
from integrity.keys import Key
from integrity.models import Change, Run, Violation
from integrity.overview import standings
from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import Report, rows
from integrity.rules.base import Rule
from integrity.shown import counted, show
from integrity.undo import undo
from integrity.workers import later
from integrity.workers.later import CALL


@dataclass(frozen=True)
class Repairing:
    """A repair of one rule."""

    rule: Rule
    strategy: str
    keys: Sequence[Key] | None

    def now(self, *, dry_run: bool, max_affected: str | None, **given: Any) -> Report:
        work = [(self.rule, self.strategy)]
        return repair(
            work, keys=self.keys, dry_run=dry_run, max_affected=max_affected, sample=SHOWN, observer=Deadline(), **given
        )

    def later(self, *, dry_run: bool, max_affected: str | None, **given: Any) -> Run:
        return later.repair(
            [(self.rule, self.strategy)], keys=self.keys, dry_run=dry_run, max_affected=max_affected, **given
        )


@dataclass(frozen=True)
class Undoing:
    """An undo of a run. The brake is for repairs."""

    run: Run

    def now(self, *, dry_run: bool, max_affected: str | None, **given: Any) -> Report:
        return undo(self.run.pk, dry_run=dry_run, sample=SHOWN, observer=Deadline(), **given)

    def later(self, *, dry_run: bool, max_affected: str | None, **given: Any) -> Run:
        return later.undo(self.run, dry_run=dry_run, **given)


def repair_view(admin: Any, request: HttpRequest, label: str, strategy: str) -> HttpResponse:
    """A repair of a rule; of some violations where the address names them."""
    require(admin, request, "repair")
    rule = rule_or_404(label)
    if strategy not in rule.repairs:
        raise Http404(f"{label} has no repair {strategy!r}.")
    return in_two_steps(admin, request, _repair(rule, strategy, _chosen(request, rule)))


def undo_view(admin: Any, request: HttpRequest, number: int) -> HttpResponse:
    """What a run wrote is put back."""
    require(admin, request, "undo")
    return in_two_steps(admin, request, _undo(admin.seen(request, str(number))))


def next_step(run: Run) -> str:
    """Where a dry run of a worker is carried out; empty where there is nothing to carry out, or it was."""
    if CALL not in run.options or not run.dry_run or run.status != statuses.VIOLATED or CONFIRMED_BY in run.options:
        return ""
    if run.verb == Run.Verb.UNDO and run.of_id:
        return reverse("admin:integrity_run_undo", args=[run.of_id]) + f"?tried={run.pk}"
    results = list(run.results.all())
    if run.verb != Run.Verb.REPAIR or len(results) != 1 or run.keys:
        return ""
    path = reverse("admin:integrity_declaredrule_repair", args=[results[0].rule, results[0].strategy])
    return f"{path}?tried={run.pk}"


def rule_or_404(label: str) -> Rule:
    """A declared rule. Raises Http404."""
    found = {rule.label: rule for rule in registry}.get(label)
    if found is None:
        raise Http404(f"There is no rule {label}.")
    return found


def _repair(rule: Rule, strategy: str, chosen: list[Violation]) -> Wanted:
    offer = described(rule, strategy)
    (standing,) = standings([rule], points=1)
    keys = [rule.key_from_json(one.key) for one in chosen] or None
    too_long = ""
    if offer.is_whole:
        too_long = "It makes a whole table anew."
    elif standing.look and not keys and is_long(standing.look.seconds):
        too_long = f"The last look alone took {standing.look.seconds:.0f} s."
    one = chosen[0] if len(chosen) == 1 else None
    return Wanted(
        title=f"Repair {rule.label}: {strategy}",
        verb=Repairing(rule, strategy, keys),
        back=reverse("admin:integrity_violation_change", args=[one.pk]) if one else rule_url(rule.label),
        command=offer.command,
        sentences=[
            f"It would {offer.about}.",
            f"It may write to {', '.join(offer.tables)}.",
            _extent(chosen, standing.violations if standing.look else None),
        ],
        things=[(show(one.key), show(one.actual or {})) for one in chosen],
        too_long=too_long,
    )


def _undo(run: Run) -> Wanted:
    waiting = Change.objects.filter(run=run, undone_by=None).count()
    lasted = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    return Wanted(
        title=f"Take run {run.pk} back",
        verb=Undoing(run),
        back=reverse("admin:integrity_run_change", args=[run.pk]),
        command=f"manage.py integrity undo {run.pk}",
        sentences=[
            f"{rows(waiting)} that run {run.pk} ({run.verb} by {run.actor}) wrote would be put back as they were.",
            "A row that somebody has changed since is left alone and listed.",
        ],
        original=run,
        has_brake=False,
        too_long=f"Run {run.pk} took {lasted:.0f} s." if lasted is not None and is_long(lasted) else "",
    )


def _chosen(request: HttpRequest, rule: Rule) -> list[Violation]:
    found = list(violations(request).filter(rule=rule.label))
    if len(found) != len(set(numbers(request))):
        raise Http404(f"There is no such violation of {rule.label}.")
    return found


def _extent(chosen: list[Violation], found: int | None) -> str:
    if chosen:
        return f"It is limited to {counted(len(chosen), 'violation')}."
    if found is None:
        return "It takes all violations of the rule, which nobody has looked at yet."
    return f"It takes all violations of the rule: {found:,} at the last look."
