"""Kept: a table of an app that knows which natural key each primary key ever had, long after either is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, Model
from django.db.models.functions import Cast

from integrity.exceptions import WrongDeclaration
from integrity.keys import column_of, columns_of
from integrity.paths import resolve
from integrity.repairing.defaults import unplanned
from integrity.statement import Statement, compose, from_queryset, joined, name, names, run, value


class Kept:
    """``Kept(TeamKey, row="team_id", key={"club": "club__name", "league": "league__league_id"})``.

    model: the table; a row for each key that a row of the target had. row: its column for the primary key. key: its
    columns -> paths of the target, which lead to what stays: never to a number that an import may give anew.
    """

    def __init__(self, model: type[Model], *, row: str, key: Mapping[str, str]) -> None:
        self.model, self.row, self.key = model, row, dict(key)

    @property
    def columns(self) -> list[str]:
        """The columns that hold the primary key and the natural one."""
        return [column_of(self.model, field) for field in (self.row, *self.key)]

    def rows(self, target: type[Model]) -> Statement:
        """A SELECT of the keys that the rows of the target have now, by the columns of the table."""
        fields = [self.model._meta.get_field(field) for field in (self.row, *self.key)]
        paths = ["pk", *self.key.values()]
        selected: dict[str, Any] = {
            f"integrity_{i}": Cast(F(path), field)  # type: ignore[arg-type]
            for i, (path, field) in enumerate(zip(paths, fields, strict=True))
        }
        rows = target._base_manager.using(DEFAULT_DB_ALIAS).order_by().values(**selected)
        renamed = [
            compose("r.{was} AS {column}", was=name(f"integrity_{i}"), column=name(column))
            for i, column in enumerate(self.columns)
        ]
        return compose(
            "SELECT {renamed} FROM ({rows}) AS r",
            renamed=joined(", ", renamed),
            rows=from_queryset(rows, DEFAULT_DB_ALIAS),
        )

    def keep(self, rows: Statement, connection: Any) -> int:
        """Add the keys that are not known yet. How many."""
        defaults = {
            str(field.column): field.get_db_prep_save(field.get_default(), connection)
            for field in unplanned(self.model, self.columns)
        }
        # Of an empty table the planner expects that it stays so, and looks it through for each row, while it grows.
        run(connection, Statement("SET LOCAL enable_nestloop = off"))
        added = run(
            connection,
            compose(
                # In the order of the index that begins with the row, where there is one, that grows at its end.
                "INSERT INTO {table} ({columns}) SELECT {kept}{values} FROM ({rows}) AS r"
                " WHERE NOT EXISTS (SELECT FROM {table} AS k WHERE {same}) ORDER BY {row}",
                table=name(self.model._meta.db_table),
                columns=names([*self.columns, *defaults]),
                kept=names(self.columns, of="r"),
                values=joined("", (compose(", {v}", v=value(held)) for held in defaults.values())),
                rows=rows,
                same=self._same(),
                row=name("r", self.columns[0]),
            ),
        )
        run(connection, Statement("SET LOCAL enable_nestloop TO DEFAULT"))
        return added

    def known(self, rows: Statement) -> Statement:
        """A SELECT of how many of the rows have their key kept."""
        return compose(
            "SELECT count(*) AS n FROM ({rows}) AS r WHERE EXISTS (SELECT FROM {table} AS k WHERE {same})",
            rows=rows,
            table=name(self.model._meta.db_table),
            same=self._same(),
        )

    def _same(self) -> Statement:
        return joined(" AND ", (compose("k.{c} = r.{c}", c=name(c)) for c in self.columns))

    def problems(self, target: type[Model]) -> Iterable[WrongDeclaration]:
        """What is wrong with the declaration."""
        for field in (self.row, *self.key):
            try:
                self.model._meta.get_field(field)
            except FieldDoesNotExist:
                yield WrongDeclaration(f"kept= names {field!r}, which {self.model._meta.label} does not have")
                return
        for path in self.key.values():
            end = resolve(target, path)
            if end.multiplies or end.field in columns_of(end.field.model) or end.field.is_relation:
                yield WrongDeclaration(
                    f"kept= goes through {path!r}, which is a number that an import may give anew, or many rows",
                    "Name a column that stays, such as a name or the provider's own key.",
                )
