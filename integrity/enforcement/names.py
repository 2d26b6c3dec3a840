"""Names of constraints, and those that the parts of a trigger function share."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from psycopg import sql

from integrity.statement import Statement, compose, name

if TYPE_CHECKING:
    from integrity.rules.base import Rule

KEYS, KEPT, OUTER = "touched_keys", "kept_now", "kept_outside"
OLD, NEW = "old_rows", "new_rows"
KEEPING = "integrity.keeping"


def stand_back(rule: Rule | None) -> Statement:
    """Tell the triggers of a rule on its own table, or for None of no rule, that the next statement keeps it true."""
    return compose(
        "SELECT set_config({keeping}, {label}, true)",
        keeping=sql.Literal(KEEPING),
        label=sql.Literal(f"{rule.label}:1" if rule else ""),
    )


def constraint_name(rule: Rule) -> str:
    """The name of the constraint or index that a rule becomes, of at most 63 characters."""
    return shortened(f"{rule.app}_{rule.name}_holds", 63)


def shortened(wanted: str, room: int) -> str:
    """A name, or its beginning and a hash where there is not enough room."""
    return wanted if len(wanted) <= room else f"{wanted[: room - 7]}_{hashlib.sha256(wanted.encode()).hexdigest()[:6]}"


def keeping(rule: Rule, update: Statement) -> Statement:
    """An UPDATE of the rule's own table that tells the rule's triggers there to stand back.

    The depth says to which of them: what other triggers write in answer to it, deeper down, is looked at. Assigned,
    not selected: an assignment of a plain function call costs no query.
    """
    return compose(
        "{outer} := coalesce(current_setting({keeping}, true), '');\n"
        "{kept} := set_config({keeping}, {label} || (pg_trigger_depth() + 1), true);\n"
        "{update}\n"
        "{kept} := set_config({keeping}, {outer}, true);",
        outer=name(OUTER),
        kept=name(KEPT),
        keeping=sql.Literal(KEEPING),
        label=sql.Literal(f"{rule.label}:"),
        update=update,
    )
