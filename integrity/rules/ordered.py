"""Ordered: a value only grows along a sequence, and not faster than a rate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.db.models import DateTimeField, Field, IntegerField, Model, Q, QuerySet

from integrity.exceptions import WrongDeclaration
from integrity.keys import columns_of
from integrity.paths import Path, lookups, resolve
from integrity.rules.base import Rule
from integrity.rules.ordered_problems import declaration_problems
from integrity.rules.ordered_rows import Rows
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, joined, name, value


class Ordered(Rule):
    """``Ordered(Reading, "kwh", along=["taken_at"], within="meter", at_most_per_day=500, ...)``.

    A violation is a row whose value is lower than that of the row before it, or higher by more than the rate allows.

    along: the order, most significant first; the primary key decides what is left equal. within: the field or fields
    whose values each have a sequence of their own; none for one sequence of the whole table. at_most_per_day: growth
    above this, for each day that passed and for one day at least, is too fast; ``along`` begins with a date or time
    then. restarts: rows that begin a new series, compared with nothing before them. interrupted_by: a lookup by way of
    ``within`` to a date or time of related rows, each of which begins a new series as well:
    ``"meter__exchanges__at"``.

    Rows without a value, a place or a group say nothing, and so does a row that repeats the value before it: growth is
    measured from the first row of such a run. A rule sees a changed row's neighbours because its keys widen to the
    whole group: ``paths()`` leads through the foreign key ``within`` and back, so that ``touched()`` answers every row
    of the groups that a row was and is in. Where there is no such way back, the rule can only be checked whole.
    """

    kind = "ordered"

    def __init__(
        self,
        model: type[Model],
        column: str,
        *,
        along: Sequence[str],
        within: str | Sequence[str] = (),
        at_most_per_day: Decimal | float | None = None,
        restarts: Q | None = None,
        interrupted_by: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.column = column
        self.along = tuple(along)
        self.within = (within,) if isinstance(within, str) else tuple(within)
        self.at_most_per_day = at_most_per_day
        self.restarts = restarts
        self.interrupted_by = interrupted_by

    def violations(self, scope: Scope, using: str) -> Statement:
        keys = [compose("s.{key}", key=name(f"key__{key.name}")) for key in columns_of(self.model)]
        return compose(
            "SELECT {keys}, s.value AS {actual}, {expected} AS {expected_name}, {why} AS evidence__why,"
            " s.previous AS evidence__previous, s.previous_moment AS evidence__previous_at,"
            " s.next AS evidence__next, s.next_moment AS evidence__next_at FROM ({sequence}) AS s"
            " WHERE (s.value < s.previous OR {too_fast}) AND {scoped}",
            keys=joined(", ", keys),
            actual=name(f"actual__{self.column}"),
            expected=self._expected(),
            expected_name=name(f"expected__{self.column}"),
            why=self._why(),
            sequence=self.sequence(scope, using),
            scoped=self.scoped(scope, using),
            too_fast=self.too_fast("s.previous", "s.previous_moment", "s.value", "s.moment"),
        )

    def sequence(self, scope: Scope, using: str, groups: QuerySet[Any, Any] | None = None) -> Statement:
        """Every row that says something, of the groups in scope, with its neighbours in the same series.

        groups: a query of values of the first of ``within``, to look at no others.
        Columns: ``key__<field>``, ``group_0`` and so on, place (counted from 1 in each group), value, moment (the first
        of ``along``), previous, previous_moment, next, next_moment; NULL where the series begins or ends.
        """
        return Rows(self, scope, using, groups).in_series()

    def scoped(self, scope: Scope, using: str) -> Statement:
        """The condition that a row ``s`` of a sequence is in scope itself; its neighbours were needed to judge it."""
        if scope == Scope():
            return Statement("true")
        keys = [key.name for key in columns_of(self.model)]
        wanted = scope.restrict_root(self.model._base_manager.using(using).order_by()).values(*keys)
        return compose(
            "({columns}) IN ({wanted})",
            columns=joined(", ", (name("s", f"key__{key}") for key in keys)),
            wanted=from_queryset(wanted, using),
        )

    def too_fast(self, lower: str, since: str, higher: str, until: str) -> Statement:
        """The condition that growth between two moments is more than the rate allows; arguments are SQL columns."""
        if self.at_most_per_day is None:
            return Statement("false")
        return compose(
            "{higher} > {lower} + {allowed}",
            higher=Statement(higher),
            lower=Statement(lower),
            allowed=self.allowed(since, until),
        )

    def allowed(self, since: str, until: str) -> Statement:
        """The growth that the rate allows between two moments: a part of a day counts as one."""
        days = f"({until} - {since})"
        if isinstance(self.moment, DateTimeField):
            days = f"EXTRACT(EPOCH FROM {days}) / 86400"
        return compose(
            "(GREATEST({days}, 1) * {rate}::numeric)", days=Statement(days), rate=value(str(self.at_most_per_day))
        )

    @property
    def moment(self) -> Field[Any, Any]:
        """The field that the order begins with."""
        return self.model._meta.get_field(self.along[0])  # type: ignore[return-value]

    def _expected(self) -> Statement:
        """The nearest value that would not break the rule."""
        if self.at_most_per_day is None:
            return Statement("s.previous")
        highest = compose("s.previous + {allowed}", allowed=self.allowed("s.previous_moment", "s.moment"))
        if isinstance(self.model._meta.get_field(self.column), IntegerField):
            highest = compose("floor({highest})::bigint", highest=highest)
        return compose("CASE WHEN s.value < s.previous THEN s.previous ELSE {highest} END", highest=highest)

    def _why(self) -> Statement:
        fast = f"more than {self.at_most_per_day} a day"
        return compose(
            "CASE WHEN s.value < s.previous THEN {low}::text ELSE {fast}::text END",
            low=value("lower than the one before"),
            fast=value(fast),
        )

    # What it depends on

    def paths(self) -> list[Path]:
        own = [self.column, *self.along, *map(self._attname, self.within), *lookups(self.restarts or Q())]
        return [resolve(self.model, lookup) for lookup in (*own, *self._through_group())]

    def expressions(self) -> list[Any]:
        return [self.where, self.restarts]

    def reads(self) -> set[type[Model]]:
        """Without the table of groups, if it is only passed on the way to other rows: what it says decides nothing."""
        found = {self.model, *self.reads_whole()}
        for path in self.all_paths():
            hops = path.hops[-1:] if path.lookup in self._through_group() else path.hops
            found.update(hop.model for hop in hops)
        return found

    def reads_whole(self) -> tuple[type[Model], ...]:
        return () if self._ways_back() else (self.model,)

    def _through_group(self) -> list[str]:
        """The lookups to a row's neighbours and to what interrupts."""
        return [*self._ways_back(), *([self.interrupted_by] if self.interrupted_by else [])]

    def _attname(self, field: str) -> str:
        return str(getattr(self.model._meta.get_field(field), "attname", field))

    def _ways_back(self) -> list[str]:
        """The lookup to the neighbours, by way of the first foreign key of ``within`` that leads back."""
        for field in self.within:
            found: Any = self.model._meta.get_field(field)
            if found.is_relation and found.concrete and not found.remote_field.hidden:
                return [f"{field}__{found.related_query_name()}__{self.column}"]
        return []

    def problems(self) -> Iterable[WrongDeclaration]:
        return declaration_problems(self)
