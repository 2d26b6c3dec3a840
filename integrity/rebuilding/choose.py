"""Which rows of a table stay: the first of each key, in the order that ``keep`` declares.

Equal rows are put together first, in one parallel GROUP BY, and the order is looked at among what is left: sorting
equal rows costs 30 to 150 times as much where there are many of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet, Window
from django.db.models.expressions import BaseExpression, Subquery
from django.db.models.functions import RowNumber

from integrity.expressions import name_of
from integrity.keys import columns_of, pk_columns
from integrity.paths import resolve
from integrity.repairing.planner import hashing
from integrity.repairs.keep_one import order_of
from integrity.rules.unique import Unique
from integrity.statement import Part, Statement, compose, fetch, from_queryset, joined, name, names, run

GROUPS, KEPT = "integrity_groups", "integrity_kept"
_WITH_LEAST = ("smallint", "integer", "bigint", "numeric", "text", "character varying", "date", "uuid")
_WITHOUT_EQUALITY = {"json", "xml", "point", "polygon"}


@dataclass(frozen=True)
class Counted:
    """What there was: rows, distinct rows (all columns but the primary key), distinct keys, repeated keys."""

    rows: int
    distinct_rows: int | None
    keys: int
    repeated: int
    outside: int
    """Rows that the rule does not speak about; they stay."""

    @property
    def surplus(self) -> int:
        return self.rows - self.outside - self.keys


def choose(rule: Unique, table: Part, columns: Sequence[tuple[str, str]], using: str, connection: Any) -> Counted:
    """Make ``integrity_kept``: the primary key of each row that stays, its key, and how many rows say the same.

    table: the table to look at, which may have another name than the rule's. columns: its columns, with their types.
    """
    pks, owners = names(pk_columns(rule.model)), names(f"owner__{label}" for label in rule.labels)
    grouped = _may_be_grouped(rule, columns)
    run(connection, Statement(f"DROP TABLE IF EXISTS pg_temp.{GROUPS}, pg_temp.{KEPT}"))
    if grouped:
        groups = _groups(rule, table, columns)
        with hashing(connection):
            run(connection, compose(f"CREATE TEMP TABLE {GROUPS} AS {{groups}}", groups=groups))
        run(connection, Statement(f"ANALYZE pg_temp.{GROUPS}"))
        numbered = compose(
            f"SELECT r.*, g.integrity_rows FROM ({{ranked}}) AS r JOIN pg_temp.{GROUPS} AS g USING ({{pks}})",
            ranked=ranked(rule, Statement(f"SELECT * FROM pg_temp.{GROUPS}"), using),
            pks=pks,
        )
    else:
        every = ranked(rule, compose("SELECT * FROM {table}", table=table), using)
        numbered = compose("SELECT r.*, 1 AS integrity_rows FROM ({every}) AS r", every=every)
    run(
        connection,
        compose(
            f"CREATE TEMP TABLE {KEPT} AS SELECT {{pks}}, {{owners}}, integrity_sum AS integrity_rows FROM"
            " (SELECT n.*, sum(integrity_rows) OVER (PARTITION BY {owners}) AS integrity_sum FROM ({numbered}) AS n)"
            " AS s WHERE integrity_rank = 1",
            pks=pks,
            owners=owners,
            numbered=numbered,
        ),
    )
    run(connection, Statement(f"ANALYZE pg_temp.{KEPT}"))
    return _counted(table, grouped, connection)


def grouped_rows(connection: Any) -> Statement | None:
    """How many rows the groups are made of; None where equal rows could not be put together."""
    (found,) = fetch(connection, Statement(f"SELECT to_regclass('pg_temp.{GROUPS}') IS NOT NULL AS there"))
    total = f"SELECT coalesce(sum(integrity_rows), 0)::bigint AS n FROM pg_temp.{GROUPS}"
    return Statement(total) if found["there"] else None


def _counted(table: Part, grouped: bool, connection: Any) -> Counted:
    (kept,) = fetch(
        connection,
        Statement(
            "SELECT count(*) AS keys, coalesce(sum(integrity_rows), 0)::bigint AS spoken_of,"
            " count(*) FILTER (WHERE integrity_rows > 1) AS repeated FROM pg_temp.integrity_kept"
        ),
    )
    whole = (
        Statement(
            "SELECT coalesce(sum(integrity_rows), 0)::bigint AS rows, count(*) AS distinct_rows"
            " FROM pg_temp.integrity_groups"
        )
        if grouped
        else compose("SELECT count(*) AS rows, NULL AS distinct_rows FROM {table}", table=table)
    )
    (found,) = fetch(connection, whole)
    return Counted(
        found["rows"], found["distinct_rows"], kept["keys"], kept["repeated"], found["rows"] - kept["spoken_of"]
    )


def ranked(rule: Unique, source: Statement, using: str) -> Statement:
    """The rows of a source, which has the columns of the table, with their key and their place in its order."""
    columns: dict[str, Any] = {f"integrity_owner_{i}": part for i, part in enumerate(rule.by)}
    columns |= {f"integrity_pk_{i}": F(field.name) for i, field in enumerate(columns_of(rule.model))}
    window = Window(RowNumber(), partition_by=list(rule.by), order_by=order_of(rule))
    rows = speaks_about(rule, using).annotate(integrity_rank=window, **columns).values("integrity_rank", *columns)
    selected: list[Part] = [name("r", "integrity_rank")]
    for i, label in enumerate(rule.labels):
        selected.append(compose("r.{p} AS {o}", p=name(f"integrity_owner_{i}"), o=name(f"owner__{label}")))
    for i, pk in enumerate(pk_columns(rule.model)):
        selected.append(compose("r.{p} AS {pk}", p=name(f"integrity_pk_{i}"), pk=name(pk)))
    return compose(
        "SELECT {selected} FROM ({rows}) AS r",
        selected=joined(", ", selected),
        rows=over(rule, source, from_queryset(rows, using)),
    )


def over(rule: Unique, source: Statement, rows: Statement) -> Statement:
    """A query over the rule's model, computed over the rows of a source, which takes the name of its table."""
    return compose("WITH {t} AS ({source}) {rows}", t=name(rule.model._meta.db_table), source=source, rows=rows)


def speaks_about(rule: Unique, using: str) -> QuerySet[Any, Any]:
    """The rows of the rule's model that it speaks about."""
    rows = rule.model._base_manager.using(using).order_by()
    return rows.filter(rule.where) if rule.where else rows


# Putting equal rows together


def _groups(rule: Unique, table: Part, columns: Sequence[tuple[str, str]]) -> Statement:
    """Equal rows as one, which has the primary key of the first of them."""
    (pk,) = pk_columns(rule.model)
    others = names(column for column, _ in columns if column != pk)
    least = "max" if _last_first(rule) else "min"
    type_ = next(type_ for column, type_ in columns if column == pk)
    drawn = f'{least}({{pk}}::text COLLATE "C")::uuid' if type_ == "uuid" else f"{least}({{pk}})"
    return compose(
        f"SELECT {drawn} AS {{pk}}, {{others}}, count(*) AS integrity_rows FROM {{table}} GROUP BY {{others}}",
        pk=name(pk),
        others=others,
        table=table,
    )


def _last_first(rule: Unique) -> bool:
    """True when ``keep`` takes the highest primary key of rows that are equal in all else."""
    own = columns_of(rule.model)[0]
    for part in order_of(rule):
        if _is_column(part.expression, {"pk", own.name, own.attname}):
            return bool(part.descending)
    return False


def _may_be_grouped(rule: Unique, columns: Sequence[tuple[str, str]]) -> bool:
    """Equal rows can be put together when nothing that chooses among them tells them apart but their order.

    Not when an expression computes something of the primary key or looks at other tables, nor when a type cannot be
    compared or its equal values differ.
    """
    pks = columns_of(rule.model)
    if len(pks) != 1:
        return False
    types = {column: type_.split("(")[0] for column, type_ in columns}
    if types[str(pks[0].column)] not in _WITH_LEAST or _WITHOUT_EQUALITY & set(types.values()):
        return False
    own = {"pk", pks[0].name, pks[0].attname}
    parts = [part for part in (rule.where, *rule.by) if part is not None]
    parts += [p.expression for p in order_of(rule) if not _is_column(p.expression, own)]
    return not any(_looks_further(rule, part, own) for part in parts)


def _is_column(part: Any, names_: set[str]) -> bool:
    return isinstance(part, F) and name_of(part) in names_


def _looks_further(rule: Unique, part: Any, own: set[str]) -> bool:
    """True for what reads the primary key, another table, or a subquery."""
    if isinstance(part, Subquery | QuerySet):
        return True
    if isinstance(part, tuple):
        return _looks_further(rule, F(part[0]), own) or _looks_further(rule, part[1], own)
    if isinstance(part, F):
        path = resolve(rule.model, name_of(part))
        local = not path.hops or (path.hops[0].forward and len(path.hops) == 1 and path.rest == ("pk",))
        return not local or name_of(part).split("__")[0] in own
    children = getattr(part, "children", ())
    if isinstance(part, BaseExpression):
        children = part.get_source_expressions()
    return any(_looks_further(rule, child, own) for child in children)
