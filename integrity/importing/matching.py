"""Which staged row is which row of the table, and which of them differ: one join, which keeps differences alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from integrity.importing.lookup import looked_up
from integrity.importing.numbers import Number
from integrity.importing.staging import Staged
from integrity.keys import pk_columns
from integrity.statement import (
    Part,
    Statement,
    as_statement,
    compose,
    fetch,
    from_queryset,
    joined,
    name,
    names,
    run,
    value,
)

INSERT, UPDATE, VANISH = "insert", "update", "vanish"
_numbers = itertools.count()


@dataclass
class Survey:
    """How many rows of a difference are to be inserted, updated and marked as vanished; its highest ``seq``.

    unclear: rows with a reference that cannot be resolved. numbered: new rows with a number of the provider. getting:
    rows that get such a number and did not have it.
    """

    inserts: int
    updates: int
    vanishes: int
    last: int | None
    unclear: int
    numbered: int
    getting: int

    @property
    def writes(self) -> int:
        """Rows that would be written."""
        return self.inserts + self.updates + self.vanishes

    def of(self, operation: str) -> int:
        """How many rows there are of an operation."""
        return {INSERT: self.inserts, UPDATE: self.updates, VANISH: self.vanishes}[operation]


class Diff:
    """A temporary table of the rows to write.

    op; nr; seq; row__<pk>; new__<column> and old__<column> of each compared column; lost__<column> where a reference
    leads nowhere and many__<column> where it leads to several rows; renamed; present, the same in each row: how many
    rows of the table had not vanished before.
    """

    def __init__(self, staged: Staged, only: str | None) -> None:
        self.staged, self.feed, self.connection, self.only = staged, staged.feed, staged.connection, only
        self.model = self.feed.model
        self.table = f"integrity_diff_{next(_numbers)}"
        self.relation = as_statement(name("pg_temp", self.table))
        self.parts = list(self.feed.by_field.values())
        self.constants = {
            _column(self.model, field): _stored(self.model, field, held, self.connection)
            for field, held in self.feed.returned.items()
            if field not in self.feed.by_field
        }
        self.gone = {
            _column(self.model, field): _stored(self.model, field, held, self.connection)
            for field, held in self.feed.vanished.items()
        }
        self.notes: list[str] = []

    @property
    def sets(self) -> list[str]:
        """The columns that are compared and written."""
        return [*(part.column for part in self.parts), *self.constants]

    @property
    def compared(self) -> list[str]:
        """The columns of which the difference holds what they were."""
        return list(dict.fromkeys([*self.sets, *self.gone]))

    @property
    def flags(self) -> list[str]:
        """The columns that are true where a reference cannot be resolved."""
        return [f"{flag}__{r.column}" for r in self.feed.references for flag in ("lost", "many")]

    def count(self, condition: Part = Statement("true")) -> int:  # noqa: B008  (it is frozen)
        """How many rows ``d`` of the difference are so."""
        counted = compose("SELECT count(*) AS n FROM {d} AS d WHERE {c}", d=self.relation, c=condition)
        return int(fetch(self.connection, counted)[0]["n"])

    def survey(self) -> Survey:
        """What there is in it, in one pass."""
        number = self._number
        found = fetch(
            self.connection,
            compose(
                "SELECT count(*) FILTER (WHERE op = 'insert') AS inserts, count(*) FILTER (WHERE op = 'update') AS"
                " updates, count(*) FILTER (WHERE op = 'vanish') AS vanishes, max(seq) AS last,"
                " count(*) FILTER (WHERE {unclear}) AS unclear,"
                " count(*) FILTER (WHERE op = 'insert' AND {numbered}) AS numbered,"
                " count(*) FILTER (WHERE op <> 'vanish' AND {numbered} AND {gets}) AS getting FROM {d} AS d",
                unclear=joined(" OR ", (name("d", flag) for flag in self.flags)) if self.flags else Statement("false"),
                numbered=number.given(name("d", f"new__{number.column}")) if number else Statement("false"),
                gets=compose("d.{n} IS DISTINCT FROM d.{o}", n=_new(number.column), o=_old(number.column))
                if number
                else Statement("false"),
                d=self.relation,
            ),
        )[0]
        return Survey(**found)

    @property
    def _number(self) -> Number | None:
        return Number(self.feed) if self.feed.external_id else None

    def changed(self) -> dict[str, int]:
        """How many of the updated rows get another value in each column; columns that none does are left out."""
        counted = [
            compose("count(*) FILTER (WHERE {n} IS DISTINCT FROM {o}) AS {c}", n=_new(c), o=_old(c), c=name(c))
            for c in self.sets
        ]
        found = fetch(
            self.connection,
            compose("SELECT {n} FROM {d} WHERE op = 'update'", n=joined(", ", counted), d=self.relation),
        )
        return {column: number for column, number in found[0].items() if number}

    # The join

    def compare(self) -> None:
        """Find what differs."""
        pk = pk_columns(self.model)
        new: list[Part] = [self._becomes(c) for c in self.sets]
        old: list[Part] = [compose("t.{c} AS {o}", c=name(c), o=name(f"old__{c}")) for c in self.compared]
        flags: list[Part] = [name("s", flag) for flag in self.flags]
        differs = [self._differs(c) for c in self.sets]
        flagged = [compose("s.{flag}", flag=name(flag)) for flag in self.flags]
        columns: list[Part] = [
            *(compose("t.{pk} AS {row}", pk=name(c), row=name(f"row__{c}")) for c in pk),
            *new,
            *old,
            *flags,
        ]
        run(
            self.connection,
            compose(
                "CREATE TEMP TABLE {diff} ON COMMIT DROP AS"
                " SELECT CASE WHEN s.nr IS NULL THEN 'vanish' WHEN t.{pk} IS NULL THEN 'insert' ELSE 'update' END"
                " AS op, s.nr, row_number() OVER (ORDER BY s.nr, t.{pk}) AS seq, false AS renamed,"
                " (SELECT count(*) FROM ({target}) AS t WHERE {present}) AS present, {columns}"
                " FROM ({staged}) AS s FULL JOIN ({target}) AS t ON {same}"
                " WHERE (s.nr IS NULL AND {present}) OR (NOT s.bad AND (t.{pk} IS NULL OR {differs}))",
                diff=name(self.table),
                pk=name(pk[0]),
                columns=joined(", ", columns),
                staged=self.source(),
                target=self._target(),
                same=self.same("s", "t"),
                present=self.present("t"),
                differs=joined(" OR ", [*differs, *flagged]),
            ),
        )

    @cached_property
    def _left(self) -> set[str]:
        """Columns that stay as they are where the feed says nothing."""
        return {self.feed.by_field[field].column for field in self.feed.leaves}

    def _becomes(self, column: str) -> Statement:
        parts: dict[str, Part] = {"n": name(f"new__{column}"), "c": name(column)}
        return compose("COALESCE(s.{n}, t.{c}) AS {n}" if column in self._left else "s.{n}", **parts)

    def _differs(self, column: str) -> Statement:
        parts: dict[str, Part] = {"n": name(f"new__{column}"), "c": name(column)}
        said = "s.{n} IS NOT NULL AND " if column in self._left else ""
        return compose(f"({said}s.{{n}} IS DISTINCT FROM t.{{c}})", **parts)

    def tell_planner(self) -> None:
        """A temporary table has no statistics; those of the columns that it is joined by are enough."""
        by = ["op", "nr", "seq", *(f"row__{c}" for c in pk_columns(self.model))]
        by += [f"new__{part.column}" for part in self.feed.key_parts]
        if self.feed.external_id:
            column = self.feed.by_field[self.feed.external_id].column
            by += [f"new__{column}", f"old__{column}"]
        run(self.connection, compose("ANALYZE {d} ({by})", d=self.relation, by=names(dict.fromkeys(by))))

    def present(self, alias: str, prefix: str = "") -> Statement:
        """A row of the table that has not been marked as vanished before."""
        if not self.gone:
            return Statement("false")
        marks = [
            compose("{c} IS DISTINCT FROM {v}", c=name(alias, f"{prefix}{c}"), v=value(held))
            for c, held in self.gone.items()
        ]
        return compose("({marks})", marks=joined(" OR ", marks))

    def same(self, staged: str, target: str) -> Statement:
        """A row of the source and one of the table have one natural key."""
        return joined(
            " AND ",
            (
                compose("{s}.{n} = {t}.{c}", s=name(staged), n=name(f"new__{c}"), t=name(target), c=name(c))
                for c in (part.column for part in self.feed.key_parts)
            ),
        )

    def source(self) -> Statement:
        """A SELECT of the staged rows as the table would hold them."""
        return looked_up(self.staged, self.constants)

    def target_rows(self) -> QuerySet[Any, Any]:
        """The rows of the table that the import speaks about."""
        rows = self.model._base_manager.using(DEFAULT_DB_ALIAS).order_by()
        return rows.filter(**{self.feed.part[1]: self.only}) if self.only is not None and self.feed.part else rows

    def _target(self) -> Statement:
        needed = (*self.compared, *pk_columns(self.model))
        fields = [f.attname for f in self.model._meta.local_concrete_fields if f.column in needed]
        return from_queryset(self.target_rows().values(*fields), DEFAULT_DB_ALIAS)


def _new(column: str) -> Part:
    return name(f"new__{column}")


def _old(column: str) -> Part:
    return name(f"old__{column}")


def _column(model: type[Any], field: str) -> str:
    return str(model._meta.get_field(field).column)


def _stored(model: type[Any], field: str, held: Any, connection: Any) -> Any:
    return model._meta.get_field(field).get_db_prep_save(held, connection)
