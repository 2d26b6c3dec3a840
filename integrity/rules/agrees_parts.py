"""Cutting two large tables at the same keys, so that processes of the server look at a part of the pairs each.

PostgreSQL goes through a FULL JOIN with one process only, but through several of them with several.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Model

from integrity.scope import Scope
from integrity.statement import Statement, fetch

if TYPE_CHECKING:
    from integrity.rules.agrees import Agrees

LARGE = 100_000
"""Rows from which on it pays."""
# Cuts between parts that are about equal, one part for each process that a statement may have.
_CUTS = """
SELECT bounds[1 + i * (cardinality(bounds) - 1) / parts] AS cut FROM (
    SELECT histogram_bounds::text::bigint[] AS bounds,
        1 + current_setting('max_parallel_workers_per_gather')::integer AS parts
    FROM pg_stats AS s JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(%s))
    JOIN pg_namespace AS n ON n.oid = relnamespace AND nspname = schemaname AND relname = tablename
    WHERE attname = %s AND NOT inherited AND reltuples >= %s
) AS s, generate_series(1, parts - 1) AS i WHERE cardinality(bounds) > parts ORDER BY i
"""


Part = tuple[int | None, int | None]
"""Keys beyond the first number, up to the second one; None: all on that side."""


def parts(rule: Agrees, scope: Scope, using: str) -> list[Part]:
    """Parts of the keys, one for each process; a single one where the tables are small or the scope is narrow."""
    if scope.narrow or not all(_is_whole_number(model, rule) for model in rule.roots()):
        return [(None, None)]
    table, (field,) = rule.model._meta.db_table, rule.key_fields
    found = fetch(connections[using], Statement(_CUTS, (table, str(field.column), LARGE)))
    return list(pairwise([None, *sorted({row["cut"] for row in found}), None]))


def _is_whole_number(model: type[Model], rule: Agrees) -> bool:
    """Whether the key has one column, of numbers: texts of two tables may have orders of their own."""
    names = rule.keys_of(model)
    field: Any = model._meta.get_field(names[0])
    while field.remote_field:
        field = field.target_field
    return len(names) == 1 and field.get_internal_type().endswith(("IntegerField", "AutoField"))
