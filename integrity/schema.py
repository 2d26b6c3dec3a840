"""What the database really has: tables, columns, triggers, foreign keys. Read from the catalog, never assumed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.apps import apps
from django.db import connections
from django.db.models import Model

from integrity.exceptions import Refused
from integrity.statement import Statement, fetch

if TYPE_CHECKING:
    from integrity.rules.base import Rule

WATCH = "integrity_watch_"
"""How the names of the triggers that only note who deletes what begin."""
# Bits of pg_trigger.tgtype.
_EVENT_BIT = {"insert": 4, "delete": 8, "update": 16}


def missing_tables(rule: Rule, using: str) -> list[str]:
    """Tables that the rule reads and that the search path does not lead to."""
    tables = sorted({model._meta.db_table for model in rule.reads()})
    rows = fetch(
        connections[using],
        Statement(
            "SELECT t FROM unnest(%s::text[]) AS t WHERE to_regclass(quote_ident(t)) IS NULL ORDER BY t", (tables,)
        ),
    )
    return [row["t"] for row in rows]


def is_retired(rule: Rule, using: str) -> bool:
    """True when a table of a rule has gone by design."""
    return rule.while_exists and bool(missing_tables(rule, using))


@dataclass(frozen=True)
class Column:
    """A column as the catalog has it."""

    name: str
    type: str
    """As PostgreSQL writes it, with length or scale."""
    generated: bool


def columns(table: str, connection: Any) -> list[Column]:
    """The columns that a table has now."""
    rows = fetch(
        connection,
        Statement(
            "SELECT attname, format_type(atttypid, atttypmod) AS type, attgenerated <> '' AS generated"
            " FROM pg_attribute WHERE attrelid = to_regclass(quote_ident(%s)) AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum",
            (table,),
        ),
    )
    return [Column(row["attname"], row["type"], row["generated"]) for row in rows]


def types(tables: Iterable[str], connection: Any) -> dict[str, dict[str, str]]:
    """The type of each column that some tables have now, by table and column."""
    found: dict[str, dict[str, str]] = {table: {} for table in tables}
    rows = fetch(
        connection,
        Statement(
            "SELECT w.owner, attname, format_type(atttypid, atttypmod) AS type FROM unnest(%s::text[]) AS w (owner)"
            " JOIN pg_attribute ON attrelid = to_regclass(quote_ident(w.owner)) AND attnum > 0 AND NOT attisdropped",
            (list(found),),
        ),
    )
    for row in rows:
        found[row["owner"]][row["attname"]] = row["type"]
    return found


def require_declared(models: Iterable[type[Model]], connection: Any) -> None:
    """Refuse to work on tables other than the declared ones: a wrong database or search_path, a missing migration."""
    for model in models:
        opts = model._meta
        found = {column.name: column.type for column in columns(opts.db_table, connection)}
        where = f"in the database {connection.settings_dict['NAME']!r}"
        if not found:
            raise Refused(
                f"The table {opts.db_table} is not {where}. Is it the right database and search_path?"
                " Run: manage.py migrate"
            )
        for field in opts.local_concrete_fields:
            if field.column is None:
                continue
            if field.column not in found:
                raise Refused(
                    f"{opts.db_table} has no column {field.column!r} {where}, which {opts.label} declares."
                    " Run: manage.py migrate"
                )
            if field.auto_created:
                # Django gives the automatic key of a many-to-many table the project's type, not the model's.
                continue
            declared = _type_name(str(field.db_type(connection)), connection)
            if declared and declared.lower() != found[field.column].lower():
                raise Refused(
                    f"{opts.db_table}.{field.column} is {found[field.column]} {where},"
                    f" and {opts.label} declares {declared}."
                    " Change the one or the other; if a migration is missing, run: manage.py migrate"
                )


def _type_name(declared: str, connection: Any) -> str | None:
    """A type as the catalog writes it; None for one that only exists elsewhere."""
    key = ("integrity_type_name", declared)
    cache = connection.__dict__.setdefault("_integrity_types", {})
    if key not in cache:
        match = fetch(
            connection,
            Statement("SELECT pg_catalog.format_type(to_regtype(%s), NULL) AS base", (declared,)),
        )[0]["base"]
        cache[key] = _with_scale(match, declared) if match else None
    return cast("str | None", cache[key])


def _with_scale(base: str, declared: str) -> str:
    """The length or scale where the catalog has it: before the brackets of an array, before ``with time zone``."""
    found = re.search(r"\(.*?\)", declared)
    scale = found[0].replace(" ", "") if found else "(1)" if base in {"bit", "character"} else ""
    word, rest = re.fullmatch(r"(.*?)( with.* time zone)?(?:\[\])?", base).groups()  # type: ignore[union-attr]
    return f"{word}{scale}{rest or ''}{'[]' if base.endswith('[]') else ''}"


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key that points at a table."""

    name: str
    table: str
    columns: tuple[str, ...]
    targets: tuple[str, ...]
    on_delete: str
    """pg_constraint.confdeltype: a no action, r restrict, c cascade, n set null, d set default."""


def foreign_keys_to(table: str, connection: Any) -> list[ForeignKey]:
    """The foreign keys of the catalog that refer to a table."""
    rows = fetch(
        connection,
        Statement(
            "SELECT c.conname, k.relname, c.confdeltype,"
            " array(SELECT attname::text FROM unnest(c.conkey) WITH ORDINALITY u(n, i)"
            "  JOIN pg_attribute ON attrelid = c.conrelid AND attnum = n ORDER BY i) AS cols,"
            " array(SELECT attname::text FROM unnest(c.confkey) WITH ORDINALITY u(n, i)"
            "  JOIN pg_attribute ON attrelid = c.confrelid AND attnum = n ORDER BY i) AS targets"
            " FROM pg_constraint c JOIN pg_class k ON k.oid = c.conrelid"
            " WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confrelid = to_regclass(quote_ident(%s))"
            " ORDER BY k.relname, c.conname",
            (table,),
        ),
    )
    return [
        ForeignKey(r["conname"], r["relname"], tuple(r["cols"]), tuple(r["targets"]), r["confdeltype"]) for r in rows
    ]


@dataclass(frozen=True)
class UniqueIndex:
    """A unique index: what may occur once together."""

    parts: tuple[str, ...]
    """Its other columns and expressions, as PostgreSQL writes them."""
    condition: str
    """Of which rows it speaks; empty for all."""
    nulls_equal: bool


def unique_indexes(table: str, column: str, connection: Any) -> list[UniqueIndex]:
    """The unique indexes of a table that a column is part of."""
    rows = fetch(
        connection,
        Statement(
            "SELECT array(SELECT pg_get_indexdef(i.indexrelid, n::int, true)"
            "  FROM generate_series(1, i.indnkeyatts) AS n WHERE i.indkey[n - 1] <> a.attnum ORDER BY n) AS parts,"
            " COALESCE(pg_get_expr(i.indpred, i.indrelid), '') AS condition, i.indnullsnotdistinct AS nulls_equal"
            " FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = %s"
            " WHERE i.indrelid = to_regclass(quote_ident(%s)) AND i.indisunique AND i.indislive"
            " AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]) ORDER BY i.indexrelid",
            (column, table),
        ),
    )
    return [UniqueIndex(tuple(row["parts"]), row["condition"], row["nulls_equal"]) for row in rows]


def is_table(table: str, connection: Any) -> bool:
    """True for a table that is there, and that is no view."""
    found = "SELECT FROM pg_class WHERE oid = to_regclass(quote_ident(%s)) AND relkind IN ('r', 'p')"
    return bool(fetch(connection, Statement(found, (table,))))


@dataclass(frozen=True)
class UniqueKey:
    """A unique index of a table as the catalog has it."""

    name: str
    schema: str
    parts: frozenset[str]
    """Columns and expressions as PostgreSQL prints them; their order means nothing."""
    where: str | None
    nulls_equal: bool
    """True also where no part can be NULL."""
    valid: bool

    def implies(self, other: UniqueKey) -> bool:
        """True when no two rows can be equal by the other where this one is there."""
        return (
            self.valid
            and self.parts == other.parts
            and self.where in (None, other.where)
            and (self.nulls_equal or not other.nulls_equal)
        )


def unique_keys(table: str, connection: Any) -> list[UniqueKey]:
    """The unique indexes of a table, by name; those of a build that has not ended, or failed, are not ``valid``."""
    rows = fetch(
        connection,
        Statement(
            "SELECT c.relname AS name, n.nspname AS schema, pg_get_expr(i.indpred, i.indrelid) AS where,"
            " i.indisvalid AND i.indisready AND i.indislive AS valid,"
            " array(SELECT pg_get_indexdef(indexrelid, k, true) FROM generate_series(1, indnkeyatts) AS k) AS parts,"
            " i.indnullsnotdistinct OR NOT EXISTS ("
            "  SELECT FROM generate_series(0, i.indnkeyatts - 1) AS k LEFT JOIN pg_attribute AS a"
            "  ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] WHERE a.attnotnull IS NOT TRUE) AS nulls_equal"
            " FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n"
            " ON n.oid = c.relnamespace WHERE i.indrelid = to_regclass(quote_ident(%s)) AND i.indisunique"
            " ORDER BY c.relname",
            (table,),
        ),
    )
    return [UniqueKey(**row | {"parts": frozenset(row["parts"])}) for row in rows]


def triggers(table: str, operation: str, written: Iterable[str], connection: Any) -> list[str]:
    """Names of enabled triggers of people that an operation would fire; ``written`` are the columns that it sets."""
    rows = fetch(
        connection,
        Statement(
            "SELECT tgname FROM pg_trigger t WHERE tgrelid = to_regclass(quote_ident(%s)) AND NOT tgisinternal"
            " AND NOT starts_with(tgname, %s) AND tgenabled <> 'D' AND tgtype::int & %s > 0"
            " AND (%s <> 'update' OR cardinality(tgattr::int2[]) = 0"
            " OR EXISTS ("
            "  SELECT FROM pg_attribute WHERE attrelid = tgrelid AND attnum = ANY(tgattr::int2[])"
            " AND attname = ANY(%s::text[])))"
            " ORDER BY tgname",
            (table, WATCH, _EVENT_BIT[operation], operation, list(written)),
        ),
    )
    return [row["tgname"] for row in rows]


def model_of(table: str) -> type[Model]:
    """The model of a table. Raises Refused when none declares it any more."""
    model = find_model(table)
    if model is None:
        raise Refused(f"No model declares the table {table}: its rows cannot be read or put back.")
    return model


def find_model(table: str) -> type[Model] | None:
    """The model that declares a table, tables of many-to-many relations included."""
    models = apps.get_models(include_auto_created=True)
    return next((model for model in models if model._meta.db_table == table and not model._meta.proxy), None)
