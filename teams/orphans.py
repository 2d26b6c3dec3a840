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
from teams.numbers import remember_numbers
from teams.pointing import POINTERS

STRATEGIES = ("relink", "nullify", "quarantine")
CANNOT = "{rule}: the number cannot be taken out of its rows; relink them, or move them into quarantine."


def fix_orphans(
    strategy: str = STRATEGIES[0], *, limit: int = 20, observer: Observer | None = None, **options: Any
) -> Report:
    """Repair every column that points at a team, in one run that can be undone. Options are those of `repair`.

    What the strategy cannot cure stays and is reported, with what it may mean. Raises UsageError for an unknown
    strategy.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"--strategy {strategy!r} is unknown. Known: {', '.join(STRATEGIES)}.")
    rules = [registry.get(pointer.rule) for pointer in POINTERS]
    work = [(rule, strategy) for rule in rules if strategy in rule.repairs]
    report = repair(work, sample=limit, observer=observer, **options)
    others = [rule for rule in rules if strategy not in rule.repairs]
    if others:
        for looked_at in analyze(others, sample=limit).rules:
            if looked_at.violations:
                looked_at.notes.append(CANNOT.format(rule=looked_at.rule))
            report.rules.append(looked_at)
    if not report.dry_run:
        remember_numbers()
    return report
