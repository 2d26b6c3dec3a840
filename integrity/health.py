"""health: how much of what is declared holds, by severity and app, out of how many, and how that has changed.

Looking writes to no table that is looked at; the analysis is recorded like any other, and all that is told is read from
there. What could not be looked at, or was not in time, is never called healthy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from integrity import health_checks, statuses
from integrity.checkup import (
    DEGRADED,
    EXIT_CODES,
    FORMULA,
    HEALTHY,
    NOT_CHECKED,
    STATUSES,
    WEIGHTS,
    AppHealth,
    Check,
    Enforced,
    Health,
    oldest,
)
from integrity.engine import analyze
from integrity.importing.declarations import Import
from integrity.looks import Looks, last_looks
from integrity.observer import Observer
from integrity.rules.base import SEVERITIES, Rule
from integrity.schedules.overdue import LOOK, Overdue, overdue
from integrity.trend import latest, outlook

__all__ = [
    "DEGRADED",
    "EXIT_CODES",
    "FORMULA",
    "HEALTHY",
    "NOT_CHECKED",
    "STATUSES",
    "WEIGHTS",
    "AppHealth",
    "Check",
    "Enforced",
    "Health",
    "as_object",
    "health",
    "recorded_health",
]

_TREND = 5


def health(
    rules: Sequence[Rule],
    imports: Iterable[Import] = (),
    *,
    actor: str | None = None,
    observer: Observer | None = None,
) -> Health:
    """Look at rules, at what the database should keep, at the constraints that imports need, and at the last runs."""
    before = last_looks(rules)
    # What was never looked at is now, and nobody knows since when it should have been.
    late = [one for one in overdue(rules=rules, looks=before) if one.last is not None]
    report = analyze(rules, actor=actor, observer=observer)
    found = _told(rules, list(imports), last_looks(rules), late)
    found.run = report.run
    found.last_sweep = _last_sweep(before)
    return found


def recorded_health(rules: Sequence[Rule], imports: Iterable[Import] = (), *, now: datetime | None = None) -> Health:
    """The same from the records alone: no rule is looked at. What is known of a rule is what its last look found, less
    what was repaired or accepted since; a look that its schedule has left behind counts as none. A sweep that is
    overdue degrades, as looks at what has changed go on.
    """
    looks = last_looks(rules)
    late = overdue(now, rules=rules, looks=looks)
    found = _told(
        rules, list(imports), looks, late, stale={one.rule.label: one.why for one in late if one.what == LOOK}
    )
    found.last_sweep = _last_sweep(looks)
    return found


def _told(
    rules: Sequence[Rule],
    imports: Sequence[Import],
    looks: Mapping[str, Looks],
    late: Sequence[Overdue],
    stale: Mapping[str, str] | None = None,
) -> Health:
    points = latest(rules)
    found = Health(None)
    for rule in rules:
        seen = looks[rule.label]
        why = (stale or {}).get(rule.label) or seen.why
        note = why or (rule.because if seen.look and seen.look.status != statuses.RETIRED else "retired")
        found.checks.append(
            Check(
                rule.label,
                rule.severity,
                None if why else seen.violations,
                None if why else seen.checked,
                note,
                [point.violations for point in points[rule.label][-_TREND - 1 : -1]],
                app=rule.app,
                rule=rule.label,
                looked=seen.look.at if seen.look else None,
                sweep=seen.sweep.at if seen.sweep else None,
                forecast=outlook(rule, points[rule.label]),
            )
        )
    for check, state in health_checks.enforced(rules):
        found.checks.append(check)
        found.enforced[check.app] = state
    found.checks += health_checks.others(rules, imports, late, looks)
    found.checks.sort(key=lambda check: SEVERITIES.index(check.severity))
    return found


def _last_sweep(looks: Mapping[str, Looks]) -> datetime | None:
    """The oldest of the last looks at each rule: since then nothing has gone unseen."""
    return oldest(seen.sweep.at if seen.sweep else None for seen in looks.values())


def as_object(found: Health) -> dict[str, Any]:
    """Health as JSON has it."""
    return {
        "run": found.run,
        "verb": "health",
        "status": STATUSES[found.status],
        "rules": [],
        "changes": 0,
        "health": found.status,
        "score": found.score,
        "formula": FORMULA,
        "last_sweep": _time(found.last_sweep),
        "apps": [
            {
                "app": one.app,
                "health": one.status,
                "score": one.score,
                "violations": one.violations,
                "last_sweep": _time(one.sweep),
                "enforced": {"installed": one.enforced.installed, "declared": one.enforced.declared},
            }
            for one in found.apps
        ],
        "checks": [_check_object(check) for check in found.checks],
    }


def _check_object(check: Check) -> dict[str, Any]:
    ahead = check.forecast
    return {
        "what": check.what,
        "severity": check.severity,
        "status": check.status,
        "found": check.found,
        "of": check.of,
        "trend": check.trend,
        "note": check.note,
        "app": check.app or None,
        "rule": check.rule or None,
        "looked": _time(check.looked),
        "last_sweep": _time(check.sweep),
        "forecast": {"what": ahead.what, "bound": ahead.bound, "at": _time(ahead.at)} if ahead else None,
    }


def _time(at: datetime | None) -> str | None:
    return timezone.localtime(at).isoformat() if at else None
