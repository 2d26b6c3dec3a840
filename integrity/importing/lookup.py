"""The staged rows as the table would hold them: typed, and with the rows that they refer to looked up, all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import F

from integrity.importing.columns import Column, Reference
from integrity.importing.staging import Staged
from integrity.statement import Part, Statement, compose, from_queryset, joined, name, names, value


def looked_up(staged: Staged, constants: Mapping[str, Any]) -> Statement:
    """A SELECT of nr, bad and new__<column> of every row; lost__ and many__<column> of each reference.

    constants: columns that get the same value in every row.
    """
    columns: list[Part] = [Statement("s.nr"), Statement("s.bad")]
    joins: list[Part] = []
    for part in staged.feed.by_field.values():
        if isinstance(part, Column):
            columns.append(compose("{v} AS {n}", v=typed(staged, part), n=name(f"new__{part.column}")))
        else:
            alias = f"ref_{part.column}"
            joins.append(_lookup(staged, part, alias))
            columns += _found(staged, part, alias)
    columns += [
        compose("{v} AS {n}", v=_constant(staged, column, held), n=name(f"new__{column}"))
        for column, held in constants.items()
    ]
    return compose(
        "SELECT {columns} FROM {staged} AS s {joins}",
        columns=joined(", ", columns),
        staged=staged.relation,
        joins=joined(" ", joins),
    )


def typed(staged: Staged, part: Column) -> Statement:
    """The text of a column as its value; an empty text stands for nothing where the column has no NULL."""
    held = part.value
    cast = compose("{raw}{cast}", raw=staged.raw(part.source), cast=held.cast)
    return compose("COALESCE({cast}, '')", cast=cast) if held.is_text and not part.field.null else cast


def _constant(staged: Staged, column: str, held: Any) -> Statement:
    field = next(f for f in staged.feed.model._meta.local_concrete_fields if f.column == column)
    return compose("{held}::{type}", held=value(held), type=Statement(str(field.db_type(staged.connection))))


def _lookup(staged: Staged, part: Reference, alias: str) -> Statement:
    """A join with the rows referred to, once each: a lookup that several rows answer is no reference."""
    by = {f"by_{i}": F(lookup) for i, lookup in enumerate(part.by)}
    rows = part.to._base_manager.using(DEFAULT_DB_ALIAS).order_by().values(integrity_to=F(part.target), **by)
    on = [
        compose("{raw}{cast} = {ref}", raw=staged.raw(source), cast=held.cast, ref=name(alias, f"by_{i}"))
        for i, (source, held) in enumerate(part.values().items())
    ]
    return compose(
        "LEFT JOIN (SELECT {by}, (array_agg(integrity_to))[1] AS integrity_to, count(*) AS integrity_rows"
        " FROM ({rows}) AS r GROUP BY {by}) AS {alias} ON {on}",
        by=names(by),
        rows=from_queryset(rows, DEFAULT_DB_ALIAS),
        alias=name(alias),
        on=joined(" AND ", on),
    )


def _found(staged: Staged, part: Reference, alias: str) -> Iterator[Statement]:
    given = joined(" OR ", (compose("{r} IS NOT NULL", r=staged.raw(s)) for s in staged.feed.telling(part)))
    found, rows = name(alias, "integrity_to"), name(alias, "integrity_rows")
    yield compose("CASE WHEN {rows} = 1 THEN {to} END AS {new}", rows=rows, to=found, new=name(f"new__{part.column}"))
    yield compose("({given}) AND {to} IS NULL AS {lost}", given=given, to=found, lost=name(f"lost__{part.column}"))
    yield compose("COALESCE({rows} > 1, false) AS {many}", rows=rows, many=name(f"many__{part.column}"))
