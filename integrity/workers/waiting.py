"""Waiting for a run that others perform, and what its records say when it is over."""

from __future__ import annotations

import time

from integrity import statuses
from integrity.models import Result, Run, Violation
from integrity.observer import Observer
from integrity.registry import registry
from integrity.reports import Finding, Report, RuleReport
from integrity.workers.progress import Progress, progress

POLL_SECONDS = 0.5
NOBODY = "no worker has taken it yet; to start one: manage.py integrity work"


def wait_for(run: Run, observer: Observer, *, sample: int = 20) -> Report:
    """Come back when a run is over, and tell meanwhile how far it is."""
    told: Progress | None = None
    while True:
        now = progress(run)
        if now.status not in (statuses.QUEUED, statuses.RUNNING):
            return report_of(run, sample=sample)
        _tell(run, told, now, observer)
        told = now
        time.sleep(POLL_SECONDS)


def _tell(run: Run, before: Progress | None, now: Progress, observer: Observer) -> None:
    if before is None or (before.total, before.unit) != (now.total, now.unit):
        observer.begins(f"{run.verb} ({now.unit})", now.total)
        before = None
    observer.advances(run.verb, now.done - (before.done if before else 0))
    idle = now.status == statuses.QUEUED or (now.parts and not now.workers)
    observer.waits(now.waits_for or (NOBODY if idle else ""))


def report_of(run: Run, *, sample: int = 20) -> Report:
    """A run as its records have it; ``sample``: how many of the violations that it found are shown for each rule."""
    report = Report(run.pk, run.verb, dry_run=run.dry_run, error=run.error)
    report.rules = [_of_rule(run, result, sample) for result in run.results.all()]
    if not report.rules:
        report.rules = [RuleReport(run.verb, status=run.status, error=run.error)]
    return report


def _of_rule(run: Run, result: Result, sample: int) -> RuleReport:
    told = RuleReport(
        result.rule,
        status=result.status,
        checked=result.checked,
        violations=result.violations,
        seconds=result.seconds,
        truncated=result.truncated,
        changed=result.changed,
        unnoticed=result.unnoticed,
        strategy=result.strategy,
        changes=result.changes,
        outcomes=result.outcomes or {},
        waited=run.waited,
        skipped=result.skipped,
        error=result.error,
    )
    rule = registry.get(result.rule)
    seen = Violation.objects.filter(run=run, rule=result.rule, status=Violation.Status.OPEN).order_by("id")
    told.sample = [
        Finding(rule.key_from_json(one.key), _values(one.actual), _values(one.expected), one.evidence)
        for one in seen[:sample]
    ]
    return told


def _values(stored: object) -> dict[str, object]:
    return stored if isinstance(stored, dict) else {}
