"""How each rule stands by its records: holds, is broken since when and by how many, or is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Count, Q
from django.utils import timezone

from integrity.looks import NEVER, Look, Looks, last_looks
from integrity.models import Violation
from integrity.rules.base import Rule
from integrity.schedules.overdue import LOOK, overdue
from integrity.statement import compose, fetch, value
from integrity.trend import Point, latest

HOLDS, BROKEN, NOT_CHECKED = "holds", "broken", "not checked"
LOOKS = 20
"""How many looks a trend shows."""

# BETWEEN, and the rule in the order, leave the planner the index by rule, as in `looks`. Since when: the first look
# that found violations after everything was found, or put, right.
_SINCE = """
    SELECT w.rule, (
        SELECT u.started_at FROM integrity_result AS r JOIN integrity_run AS u ON u.id = r.run_id
        WHERE r.rule BETWEEN w.rule AND w.rule AND r.database = {database} AND u.verb = 'analyze' AND u.keys IS NULL
            AND r.status = 'violated' AND r.id > coalesce(held.id, 0) ORDER BY r.rule DESC, r.id LIMIT 1
    ) AS since
    FROM unnest({rules}::text[]) AS w (rule)
    LEFT JOIN LATERAL (
        SELECT r.id FROM integrity_result AS r JOIN integrity_run AS u ON u.id = r.run_id
        WHERE r.rule BETWEEN w.rule AND w.rule AND r.database = {database} AND r.status IN ('clean', 'retired')
            AND u.verb IN ('analyze', 'repair') AND u.keys IS NULL AND NOT u.dry_run ORDER BY r.rule, r.id DESC LIMIT 1
    ) AS held ON true
"""


@dataclass(frozen=True)
class Standing:
    """A rule by its records."""

    rule: Rule
    looks: Looks = NEVER
    points: Sequence[Point] = ()
    """What the last looks found, the oldest first."""
    since: datetime | None = None
    """Since when looks have found violations, one after the other."""
    accepted: int = 0
    late: str = ""
    """That a look which is due has not come."""
    trend: list[int] = field(default_factory=list)

    @property
    def look(self) -> Look | None:
        """The last one that told how the rule stands."""
        return self.looks.look

    @property
    def open(self) -> int:
        return self.looks.open

    @property
    def status(self) -> str:
        """holds, broken or not checked."""
        if self.why:
            return NOT_CHECKED
        return BROKEN if self.violations else HOLDS

    @property
    def violations(self) -> int:
        """How many are known of, less what was repaired or accepted since the last look."""
        return self.looks.violations or 0

    @property
    def why(self) -> str:
        """Why nobody knows how it stands; empty where somebody does."""
        return self.looks.why or self.late


def standings(rules: Iterable[Rule], *, points: int = LOOKS) -> list[Standing]:
    """How rules stand, in their order: five statements, whatever there is. points: of how many looks a trend is."""
    rules = list(rules)
    labels = [rule.label for rule in rules]
    looks = last_looks(rules)
    trends = latest(rules, points)
    late = {one.rule.label: one.why for one in overdue(rules=rules, looks=looks) if one.what == LOOK}
    statement = compose(_SINCE, rules=value(labels), database=value(DEFAULT_DB_ALIAS))
    since = {row["rule"]: row for row in fetch(connections[DEFAULT_DB_ALIAS], statement)}
    accepted = _accepted(labels)
    return [
        Standing(
            rule,
            looks[rule.label],
            trends[rule.label],
            since[rule.label]["since"],
            accepted.get(rule.label, 0),
            late.get(rule.label, ""),
            [point.violations for point in trends[rule.label]],
        )
        for rule in rules
    ]


def _accepted(labels: Sequence[str]) -> dict[str, int]:
    unexpired = Q(accepted_until=None) | Q(accepted_until__gt=timezone.now())
    kept = Violation.objects.filter(
        unexpired, rule__in=labels, database=DEFAULT_DB_ALIAS, status=Violation.Status.ACCEPTED
    )
    return dict(kept.order_by().values_list("rule").annotate(n=Count("pk")))
