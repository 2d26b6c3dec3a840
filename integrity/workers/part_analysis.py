"""Looking at a part, and making one answer of what was found in all of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone

from integrity import records, statuses
from integrity.conf import conf
from integrity.engine import analyze_one
from integrity.keys import as_json
from integrity.look import look
from integrity.models import Part, Run
from integrity.observer import Observer
from integrity.registry import registry
from integrity.reports import Finding, RuleReport
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.workers.parts import KEYS, finish, scope_of

SAMPLE = 20


def look_at(part: Part, observer: Observer) -> None:
    """Look at the rows of a part. Raises LostRun and DatabaseError."""
    rule, report = registry.get(part.rule), RuleReport(part.rule)
    observer.begins(part.rule, 1)
    without = records.accepted_keys(rule, part.run.database)
    look(rule, replace(scope_of(part), without=without), part.run.database, report)
    observer.reaches("looked")
    with transaction.atomic():
        finish(
            part,
            done=part.keys,
            checked=report.checked or 0,
            violations=report.violations or 0,
            found=[] if _enough_before(part) else [_stored(rule, finding) for finding in report.sample],
        )


def look_at_whole(part: Part, observer: Observer) -> None:
    """Look at a rule that is one part; its result is that of any analysis."""
    report = analyze_one(registry.get(part.rule), part.run, Scope(), SAMPLE, observer)
    with transaction.atomic():
        finish(part, checked=report.checked or 0, violations=report.violations or 0, error=report.error)


def conclude(part: Part, _: Observer) -> None:
    """Sum up what was found in the parts of each rule, remember it, close the run."""
    run = part.run
    parts = defaultdict(list)
    for other in Part.objects.filter(run=run).exclude(pk=part.pk).order_by("number"):
        parts[other.rule].append(other)
    with transaction.atomic():
        for label, of_rule in parts.items():
            if of_rule[0].kind == KEYS or of_rule[0].status != statuses.DONE:
                records.save_result(run, _summed(registry.get(label), run, of_rule))
        status = statuses.worst(list(run.results.values_list("status", flat=True)))
        error = "; ".join(run.results.exclude(error="").values_list("error", flat=True))
        Part.objects.filter(run=run).exclude(found=[]).update(found=[])
        finish(part)
        records.close_run(run, status, error)


def _enough_before(part: Part) -> bool:
    """The lowest keys are kept, and those of the parts before this one are lower."""
    before = Part.objects.filter(run=part.run_id, rule=part.rule, number__lt=part.number, status=statuses.DONE)
    return (before.aggregate(found=Sum("violations"))["found"] or 0) >= conf().STORED_VIOLATIONS


def _summed(rule: Rule, run: Run, parts: list[Part]) -> RuleReport:
    report = RuleReport(rule.label, status=statuses.CLEAN)
    missing = [part for part in parts if part.status != statuses.DONE]
    report.checked = sum(part.checked for part in parts)
    report.violations = sum(part.violations for part in parts)
    report.seconds = _seconds(parts)
    if missing:
        # What was found in the others is no answer for the rule.
        report.status = statuses.FAILED
        why = next((part.error for part in missing if part.error), f"Cancelled by {run.asked_by}.")
        report.error = f"{len(missing)} of {len(parts)} parts were not looked at: {why}"
        return report
    limit = conf().STORED_VIOLATIONS
    found = [_finding(rule, stored) for part in parts for stored in part.found][:limit]
    report.truncated = report.violations > limit
    if report.violations:
        report.status = statuses.VIOLATED
    records.remember(rule, run, found, looked_at=Q(), truncated=report.truncated)
    return report


def _seconds(parts: list[Part]) -> float:
    begun = min((part.begun_at for part in parts if part.begun_at), default=None)
    ended = max((part.ended_at for part in parts if part.ended_at), default=timezone.now())
    return round((ended - begun).total_seconds(), 3) if begun else 0.0


def _stored(rule: Rule, finding: Finding) -> dict[str, Any]:
    return {
        "key": rule.key_as_json(finding.key),
        "actual": as_json(finding.actual),
        "expected": as_json(finding.expected),
        "evidence": as_json(finding.evidence),
    }


def _finding(rule: Rule, stored: dict[str, Any]) -> Finding:
    return Finding(rule.key_from_json(stored["key"]), stored["actual"], stored["expected"], stored["evidence"])
