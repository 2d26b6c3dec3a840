"""The verbs: plain functions that every door calls. Long ones have a file of their own (repair.py, undo.py)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.models import Q

from integrity import records, statuses
from integrity.conf import conf
from integrity.exceptions import IntegrityError, NotChecked
from integrity.keys import Key
from integrity.models import Run
from integrity.observer import Observer
from integrity.registry import registry
from integrity.reports import Finding, Report, RuleReport
from integrity.rules.base import Rule
from integrity.schema import missing_tables
from integrity.scope import Scope
from integrity.statement import Statement, compose, fetch, joined, name, value


def analyze(
    rules: Iterable[Rule] | None = None,
    *,
    keys: Sequence[Key] | None = None,
    using: str = DEFAULT_DB_ALIAS,
    actor: str | None = None,
    sample: int = 20,
    observer: Observer | None = None,
) -> Report:
    """Look at rules, one statement each in a read-only transaction of its own; an error in one leaves the others.

    keys: only these keys, which then belong to every rule given. sample: how many findings a report holds per rule.
    Records go to the default database; ``using`` may be a standby.
    """
    observer = observer or Observer()
    chosen = list(registry if rules is None else rules)
    run = records.open_run(Run.Verb.ANALYZE, database=using, actor=actor, keys=_stored(chosen, keys))
    report = Report(run.pk, run.verb)
    observer.begins("analyze", len(chosen))
    for rule in chosen:
        report.rules.append(_analyze_one(rule, run, Scope.of(keys), sample))
        observer.advances(rule.label)
    records.close_run(run, report.status)
    return report


def _analyze_one(rule: Rule, run: Run, scope: Scope, sample: int) -> RuleReport:
    report = RuleReport(rule.label)
    started = time.perf_counter()
    try:
        accepted = records.accepted_keys(rule, run.database)
        report.accepted = len(accepted)
        look(rule, Scope(keys=scope.keys, without=accepted), run.database, report)
    except (DatabaseError, IntegrityError) as error:
        report.status, report.error = statuses.FAILED, sentence(error)
    report.seconds = round(time.perf_counter() - started, 3)
    if report.status in (statuses.CLEAN, statuses.VIOLATED):
        looked_at = Q() if scope.keys is None else Q(key__in=[rule.key_as_json(key) for key in scope.keys])
        report.new, report.resolved = records.remember(
            rule, run, report.sample, looked_at=looked_at, truncated=report.truncated
        )
    report.sample = report.sample[:sample]
    records.save_result(run, report)
    return report


def look(rule: Rule, scope: Scope, using: str, report: RuleReport) -> None:
    """Fill a report with what a rule finds in scope: exact counts and the lowest keys."""
    gone = missing_tables(rule, using)
    if gone and rule.while_exists:
        report.status = statuses.RETIRED
        return
    if gone:
        raise NotChecked(f"{rule.label} needs the table {gone[0]}, which is not there. Run: manage.py migrate")
    limit = conf().STORED_VIOLATIONS
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        rows = fetch(connections[using], _counted(rule, scope, using, limit))
    report.checked = rows[0]["checked"]
    report.violations = rows[0]["violations"] or 0
    report.sample = [finding(rule, row) for row in rows if row["violations"]]
    report.truncated = report.violations > limit
    report.status = statuses.VIOLATED if report.violations else statuses.CLEAN


def _counted(rule: Rule, scope: Scope, using: str, limit: int) -> Statement:
    """Population, exact count and the lowest keys in one statement, and so of one moment."""
    return compose(
        "SELECT checked.checked, found.* FROM ({population}) AS checked LEFT JOIN ("
        "SELECT count(*) OVER () AS violations, v.* FROM ({violations}) AS v ORDER BY {key} LIMIT {limit}"
        ") AS found ON true",
        population=rule.population(scope, using),
        violations=rule.violations(scope, using),
        key=joined(", ", (name("v", f"key__{key.name}") for key in rule.key_fields)),
        limit=value(limit),
    )


def finding(rule: Rule, row: dict[str, object]) -> Finding:
    """A row of ``Rule.violations()`` as a finding."""

    def part(prefix: str) -> dict[str, object]:
        return {column.removeprefix(prefix): held for column, held in row.items() if column.startswith(prefix)}

    key = tuple(row[f"key__{key.name}"] for key in rule.key_fields)
    return Finding(key, part("actual__"), part("expected__"), part("evidence__"))


def sentence(error: Exception) -> str:
    """The first line of an error, for records and terminals."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def _stored(rules: Sequence[Rule], keys: Sequence[Key] | None) -> list[dict[str, object]] | None:
    return None if keys is None or not rules else [rules[0].key_as_json(key) for key in keys]
