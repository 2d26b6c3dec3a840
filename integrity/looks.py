"""The last looks at rules, from the records: of whole tables in the default database, whoever asked for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Count, Q
from django.utils import timezone

from integrity import statuses
from integrity.models import Result, Run, Violation
from integrity.rules.base import Rule
from integrity.statement import Statement, compose, fetch, joined, name, value

LOOKED = (statuses.CLEAN, statuses.VIOLATED, statuses.RETIRED)
"""Statuses of a result that tells how the rule stands."""

# Those whose process died have no result of the rule that they were at, and so are no looks. BETWEEN, and the rule in
# the order, leave the planner the index by rule alone: by id it would pass over the looks at all other rules since.
_LATEST = """
    LEFT JOIN LATERAL (
        SELECT r.run_id, u.started_at, r.status, r.violations, r.checked, r.changed, r.truncated, r.seconds, r.error
        FROM {results} AS r JOIN {runs} AS u ON u.id = r.run_id
        WHERE r.rule BETWEEN w.rule AND w.rule AND r.database = {database} AND r.status <> ALL({unended})
            AND u.verb = {analyze} AND u.keys IS NULL{only}
        ORDER BY r.rule, r.id DESC LIMIT 1
    ) AS {alias} ON true
"""
# What an undo has brought back since the last look is no more known than what was never looked at.
_PUT_BACK = """
    LEFT JOIN LATERAL (
        SELECT r.run_id, u.verb FROM {results} AS r JOIN {runs} AS u ON u.id = r.run_id
        WHERE r.rule BETWEEN w.rule AND w.rule AND r.database = {database} AND r.status <> ALL({unended})
            AND u.keys IS NULL AND NOT u.dry_run AND (u.verb = {analyze} OR u.verb = {undo} AND r.changes > 0)
        ORDER BY r.rule, r.id DESC LIMIT 1
    ) AS put_back ON true
"""
_SORTS = {
    "attempt": Statement(""),
    "look": Statement(" AND r.status = ANY(%s)", (list(LOOKED),)),
    "sweep": Statement(" AND r.status = ANY(%s) AND r.changed IS NULL", (list(LOOKED),)),
}
_COLUMNS = ("run_id", "started_at", "status", "violations", "checked", "changed", "truncated", "seconds", "error")


@dataclass(frozen=True)
class Look:
    """One look at a rule. ``violations`` of ``checked`` were wrong; None where it could not be looked at."""

    run: int
    at: datetime
    """When the run began: what was committed later may not have been seen."""
    status: str
    violations: int | None
    checked: int | None
    changed: int | None
    """How many keys were looked at because they had changed; None for a look at everything."""
    truncated: bool
    seconds: float | None
    error: str


@dataclass(frozen=True)
class Looks:
    """The last looks at one rule; None where there was none."""

    attempt: Look | None = None
    """Whatever came of it."""
    look: Look | None = None
    """One that tells how the rule stands, at everything or at what had changed."""
    sweep: Look | None = None
    """One at everything."""
    open: int = 0
    """Violations that are stored as open: the look's, less what was repaired or accepted since."""
    put_back: int | None = None
    """The run that has put rows back since, by undoing another."""

    @property
    def why(self) -> str:
        """Why nobody knows how the rule stands; empty where somebody does."""
        if self.attempt is None:
            return "it was never looked at"
        if self.attempt.status not in LOOKED:
            return self.attempt.error or f"the look of run {self.attempt.run} ended as {self.attempt.status}"
        return f"run {self.put_back} has put rows back since the last look" if self.put_back else ""

    @property
    def violations(self) -> int | None:
        """How many are known of now."""
        if self.look is None:
            return None
        if self.look.status == statuses.RETIRED:
            return 0
        found = self.look.violations or 0
        return found if self.look.truncated else self.open

    @property
    def checked(self) -> int | None:
        """Out of how many: what a look at changes has not counted, the last one at everything has."""
        counted = self.look if self.look is None or self.look.changed is None else self.sweep
        return counted.checked if counted else None


NEVER = Looks()


def last_looks(rules: Iterable[Rule]) -> dict[str, Looks]:
    """By label, of each rule; two statements, whatever the number of rules and of records."""
    labels = [rule.label for rule in rules]
    if not labels:
        return {}
    rows = fetch(connections[DEFAULT_DB_ALIAS], _statement(labels))
    known = _open(labels)
    return {
        row["rule"]: Looks(
            **{sort: _look(row, sort) for sort in _SORTS},
            open=known.get(row["rule"], 0),
            put_back=row["put_back"],
        )
        for row in rows
    }


def _statement(labels: list[str]) -> Statement:
    columns = [
        compose("{column} AS {told}", column=name(sort, column), told=name(f"{sort}__{column}"))
        for sort in _SORTS
        for column in _COLUMNS
    ]
    laterals = [*(_lateral(_LATEST, only, sort) for sort, only in _SORTS.items()), _lateral(_PUT_BACK)]
    return compose(
        "SELECT w.rule, {columns}, CASE WHEN put_back.verb = {undo} THEN put_back.run_id END AS put_back"
        " FROM unnest({labels}::text[]) AS w (rule) {laterals}",
        undo=value(str(Run.Verb.UNDO)),
        columns=joined(", ", columns),
        labels=value(labels),
        laterals=joined(" ", laterals),
    )


def _lateral(template: str, only: Statement | None = None, alias: str = "put_back") -> Statement:
    return compose(
        template,
        results=name(Result._meta.db_table),
        runs=name(Run._meta.db_table),
        database=value(DEFAULT_DB_ALIAS),
        unended=value([statuses.QUEUED, statuses.RUNNING]),
        analyze=value(str(Run.Verb.ANALYZE)),
        undo=value(str(Run.Verb.UNDO)),
        only=only or Statement(""),
        alias=name(alias),
    )


def _look(row: Mapping[str, Any], sort: str) -> Look | None:
    run, *rest = (row[f"{sort}__{column}"] for column in _COLUMNS)
    return None if run is None else Look(run, *rest)


def _open(labels: list[str]) -> dict[str, int]:
    now = timezone.now()
    still = Q(status=Violation.Status.OPEN) | Q(status=Violation.Status.ACCEPTED, accepted_until__lte=now)
    found = Violation.objects.filter(still, rule__in=labels, database=DEFAULT_DB_ALIAS).order_by()
    return dict(found.values_list("rule").annotate(number=Count("id")))
