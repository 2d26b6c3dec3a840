"""Names that the parts of a trigger function share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from integrity.statement import Statement, compose

if TYPE_CHECKING:
    from integrity.rules.base import Rule

KEYS = "touched_keys"
OLD, NEW = "old_rows", "new_rows"
KEEPING = "integrity.keeping"


def keeping(rule: Rule, update: Statement) -> Statement:
    """An UPDATE of the rule's own table that tells the rule's triggers there to stand back."""
    return compose(
        "PERFORM set_config({keeping}, {label}, true);\n{update}\nPERFORM set_config({keeping}, '', true);",
        keeping=sql.Literal(KEEPING),
        label=sql.Literal(rule.label),
        update=update,
    )
