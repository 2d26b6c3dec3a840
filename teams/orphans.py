"""fix_orphans: point what leads nowhere at its team; only where somebody says so, forget the number or move the row.

No strategy deletes what a member wrote: a row in quarantine is kept whole and can be restored.
"""

from typing import Any

from integrity.engine import analyze
from integrity.exceptions import UsageError
from integrity.observer import Observer
from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import Report
from integrity.rules.base import Rule
from integrity.statuses import FAILED, REFUSED
from teams.numbers import remember_numbers
from teams.pointing import POINTERS

RELINK, NULLIFY, QUARANTINE = STRATEGIES = ("relink", "nullify", "quarantine")
UNFINISHED = (FAILED, REFUSED)
CANNOT = "{rule}: the number cannot be taken out of its rows; relink them, or move them into quarantine."


def fix_orphans(strategy: str = RELINK, *, limit: int = 20, observer: Observer | None = None, **options: Any) -> Report:
    """Repair every column that points at a team, in runs that can be undone, mostly one. Options are those of `repair`.

    What the strategy cannot cure stays and is reported, with what it may mean. Raises UsageError for an unknown
    strategy.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"--strategy {strategy!r} is unknown. Known: {', '.join(STRATEGIES)}.")
    rules = [registry.get(pointer.rule) for pointer in POINTERS]
    work = [(rule, strategy) for rule in rules if strategy in rule.repairs]
    first, *more = _runs(work)
    report = repair(first, sample=limit, observer=observer, **options)
    for part in more:
        if report.status not in UNFINISHED:
            _add(report, repair(part, sample=limit, observer=observer, **options))
    others = [rule for rule in rules if strategy not in rule.repairs]
    if others:
        _add_uncured(report, analyze(others, sample=limit))
    if not report.dry_run and report.status not in UNFINISHED:
        remember_numbers()
    return report


def _runs(work: list[tuple[Rule, str]]) -> list[list[tuple[Rule, str]]]:
    """What one run can do: where rows go, two rules of one table look at each other's."""
    if work[0][1] != QUARANTINE:
        return [work]
    first = {rule.model: rule for rule, _ in reversed(work)}
    second = [(rule, strategy) for rule, strategy in work if first[rule.model] is not rule]
    return [[(rule, strategy) for rule, strategy in work if first[rule.model] is rule], second]


def _add(report: Report, other: Report) -> None:
    """Another run as a part of this report, which says how to take it back."""
    for rule in other.rules:
        if rule.changes and not other.dry_run:
            rule.notes.append(f"{rule.rule}: run {other.run}. To take it back: manage.py integrity undo {other.run}")
        report.rules.append(rule)


def _add_uncured(report: Report, looked_at: Report) -> None:
    for rule in looked_at.rules:
        if rule.violations:
            rule.notes.append(CANNOT.format(rule=rule.rule))
        report.rules.append(rule)
