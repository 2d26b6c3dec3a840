"""Violations of each app by day, from what was found when; a day without a look has what was known before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone

from integrity.rules.base import Rule
from integrity.statement import compose, fetch, value

DAYS = 30

# The last look of each rule and day in one pass: the greatest pair of its number and what it found.
_BY_DAY = """
    SELECT r.rule, (max(ARRAY[r.id, r.violations]))[2] AS violations, (u.started_at AT TIME ZONE {zone})::date AS day
    FROM integrity_run AS u JOIN integrity_result AS r ON r.run_id = u.id
    WHERE u.started_at >= {begin} AND r.database = {database} AND r.violations IS NOT NULL
        AND u.verb = 'analyze' AND u.keys IS NULL
    GROUP BY r.rule, day
"""
_BEFORE = """
    SELECT w.rule, l.violations, NULL::date AS day
    FROM unnest({rules}::text[]) AS w (rule) CROSS JOIN LATERAL (
        SELECT r.violations FROM integrity_result AS r JOIN integrity_run AS u ON u.id = r.run_id
        WHERE r.rule BETWEEN w.rule AND w.rule AND r.database = {database} AND u.started_at < {begin}
            AND r.violations IS NOT NULL AND u.verb = 'analyze' AND u.keys IS NULL ORDER BY r.rule, r.id DESC LIMIT 1
    ) AS l
"""


@dataclass(frozen=True)
class Series:
    """The violations of one app, a number for each day; None before anybody had looked."""

    app: str
    counts: list[int | None]


@dataclass(frozen=True)
class History:
    """Days that follow each other, the last of which is today, and what was known at the end of each."""

    days: list[date]
    series: list[Series]

    @property
    def total(self) -> list[int]:
        return [sum(one.counts[at] or 0 for one in self.series) for at in range(len(self.days))]


def history(rules: Iterable[Rule], *, days: int = DAYS, using: str = DEFAULT_DB_ALIAS) -> History:
    """What was known of each app at the end of each of the last days: one query."""
    rules = list(rules)
    today = timezone.localdate()
    shown = [today - timedelta(days=back) for back in reversed(range(days))]
    begin = timezone.make_aware(datetime.combine(shown[0], time()))
    parts = {
        "rules": value([rule.label for rule in rules]),
        "database": value(using),
        "begin": value(begin),
        "zone": value(timezone.get_current_timezone_name()),
    }
    rows = fetch(
        connections[DEFAULT_DB_ALIAS],
        compose("({by_day}) UNION ALL ({before})", by_day=compose(_BY_DAY, **parts), before=compose(_BEFORE, **parts)),
    )
    found = {(row["rule"], row["day"]): row["violations"] for row in rows}
    apps: dict[str, list[list[int | None]]] = {}
    for rule in rules:
        apps.setdefault(rule.app, []).append(_carried(rule.label, shown, found))
    return History(shown, [Series(app, [_sum(day) for day in zip(*known, strict=True)]) for app, known in apps.items()])


def _carried(label: str, days: list[date], found: dict[tuple[str, date | None], int]) -> list[int | None]:
    known = found.get((label, None))
    counts = []
    for day in days:
        known = found.get((label, day), known)
        counts.append(known)
    return counts


def _sum(known: tuple[int | None, ...]) -> int | None:
    counted = [count for count in known if count is not None]
    return sum(counted) if counted else None
