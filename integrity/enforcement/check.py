"""An Always rule as a CHECK constraint: first for new rows only, validated when the old ones are clean."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import CheckConstraint, Model
from django.db.models.sql import Query

from integrity.statement import Statement, compose, fetch, name, run

if TYPE_CHECKING:
    from integrity.rules.always import Always


class RuleCheck(CheckConstraint):
    """A CHECK that a migration adds NOT VALID: it guards new rows, and old ones are cleaned before it is validated."""

    def create_sql(self, model: type[Model] | None, schema_editor: Any) -> Any:
        """ALTER TABLE ... ADD CONSTRAINT ... NOT VALID."""
        statement: Any = super().create_sql(model, schema_editor)
        statement.template += " NOT VALID"
        return statement


def check_name(rule: Always) -> str:
    """The name of the constraint, of at most 63 characters."""
    wanted = f"{rule.app}_{rule.name}_holds"
    return wanted if len(wanted) <= 63 else f"{wanted[:56]}_{hashlib.sha256(wanted.encode()).hexdigest()[:6]}"


def check_state(rule: Always, using: str) -> str:
    """missing, guarded, enforced or outdated, as the catalog has it."""
    connection = connections[using]
    rows = fetch(
        connection,
        Statement(
            "SELECT convalidated AS validated, pg_get_constraintdef(oid) AS definition FROM pg_constraint"
            " WHERE conrelid = to_regclass(quote_ident(%s)) AND conname = %s",
            (rule.model._meta.db_table, check_name(rule)),
        ),
    )
    if not rows:
        return "missing"
    if _plain(rows[0]["definition"]) != _plain(_as_catalog_writes(rule, using)):
        return "outdated"
    return "enforced" if rows[0]["validated"] else "guarded"


def _as_catalog_writes(rule: Always, using: str) -> str:
    """The declared condition as PostgreSQL prints it, read off an empty copy of the table that is taken back."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT integrity_check")
        try:
            table = name(rule.model._meta.db_table)
            run(connection, compose("CREATE TEMP TABLE integrity_check (LIKE {table})", table=table))
            run(connection, add_statement(rule, "integrity_check", using))
            cursor.execute(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE conrelid = 'pg_temp.integrity_check'::regclass"
                " AND conname = %s",
                [check_name(rule)],
            )
            return str(cursor.fetchone()[0])
        finally:
            cursor.execute("ROLLBACK TO SAVEPOINT integrity_check")


def _plain(definition: str) -> str:
    return definition.removesuffix(" NOT VALID")


def add_statement(rule: Always, table: str, using: str) -> Statement:
    """The guard: new and changed rows are checked."""
    condition = Query(rule.model, alias_cols=False).build_where(rule.condition)
    text, params = Query(rule.model, alias_cols=False).get_compiler(using).compile(condition)
    literal = Statement(text, tuple(params)).inline(connections[using]).replace("%", "%%")
    return compose(
        "ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID",
        table=name(table),
        name=name(check_name(rule)),
        condition=Statement(literal),
    )


def validate_statement(rule: Always) -> Statement:
    """The proof: every row is checked, without blocking writers."""
    return compose(
        "ALTER TABLE {table} VALIDATE CONSTRAINT {name}",
        table=name(rule.model._meta.db_table),
        name=name(check_name(rule)),
    )


def drop_statement(rule: Always) -> Statement:
    """Taking it away again."""
    return compose(
        "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}",
        table=name(rule.model._meta.db_table),
        name=name(check_name(rule)),
    )
