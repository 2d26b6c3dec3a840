"""Two kinds of truth that only odometers have: a reading that was mistyped, and an override that time has overtaken."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Max, Model, Q

from integrity import Ordered
from integrity.keys import columns_of
from integrity.paths import Path, resolve
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, joined, name
from vehicles.models import MileageOverride

# Every way to mistype digits, and back: a digit too many or too few at the end (ten times), one too many anywhere, two
# neighbours swapped. Digits are counted from the left.
SLIPS = """
    SELECT s.value / 10 AS slip, 'ten times too high' AS slipped, 0 AS rarity WHERE s.value % 10 = 0
    UNION ALL SELECT s.value::bigint * 10, 'ten times too low', 0
    UNION ALL SELECT overlay(s.value::text PLACING '' FROM i FOR 1)::bigint, 'a digit too many', 2
        FROM generate_series(1, length(s.value::text)) AS i WHERE length(s.value::text) > 1
    UNION ALL SELECT overlay(s.value::text PLACING reverse(substr(s.value::text, i, 2)) FROM i FOR 2)::bigint,
        'two digits swapped', 1 FROM generate_series(1, length(s.value::text) - 1) AS i
        WHERE i > 1 OR substr(s.value::text, 2, 1) <> '0'
"""

# Where the straight line between the neighbours passes; with one neighbour, that one.
LINE = (
    "COALESCE(s.previous + (s.next - s.previous) * EXTRACT(EPOCH FROM s.moment - s.previous_moment)"
    " / NULLIF(EXTRACT(EPOCH FROM s.next_moment - s.previous_moment), 0), s.previous, s.next)"
)


class Mistyped(Ordered):
    """Readings that do not fit between their neighbours and would after one slip is undone.

    The suggestion is what is expected, and evidence says which slip it was: ten times where that fits, else the one
    nearest to the straight line between the neighbours. Options are those of Ordered, with a rate.
    """

    kind = "mistyped"

    def violations(self, scope: Scope, using: str) -> Statement:
        after = self.allowed("s.moment", "s.next_moment")
        before = self.allowed("s.previous_moment", "s.moment")
        keys = joined(", ", (name("s", f"key__{key.name}") for key in columns_of(self.model)))
        return compose(
            "SELECT {keys}, s.value AS {actual}, found.slip AS {expected}, found.slip AS evidence__suggested,"
            " found.slipped AS evidence__why, s.previous AS evidence__previous, s.next AS evidence__next"
            " FROM ({judged}) AS s"
            # GREATEST and LEAST pass over the NULL of a neighbour that is not there.
            " CROSS JOIN LATERAL (SELECT GREATEST(s.previous, s.next - {after}) AS lowest,"
            " LEAST(s.next, s.previous + {before}) AS highest) AS fits"
            " CROSS JOIN LATERAL (SELECT c.* FROM ({slips}) AS c WHERE c.slip BETWEEN fits.lowest AND fits.highest"
            # Ten times is the commonest slip. At an end of the sequence there is no line: the next common one then.
            " ORDER BY CASE WHEN s.previous IS NULL OR s.next IS NULL THEN c.rarity ELSE LEAST(c.rarity, 1) END,"
            " abs(c.slip - {line}), c.rarity, c.slip LIMIT 1) AS found"
            " WHERE s.value NOT BETWEEN fits.lowest AND fits.highest AND s.trusted AND {scoped}",
            keys=keys,
            actual=name(f"actual__{self.column}"),
            expected=name(f"expected__{self.column}"),
            judged=self._judged(scope, using),
            scoped=self.scoped(scope, using),
            after=after,
            before=before,
            slips=Statement(SLIPS.replace("%", "%%")),
            line=Statement(LINE),
        )

    def _judged(self, scope: Scope, using: str) -> Statement:
        """The sequence; a reading at its end has one neighbour, which judges it only if the one beyond confirms it."""
        return compose(
            "SELECT q.*, (q.previous IS NOT NULL OR lead(q.misfit, 2) OVER w IS FALSE)"
            " AND (q.next IS NOT NULL OR lag(q.misfit) OVER w IS FALSE) AS trusted"
            " FROM (SELECT s.*, s.value < s.previous OR {too_fast} AS misfit FROM ({sequence}) AS s) AS q"
            " WINDOW w AS (PARTITION BY q.group_0 ORDER BY q.place)",
            too_fast=self.too_fast("s.previous", "s.previous_moment", "s.value", "s.moment"),
            sequence=self.sequence(scope, using),
        )


class StaleOverride(Rule):
    """Overrides that the three newest readings after them contradict while they agree with each other.

    readings: the Ordered rule that says which readings follow each other; a copy of a reading is none. An override that
    nobody recorded counts as older than every reading.
    """

    kind = "stale_override"

    def __init__(self, model: type[Model], *, readings: Ordered, **options: Any) -> None:
        super().__init__(model, where=Q(current_mileage_override__isnull=False), **options)
        self.readings = readings

    def violations(self, scope: Scope, using: str) -> Statement:
        vehicles = scope.restrict_root(self.model._base_manager.using(using).order_by().filter(self.where or Q()))
        since = MileageOverride.objects.using(using).order_by().filter(mileage__isnull=False)
        return compose(
            "SELECT v.id AS key__id, v.current_mileage_override AS actual__current_mileage_override,"
            " newest.readings[1] AS expected__current_mileage_override, newest.readings AS evidence__readings,"
            " newest.since AS evidence__since FROM ({vehicles}) AS v JOIN ("
            "SELECT a.group_0, a.since, array_agg(a.value ORDER BY a.age) AS readings FROM ("
            "SELECT s.*, o.since,"
            " row_number() OVER (PARTITION BY s.group_0 ORDER BY s.place DESC) AS age"
            " FROM ({sequence}) AS s LEFT JOIN ({since}) AS o ON o.of_vehicle = s.group_0"
            " WHERE s.moment > COALESCE(o.since, '-infinity')) AS a"
            " WHERE a.age <= 3 GROUP BY a.group_0, a.since"
            # Each of the two newer ones goes on from the one before; what the oldest follows may be the contradiction.
            " HAVING count(*) = 3 AND bool_and(a.age = 3 OR COALESCE(a.value > a.previous AND NOT ({too_fast}), false))"
            ") AS newest ON newest.group_0 = v.id AND newest.readings[1] <> v.current_mileage_override",
            vehicles=from_queryset(vehicles, using),
            sequence=self.readings.sequence(Scope(), using, groups=vehicles.values("pk")),
            since=from_queryset(since.values(of_vehicle=F("vehicle_id")).annotate(since=Max("at")), using),
            too_fast=self.readings.too_fast("a.previous", "a.previous_moment", "a.value", "a.moment"),
        )

    def paths(self) -> list[Path]:
        read = ("id", "current_mileage_override", "mileage_overrides__at", "mileage_overrides__mileage")
        of_events = (self.readings.column, *self.readings.along, "type", "deleted_at")
        return [resolve(self.model, lookup) for lookup in (*read, *(f"events__{column}" for column in of_events))]
