"""What the database really has: tables, columns, triggers, foreign keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections

from integrity.statement import Statement, fetch

if TYPE_CHECKING:
    from integrity.rules.base import Rule


def missing_tables(rule: Rule, using: str) -> list[str]:
    """Tables that the rule reads and that the search path does not lead to."""
    tables = sorted({model._meta.db_table for model in rule.reads()})
    rows = fetch(
        connections[using],
        Statement("SELECT t FROM unnest(%s::text[]) AS t WHERE to_regclass(quote_ident(t)) IS NULL ORDER BY t", (tables,)),
    )
    return [row["t"] for row in rows]
