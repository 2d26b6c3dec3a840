"""Looking at one rule: what breaks it, how many, out of how many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, transaction

from integrity import deadline, statuses
from integrity.conf import conf
from integrity.exceptions import NotChecked
from integrity.keys import Key
from integrity.repairing.planner import hashing
from integrity.reports import Finding, RuleReport, Suspect
from integrity.rules.base import Rule
from integrity.rules.comparison import Tolerance, differs
from integrity.rules.derived import Derived
from integrity.schema import missing_tables
from integrity.scope import Scope
from integrity.statement import Part, Statement, compose, fetch, from_queryset, joined, name, value

_ALL = Statement("v.*")


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
        deadline.bound(connections[using])
        plan_as(rule, cursor)
        rows = fetch(connections[using], _counted(rule, scope, using, limit))
        suspects = rule.suspected(scope, using, limit)
        if suspects is not None:
            with hashing(connections[using]):
                found = fetch(connections[using], suspects)
            report.suspects = found[0]["suspects"] if found else 0
            report.suspected = [_suspect(row) for row in found]
    counts = {sort: rows[0][f"count__{sort}"] or 0 for sort in rule.counts()}
    report.checked = rule.total(rows[0]["checked"], counts)
    report.violations = rows[0]["violations"] or 0
    if counts:
        report.counts = {"identical": report.checked - report.violations, **counts}
    report.sample = findings(rule, rows) if report.violations else []
    report.truncated = report.violations > limit
    report.status = statuses.VIOLATED if report.violations else statuses.CLEAN


def _suspect(row: dict[str, Any]) -> Suspect:
    told = {column.removeprefix("told__"): held for column, held in row.items() if column.startswith("told__")}
    ids = {column.removeprefix("ids__"): held for column, held in row.items() if column.startswith("ids__")}
    return Suspect(told, ids, row["rows"])


def plan_as(rule: Rule, cursor: Any) -> None:
    """What the rule asks of the planner, until the transaction ends."""
    for setting, value_ in rule.planner.items():
        cursor.execute("SELECT set_config(%s, %s, true)", [setting, value_])


def _counted(rule: Rule, scope: Scope, using: str, limit: int, columns: Part = _ALL) -> Statement:
    """Population, exact count and the lowest keys in one statement, and so of one moment."""
    return compose(
        "SELECT checked.checked, found.* FROM ({population}) AS checked LEFT JOIN ("
        "SELECT count(*) OVER () AS violations, {sorts} {columns} FROM ({violations}) AS v ORDER BY {key} LIMIT {limit}"
        ") AS found ON true",
        sorts=joined("", (compose("{sort}, ", sort=sort) for sort in _sorts(rule))),
        columns=columns,
        population=rule.population(scope, using),
        violations=rule.violations(scope, using),
        key=joined(", ", (name("v", f"key__{key.name}") for key in rule.key_fields)),
        limit=value(limit),
    )


def _sorts(rule: Rule) -> list[Statement]:
    return [
        compose("count(*) FILTER (WHERE {condition}) OVER () AS {count}", condition=c, count=name(f"count__{sort}"))
        for sort, c in rule.counts().items()
    ]


def finding(rule: Rule, row: dict[str, object]) -> Finding:
    """A row of ``Rule.violations()`` as a finding."""
    return findings(rule, [row])[0]


def findings(rule: Rule, rows: Sequence[dict[str, object]]) -> list[Finding]:
    """Rows of one statement, which have the same columns."""
    columns = list(rows[0]) if rows else []
    keys = [f"key__{key.name}" for key in rule.key_fields]
    actual, expected, evidence = (
        [(column, column.removeprefix(prefix)) for column in columns if column.startswith(prefix)]
        for prefix in ("actual__", "expected__", "evidence__")
    )
    return [
        rule.told(
            Finding(
                tuple(row[key] for key in keys),
                {held: row[column] for column, held in actual},
                {held: row[column] for column, held in expected},
                {held: row[column] for column, held in evidence},
            )
        )
        for row in rows
    ]


def keys_in(rule: Rule, scope: Scope, using: str, limit: int) -> tuple[list[Key], int, int]:
    """The lowest keys that break a rule, how many break it, and out of how many."""
    columns = [name("v", f"key__{key.name}") for key in rule.key_fields]
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        deadline.bound(connections[using])
        plan_as(rule, cursor)
        rows = fetch(connections[using], _counted(rule, scope, using, limit, columns=joined(", ", columns)))
    parts = [f"key__{key.name}" for key in rule.key_fields]
    keys = [tuple(row[part] for part in parts) for row in rows if row["violations"]]
    counts = {sort: rows[0][f"count__{sort}"] or 0 for sort in rule.counts()}
    return keys, rows[0]["violations"] or 0, rule.total(rows[0]["checked"], counts)


def cuts(rule: Rule, scope: Scope, using: str, size: int) -> tuple[list[Key], int, int]:
    """Every so many-th of the keys that break a rule, how many break it, and out of how many."""
    keys = joined(", ", (name("v", f"key__{key.name}") for key in rule.key_fields))
    statement = compose(
        "SELECT checked.checked, found.* FROM ({population}) AS checked LEFT JOIN (SELECT * FROM ("
        "SELECT {keys}, row_number() OVER (ORDER BY {keys}) AS place, count(*) OVER () AS violations, {sorts}"
        " FROM ({violations}) AS v) AS v WHERE place %% {size} = 0 OR place = violations ORDER BY place"
        ") AS found ON true",
        keys=keys,
        sorts=joined(", ", _sorts(rule)) if rule.counts() else Statement("0 AS sorts"),
        population=rule.population(scope, using),
        violations=rule.violations(scope, using),
        size=value(size),
    )
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        plan_as(rule, cursor)
        rows = fetch(connections[using], statement)
    parts = [f"key__{key.name}" for key in rule.key_fields]
    counts = {sort: rows[0][f"count__{sort}"] or 0 for sort in rule.counts()}
    found = [row for row in rows if row["violations"]]
    # The last part goes on to the end of the table: who breaks the rule there by then is repaired as well.
    between = [tuple(row[part] for part in parts) for row in found[:-1]]
    return between, rows[0]["violations"] or 0, rule.total(rows[0]["checked"], counts)


def row_cuts(rule: Rule, using: str, size: int) -> tuple[list[Key], int]:
    """Every so many-th key of the rows that a rule speaks about, and how many rows there are."""
    keys = [key.name for key in rule.key_fields]
    rows = rule.model._base_manager.using(using).order_by()
    rows = (rows.filter(rule.where) if rule.where else rows).values_list(*keys)
    selected = joined(", ", (name(str(key.column)) for key in rule.key_fields))
    statement = compose(
        "SELECT * FROM (SELECT r.*, row_number() OVER (ORDER BY {keys}) AS place, count(*) OVER () AS rows"
        " FROM ({rows}) AS r) AS r WHERE place %% {size} = 0 OR place = rows ORDER BY place",
        keys=selected,
        rows=from_queryset(rows, using),
        size=value(size),
    )
    found = fetch(connections[using], statement)
    total = found[-1]["rows"] if found else 0
    return [tuple(list(row.values())[: len(keys)]) for row in found[:-1]], total


def keys_beyond(rule: Derived, least: Tolerance, scope: Scope, using: str) -> list[Key]:
    """Keys whose difference is more than ``least``, or has no size because of a NULL or NaN."""
    larger = joined(" OR ", (differs(rule.field(column), least) for column in rule.equals))
    statement = compose(
        "SELECT {keys} FROM ({violations}) AS d WHERE {larger} ORDER BY {keys}",
        keys=joined(", ", (name("d", f"key__{key.name}") for key in rule.key_fields)),
        violations=rule.violations(scope, using),
        larger=larger,
    )
    return [tuple(row.values()) for row in fetch(connections[using], statement)]
