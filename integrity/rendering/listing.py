"""Lists of rules and of runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from rich.console import Console
from rich.text import Text

from integrity import statuses
from integrity.models import Result, Run, Violation
from integrity.rendering.machine import lines, list_object
from integrity.rendering.terminal import fitting, status
from integrity.reports import States, added
from integrity.rules.base import Rule
from integrity.schedules.schedule import schedule_of
from integrity.shown import show


def rule_object(rule: Rule, now: States, at: datetime | None) -> dict[str, Any]:
    """A declared rule as JSON has it. at: when it is looked at next."""
    schedule = schedule_of(rule)
    return {
        "rule": rule.label,
        "kind": rule.kind,
        "severity": rule.severity,
        "model": rule.model._meta.label,
        "tags": list(rule.tags),
        "owner": rule.owner,
        "because": rule.because,
        "repairs": list(rule.repairs),
        "enforcement": now.enforcement or None,
        "tracking": now.tracking or None,
        "every": schedule.text if schedule else None,
        "sweep": rule.sweep,
        "next": timezone.localtime(at).isoformat() if at else None,
        "automatic": rule.automatic.as_json() if rule.automatic else None,
    }


def rules_as_json(
    rules: Iterable[Rule], states: Mapping[str, States], times: Mapping[str, datetime | None], error: str
) -> str:
    """The declared rules as one object. times: of the next look at each. error: what is not known, and why."""
    told = [rule_object(rule, states[rule.label], times.get(rule.label)) for rule in rules]
    return json.dumps(list_object("rules", told, error=error), ensure_ascii=False)


def rules_as_csv(rules: Iterable[Rule], states: Mapping[str, States], times: Mapping[str, datetime | None]) -> str:
    """A line for each rule; several tags or repairs are separated by spaces."""
    rules = list(rules)
    objects = (rule_object(rule, states[rule.label], times.get(rule.label)) for rule in rules)
    rows = [told | {"automatic": str(rule.automatic or "") or None} for rule, told in zip(rules, objects, strict=True)]
    header = [
        *("rule", "kind", "severity", "model", "tags", "owner", "because", "repairs", "enforcement", "tracking"),
        *("every", "sweep", "next", "automatic"),
    ]
    return lines(header, [[" ".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows])


def run_object(run: Run) -> dict[str, Any]:
    """A run as JSON has it."""
    results = list(run.results.all())
    return {
        "run": run.pk,
        "verb": run.verb,
        "status": run.status,
        "dry_run": run.dry_run,
        "rules": [result.rule for result in results] or _put_off_for(run),
        "violations": sum(result.violations or 0 for result in results),
        "changes": _changes(run, results),
        "outcomes": _outcomes(results),
        "of": run.of_id,
        "actor": run.actor,
        "reason": run.reason,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "asked": run.asked or None,
        "asked_by": run.asked_by or None,
        "waits_for": (run.status == statuses.RUNNING and run.waits_for) or None,
        "waited": run.waited,
        "error": run.error,
    }


def _changes(run: Run, results: Iterable[Result]) -> int:
    """Those of parts are summed up when all are over."""
    if run.shared and run.status == statuses.RUNNING:
        return sum(run.parts.values_list("changes", flat=True))
    return sum(result.changes for result in results)


def _put_off_for(run: Run) -> list[str]:
    """The rules of a run that nobody has begun."""
    call = run.options.get("call", {})
    return [*call.get("rules", []), *(label for label, _ in call.get("work", []))]


def result_object(result: Result) -> dict[str, Any]:
    """What a run found, and did, for one rule."""
    return {
        "rule": result.rule,
        "status": result.status,
        "strategy": result.strategy or None,
        "checked": result.checked,
        "violations": result.violations,
        "truncated": result.truncated,
        "changes": result.changes,
        "outcomes": result.outcomes or {},
        "skipped": result.skipped,
        "changed": result.changed,
        "unnoticed": result.unnoticed,
        "seconds": result.seconds,
        "error": result.error or None,
    }


def _outcomes(results: Iterable[Result]) -> dict[str, int]:
    total: dict[str, int] = {}
    for result in results:
        total = added(total, result.outcomes or {})
    return total


def runs_as_json(runs: Iterable[Run]) -> str:
    """Runs as one object."""
    return json.dumps(list_object("runs", [], runs=[run_object(run) for run in runs]), ensure_ascii=False)


def accepted_as_json(rule: Rule, found: Violation) -> str:
    """A violation that was accepted, or of which the acceptance was taken back, as one object."""
    is_accepted = found.status == Violation.Status.ACCEPTED
    until = found.accepted_until if is_accepted else None
    answer = {
        "rule": rule.label,
        "status": str(found.status),
        "sample": [{"key": found.key, "actual": found.actual, "expected": found.expected, "evidence": found.evidence}],
        "accepted_by": found.accepted_by if is_accepted else None,
        "accepted_because": found.accepted_because if is_accepted else None,
        "accepted_until": until.isoformat() if until else None,
    }
    return json.dumps(list_object("accept", [answer]), ensure_ascii=False)


def runs_as_csv(runs: Sequence[Run]) -> str:
    """A line for each run."""
    rows = [run_object(run) for run in runs]
    header = list(run_object(Run())) if not rows else list(rows[0])
    return lines(header, [[_cell(part) for part in row.values()] for row in rows])


def _cell(part: Any) -> Any:
    return " ".join(part) if isinstance(part, list) else show(part) if isinstance(part, dict) else part


def print_runs(out: Console, runs: Sequence[Run]) -> None:
    """Runs as a table, the latest first."""
    if not runs:
        out.print("No runs yet. To begin: manage.py integrity analyze")
        return
    columns: dict[str, list[Any]] = {
        "run": [run.pk for run in runs],
        "verb": [_verb(run) for run in runs],
        "status": [_status(run) for run in runs],
        "rules": [_rules(run_object(run)["rules"]) for run in runs],
        "violations": [f"{run_object(run)['violations']:,}" for run in runs],
        "changes": [f"{run_object(run)['changes']:,}" for run in runs],
        "started": [timezone.localtime(run.started_at).strftime("%Y-%m-%d %H:%M") for run in runs],
        "lasted": [_lasted(run) for run in runs],
        "actor": [run.actor for run in runs],
        "reason": [run.reason or "-" for run in runs],
    }
    if not any(run.reason for run in runs):
        del columns["reason"]
    right = ["run", "violations", "changes", "lasted"]
    out.print(fitting(out, columns, right=right, least=["lasted", "actor", "started", "reason"]))


def _status(run: Run) -> Text:
    """With what is in its way, where it is at work."""
    told = status(run.status)
    if run.status == statuses.RUNNING and run.waits_for:
        told.append(f", waits: {run.waits_for}")
    return told


def _verb(run: Run) -> str:
    return run.verb + (" (dry run)" if run.dry_run else "") + (f" of {run.of_id}" if run.of_id else "")


def _rules(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} rules"


def _lasted(run: Run) -> str:
    return f"{(run.finished_at - run.started_at).total_seconds():.1f} s" if run.finished_at else "-"
