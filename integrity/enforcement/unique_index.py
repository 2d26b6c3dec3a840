"""A Unique rule as a unique index, in which NULL says the same as NULL: its name and its definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections
from django.db.models import F
from django.db.models.sql import Query
from psycopg import sql

from integrity.enforcement.names import shortened
from integrity.statement import Statement, compose, joined, name

if TYPE_CHECKING:
    from integrity.rules.unique import Unique


def unique_index_name(rule: Unique) -> str:
    """The name of the index, of at most 63 characters."""
    return shortened(f"{rule.app}_{rule.name}_once", 63)


def unique_index_tail(rule: Unique, using: str) -> Statement:
    """What comes after ``CREATE UNIQUE INDEX ... ON table``, without parameters: an index can have none."""
    query = Query(rule.model, alias_cols=False)
    compiler = query.get_compiler(using)
    parts = []
    for part in rule.by:
        text, params = compiler.compile(part.resolve_expression(query, allow_joins=False))
        parts.append(Statement(text if isinstance(part, F) else f"({text})", tuple(params)))
    tail = compose("USING btree ({parts}) NULLS NOT DISTINCT", parts=joined(", ", parts))
    if rule.where is not None:
        text, params = compiler.compile(query.build_where(rule.where))
        tail = compose("{tail} WHERE {where}", tail=tail, where=Statement(text, tuple(params)))
    return Statement(tail.inline(connections[using]).replace("%", "%%"))


def unique_index_statement(
    rule: Unique, using: str, *, table: str | sql.Identifier = "", index: str = "", concurrently: bool = False
) -> Statement:
    """CREATE UNIQUE INDEX on the rule's table, or on another one with the same columns under another name."""
    return compose(
        "CREATE UNIQUE INDEX {concurrently} {index} ON {table} {tail}",
        concurrently=Statement("CONCURRENTLY" if concurrently else ""),
        index=name(index or unique_index_name(rule)),
        table=name(table or rule.model._meta.db_table) if isinstance(table, str) else table,
        tail=unique_index_tail(rule, using),
    )
