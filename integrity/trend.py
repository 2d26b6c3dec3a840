"""How many rows have broken a rule from look to look, and when a bound will be passed if it goes on like that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from statistics import median
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone

from integrity import statuses
from integrity.limits import Limit
from integrity.models import Result, Run
from integrity.rules.base import Rule
from integrity.rules.bounded import Bounded
from integrity.statement import Statement, compose, fetch, name, value

LAST = 60
"""How many looks a forecast reads at most."""
FEWEST = 5
"""From fewer looks nothing is forecast."""
REACH = 10
"""Nothing is forecast farther ahead than so many times the time between the first look and the last."""

_LOOKS = """
    SELECT r.id, r.rule, u.started_at AS at, r.violations,
    CASE WHEN r.changed IS NULL THEN r.checked END AS checked FROM {results} AS r JOIN {runs} AS u
    ON u.id = r.run_id WHERE {rule} AND r.database = {database} AND r.violations IS NOT NULL
    AND r.status = ANY({looked}) AND u.verb = {analyze} AND u.keys IS NULL{only}
"""


class Point(NamedTuple):
    """One look at everything, or at what had changed, which answers for everything."""

    at: datetime
    violations: int
    checked: int | None
    """None for a look at what had changed, which does not count the others."""


@dataclass(frozen=True)
class Forecast:
    """``bound`` will be passed by the ``what`` at that time, if it goes on as it did."""

    bound: int
    at: datetime
    what: str

    def __str__(self) -> str:
        return f"at this rate the {self.what} pass {self.bound:,} on {timezone.localtime(self.at):%Y-%m-%d}"


def latest(rules: Iterable[Rule], number: int = LAST) -> dict[str, list[Point]]:
    """The last looks at each rule by label, the oldest first; one statement."""
    # As in looks.py: the planner is left the index by rule alone.
    looks = _looks(Statement("r.rule BETWEEN w.rule AND w.rule"), Statement(""))
    labels = [rule.label for rule in rules]
    statement = compose(
        "SELECT w.rule, l.at, l.violations, l.checked FROM unnest({labels}::text[]) AS w (rule)"
        " CROSS JOIN LATERAL ({looks} ORDER BY r.rule, r.id DESC LIMIT {number}) AS l ORDER BY l.id",
        labels=value(labels),
        looks=looks,
        number=value(number),
    )
    return _by_label(labels, statement)


def trend(rule: Rule, since: datetime, *, points: int = LAST) -> list[Point]:
    """What the looks at a rule have found since then, the oldest first: of each ``points``-th of the time the last."""
    return trends([rule], since, points=points)[rule.label]


def trends(rules: Iterable[Rule], since: datetime, *, points: int = LAST) -> dict[str, list[Point]]:
    """The same of several rules by label; one statement."""
    labels = [rule.label for rule in rules]
    width = max((timezone.now() - since) / points, timedelta(seconds=1))
    statement = compose(
        "SELECT DISTINCT ON (rule, piece) * FROM ("
        "SELECT l.*, floor(extract(epoch FROM l.at - {since}) / {width}) AS piece FROM ({looks}) AS l"
        ") AS p ORDER BY rule, piece, id DESC",
        since=value(since),
        width=value(width.total_seconds()),
        looks=_looks(
            compose("r.rule = ANY({labels})", labels=value(labels)),
            compose(" AND u.started_at >= {since}", since=value(since)),
        ),
    )
    return _by_label(labels, statement)


def forecast(points: Sequence[tuple[datetime, int]], bound: int) -> datetime | None:
    """When a value that is not above ``bound`` yet will pass it, by the median of all slopes between two looks.

    The median (Theil and Sen) does not move for single looks that are far off. None for fewer than FEWEST looks, where
    nothing grows, and beyond REACH.
    """
    if len(points) < FEWEST or points[-1][1] > bound:
        return None
    last = points[-1]
    slopes = [
        (later[1] - earlier[1]) / seconds
        for earlier, later in combinations(points, 2)
        if (seconds := (later[0] - earlier[0]).total_seconds())
    ]
    slope = median(slopes) if slopes else 0.0
    if slope <= 0:
        return None
    ahead = (bound + 1 - last[1]) / slope
    span = (last[0] - points[0][0]).total_seconds()
    return last[0] + timedelta(seconds=ahead) if ahead <= REACH * span else None


def outlook(rule: Rule, points: Sequence[Point]) -> Forecast | None:
    """When a rule's declared bound will be passed: the most rows of a table, or of violations that may be."""
    if isinstance(rule, Bounded) and rule.most is not None:
        at = forecast([(p.at, p.checked) for p in points if p.checked is not None], rule.most)
        return Forecast(rule.most, at, "rows") if at else None
    bound = _most_violations(rule, points)
    if bound is None:
        return None
    at = forecast([(p.at, p.violations) for p in points], bound)
    return Forecast(bound, at, "violations") if at else None


def _most_violations(rule: Rule, points: Sequence[Point]) -> int | None:
    """How many violations may be without an alert; of a share, of the rows that were counted last."""
    above: str | int | None = getattr(rule, "alert_above", None)
    if above is None:
        return None
    limit = Limit.declared(above)
    counted = next((point.checked for point in reversed(points) if point.checked is not None), 0)
    return max(limit.rows, int(limit.share * counted))


def _looks(rule: Statement, only: Statement) -> Statement:
    return compose(
        _LOOKS,
        results=name(Result._meta.db_table),
        runs=name(Run._meta.db_table),
        rule=rule,
        database=value(DEFAULT_DB_ALIAS),
        looked=value([statuses.CLEAN, statuses.VIOLATED]),
        analyze=value(str(Run.Verb.ANALYZE)),
        only=only,
    )


def _by_label(labels: list[str], statement: Statement) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {label: [] for label in labels}
    rows: list[dict[str, Any]] = fetch(connections[DEFAULT_DB_ALIAS], statement) if labels else []
    for row in rows:
        found[row["rule"]].append(Point(row["at"], row["violations"], row["checked"]))
    return found
