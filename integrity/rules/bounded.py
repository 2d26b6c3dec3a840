"""Bounded: the size of a table stays within bounds, and it does not grow or shrink faster than it should."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections
from django.db.models import CharField, Field, Model

from integrity.compiler import population
from integrity.exceptions import WrongDeclaration
from integrity.limits import Limit
from integrity.paths import Path, lookups, resolve
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.statement import Statement, compose, fetch, joined, value


class Bounded(Rule):
    """``Bounded(Team, rows=(1, 50_000), growth="20%", shrinkage="5%", ...)``.

    rows: least and most rows, either may be None. growth, shrinkage: by how much, "20%" or 500 rows, the table may have
    changed since it was last found clean; within an import, since the import began. ``where`` counts some rows alone.

    A violation is the table itself; ``actual`` is its number of rows. Until a first look has found the table within its
    bounds there is nothing to compare it with. Growth that is meant to be is accepted like any violation, or declared.
    """

    kind = "bounded"

    def __init__(
        self,
        model: type[Model],
        *,
        rows: tuple[int | None, int | None] = (None, None),
        growth: str | int | None = None,
        shrinkage: str | int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.least, self.most = rows
        self.growth, self.shrinkage = growth, shrinkage

    @property
    def key_fields(self) -> list[Field[Any, Any]]:
        """The name of the table."""
        field: Field[Any, Any] = CharField(max_length=200)
        field.set_attributes_from_name("table")
        return [field]

    def keys_of_rows(self, source: Statement, root: type[Model] | None = None) -> Statement:
        return compose(
            'SELECT DISTINCT {table}::text AS "table" FROM ({source}) AS r',
            table=value(self.model._meta.db_table),
            source=source,
        )

    def violations(self, scope: Scope, using: str) -> Statement:
        """Compared with the last size that was recorded as clean, read in the same statement."""
        since = compose(
            "(SELECT r.checked FROM integrity_result AS r JOIN integrity_run AS u ON u.id = r.run_id"
            " WHERE r.rule = {rule} AND r.database = {using} AND r.status = 'clean' AND u.verb IN ('analyze', 'import')"
            " AND r.checked IS NOT NULL ORDER BY r.id DESC LIMIT 1)",
            rule=value(self.label),
            using=value(using),
        )
        return self._outside(since, scope, using)

    def since(self, size: int, using: str) -> Statement:
        """The same compared with a size that the table had."""
        return self._outside(value(size), Scope(), using)

    def size(self, using: str) -> int:
        """How many rows there are now."""
        return int(fetch(connections[using], self.population(Scope(), using))[0]["checked"])

    def population(self, scope: Scope, using: str) -> Statement:
        return population(self.model, using=using, where=self.where, scope=Scope())

    def _outside(self, since: Statement, scope: Scope, using: str) -> Statement:
        table = self.model._meta.db_table
        excluded = (table,) in scope.without or (scope.keys is not None and (table,) not in scope.keys)
        return compose(
            "SELECT {table}::text AS key__table, n AS actual__rows, {expected}::text AS expected__rows,"
            " was AS evidence__before, why AS evidence__why"
            " FROM (SELECT c.checked AS n, {since}::bigint AS was FROM ({counted}) AS c) AS s,"
            " LATERAL (SELECT concat_ws('; ', {why}) AS why) AS w WHERE why <> ''{none}",
            table=value(table),
            expected=value(self._expected()),
            since=since,
            counted=self.population(scope, using),
            why=joined(", ", self._reasons()),
            none=Statement(" AND false" if excluded else ""),
        )

    def _reasons(self) -> Iterable[Statement]:
        if self.least is not None:
            yield _when("n < {limit}", self.least, "fewer than")
        if self.most is not None:
            yield _when("n > {limit}", self.most, "more than")
        # Anything is more than nothing: the first rows of a table are no unusual growth.
        if self.growth is not None:
            yield _changed("n - was", Limit.declared(self.growth), "grew", self.growth)
        if self.shrinkage is not None:
            yield _changed("was - n", Limit.declared(self.shrinkage), "shrank", self.shrinkage)

    def _expected(self) -> str:
        said = [f"at least {self.least}"] if self.least is not None else []
        said += [f"at most {self.most}"] if self.most is not None else []
        said += [f"growth within {self.growth}"] if self.growth is not None else []
        said += [f"shrinkage within {self.shrinkage}"] if self.shrinkage is not None else []
        return ", ".join(said)

    def paths(self) -> list[Path]:
        return [resolve(self.model, lookup) for lookup in lookups(self.where)] if self.where else []

    def reads_whole(self) -> tuple[type[Model], ...]:
        return (self.model,)

    def problems(self) -> Iterable[WrongDeclaration]:
        if not self._expected():
            yield WrongDeclaration("it declares no bound", "Give rows=, growth= or shrinkage=.")
        for given in (self.growth, self.shrinkage):
            Limit.declared(given)
        if self.least is not None and self.most is not None and self.least > self.most:
            yield WrongDeclaration(f"no table has at least {self.least} and at most {self.most} rows")


def _when(condition: str, limit: int, compared: str) -> Statement:
    told = f" rows are {compared} {limit}"
    return compose(f"CASE WHEN {condition} THEN n || {{told}} END", limit=value(limit), told=value(told))


def _changed(by: str, limit: Limit, verb: str, given: Any) -> Statement:
    return compose(
        f"CASE WHEN was > 0 AND {by} > greatest({{rows}}, {{share}} * was) THEN 'it {verb} from ' || was || ' to ' || n"
        " || {told} END",
        rows=value(limit.rows),
        share=value(float(limit.share)),
        told=value(f" rows, by more than {given}"),
    )
