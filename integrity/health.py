"""health: how much of what is declared holds now, by severity, out of how many, and how that has changed.

Looking writes to no table that is looked at; the analysis is recorded like any other, and the trend is read from there.
What could not be looked at is never called healthy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.models import Sum
from django.utils import timezone

from integrity import statuses, watch
from integrity.enforcement.base import ENFORCED, RETIRED
from integrity.enforcement.states import state
from integrity.engine import analyze
from integrity.exceptions import EngineError, sentence
from integrity.importing.declarations import Import
from integrity.importing.protection import VALID, constraints
from integrity.models import Result, Run, Severed
from integrity.observer import Observer
from integrity.rules.base import SEVERITIES, Rule

HEALTHY, DEGRADED, NOT_CHECKED = "healthy", "degraded", "not checked"
EXIT_CODES = {HEALTHY: 0, DEGRADED: 1, NOT_CHECKED: 3}
STATUSES = {HEALTHY: statuses.CLEAN, DEGRADED: statuses.VIOLATED, NOT_CHECKED: statuses.PARTIAL}
WEIGHTS = {"error": 10, "warning": 3, "info": 0}
FORMULA = (
    "score: the mean over all checks of the share that is right, where an error weighs 10, a warning 3 and an info 0;"
    " what was not checked counts as wrong"
)
_TREND, _RECENT = 5, timedelta(days=30)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``found`` of ``of`` are wrong; None where nobody could look."""

    what: str
    severity: str
    found: int | None
    of: int | None
    note: str = ""
    trend: list[int] = field(default_factory=list)
    """What earlier looks found, the oldest first."""

    @property
    def status(self) -> str:
        """healthy, degraded or not checked; what only informs degrades nothing."""
        if self.found is None:
            return NOT_CHECKED
        return DEGRADED if self.found and self.severity != "info" else HEALTHY


@dataclass
class Health:
    """The answer."""

    run: int
    checks: list[Check] = field(default_factory=list)
    last_sweep: datetime | None = None
    """When everything that is asked for was looked at before."""

    @property
    def status(self) -> str:
        """The worst of all checks: what was not checked is worse than what is wrong."""
        found = {check.status for check in self.checks}
        return next((status for status in (NOT_CHECKED, DEGRADED) if status in found), HEALTHY)

    @property
    def exit_code(self) -> int:
        """0 healthy, 1 degraded, 3 something could not be checked."""
        return EXIT_CODES[self.status]

    @property
    def score(self) -> float | None:
        """0 to 100, see FORMULA; None where nothing that weighs was looked at."""
        weighed = [(WEIGHTS[c.severity], _share(c)) for c in self.checks if c.of or c.found is None]
        total = sum(weight for weight, _ in weighed)
        return round(100 * sum(weight * share for weight, share in weighed) / total, 1) if total else None


def health(
    rules: Sequence[Rule],
    imports: Iterable[Import] = (),
    *,
    actor: str | None = None,
    observer: Observer | None = None,
) -> Health:
    """Look at rules, at what the database should keep, at the constraints that imports need, and at the last runs."""
    imports = list(imports)
    trends = {rule.label: _trend(rule) for rule in rules}
    last = _last_sweep(rules)
    report = analyze(rules, actor=actor, observer=observer)
    found = Health(report.run, last_sweep=last)
    for rule, result in zip(rules, report.rules, strict=True):
        looked = result.status in (statuses.CLEAN, statuses.VIOLATED, statuses.RETIRED)
        violations = (result.violations or 0) if looked else None
        found.checks.append(
            Check(
                rule.label,
                rule.severity,
                violations,
                result.checked if looked else None,
                result.error or ("retired" if result.status == statuses.RETIRED else rule.because),
                trends[rule.label],
            )
        )
    found.checks += [*_enforced(rules), *_constraints(imports), *_watched(), *_imported(imports)]
    found.checks.sort(key=lambda check: SEVERITIES.index(check.severity))
    return found


def _share(check: Check) -> float:
    if check.found is None:
        return 0.0
    return 1 - min(check.found / check.of, 1) if check.of else 1.0


def _trend(rule: Rule) -> list[int]:
    looks = Result.objects.filter(
        rule=rule.label,
        database=DEFAULT_DB_ALIAS,
        run__verb=Run.Verb.ANALYZE,
        run__keys__isnull=True,
        violations__isnull=False,
    )
    latest = looks.order_by("-id").values_list("violations", flat=True)[:_TREND]
    return [count for count in latest if count is not None][::-1]


def _last_sweep(rules: Sequence[Rule]) -> datetime | None:
    """The oldest of the last looks at each rule: since then nothing has gone unseen."""
    times = []
    for rule in rules:
        seen = Run.objects.filter(
            verb=Run.Verb.ANALYZE,
            keys__isnull=True,
            results__rule=rule.label,
            results__changed__isnull=True,
            results__status__in=[statuses.CLEAN, statuses.VIOLATED, statuses.RETIRED],
        )
        times.append(seen.values_list("finished_at", flat=True).first())
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


def _enforced(rules: Sequence[Rule]) -> Iterable[Check]:
    wanted = [rule for rule in rules if rule.enforce]
    if not wanted:
        return
    try:
        lacking = [f"{rule.label} ({now})" for rule in wanted if (now := state(rule)) not in (ENFORCED, RETIRED)]
        note = ", ".join(lacking)
        yield Check("rules that the database should keep", "warning", len(lacking), len(wanted), note)
    except (DatabaseError, EngineError) as error:
        yield Check("rules that the database should keep", "warning", None, None, sentence(error))


def _constraints(imports: Sequence[Import]) -> Iterable[Check]:
    if not imports:
        return
    try:
        declared = constraints([feed for wanted in imports for feed in wanted.feeds], connections[DEFAULT_DB_ALIAS])
        lacking = [f"{one}: {one.state}" for one in declared if one.state != VALID]
        yield Check("constraints that imports stand on", "error", len(lacking), len(declared), "; ".join(lacking))
    except (DatabaseError, EngineError) as error:
        yield Check("constraints that imports stand on", "error", None, None, sentence(error))


def _watched() -> Iterable[Check]:
    try:
        states = {model._meta.db_table: watch.state(model) for model in watch.watched_models()}
        unwatched = [f"{table} ({now})" for table, now in states.items() if now != watch.WATCHING]
        yield Check("tables to watch for deletes", "info", len(unwatched), len(states), ", ".join(unwatched))
        recent = Severed.objects.filter(at__gt=timezone.now() - _RECENT)
        rows = recent.aggregate(rows=Sum("rows"))["rows"] or 0
        note = "; ".join(
            f"{s.event} of {s.rows} rows of {s.table} by {s.role} ({s.application_name})" for s in recent[:3]
        )
        yield Check("rows severed from what refers to them in 30 days", "info", rows, None, note)
    except (DatabaseError, EngineError) as error:
        yield Check("tables to watch for deletes", "info", None, None, sentence(error))


def _imported(imports: Sequence[Import]) -> Iterable[Check]:
    for wanted in imports:
        runs = Run.objects.filter(verb=Run.Verb.IMPORT, options__import=wanted.label, dry_run=False)
        last = runs.exclude(status=statuses.RUNNING).first()
        if last is None:
            yield Check(f"last import of {wanted.label}", "info", 0, None, "there was none")
            continue
        good = last.status == statuses.CLEAN
        told = f"run {last.pk}: {last.status}, {last.started_at:%Y-%m-%d %H:%M %Z}"
        yield Check(f"last import of {wanted.label}", "warning", int(not good), 1, f"{told}. {last.error}".strip(". "))


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
        "last_sweep": found.last_sweep.isoformat() if found.last_sweep else None,
        "checks": [
            {
                "what": check.what,
                "severity": check.severity,
                "status": check.status,
                "found": check.found,
                "of": check.of,
                "trend": check.trend,
                "note": check.note,
            }
            for check in found.checks
        ],
    }
