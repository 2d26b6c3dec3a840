"""An Always rule as a CHECK constraint: first for new rows only, validated when the old ones are clean."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from django.db import connections
from django.db.models import CheckConstraint, Model
from django.db.models.sql import Query

from integrity.enforcement.base import (
    ENFORCED,
    GUARDED,
    MISSING,
    OUTDATED,
    Enforcement,
    Found,
    Step,
    declare_constraint,
    taken_back,
    together,
)
from integrity.enforcement.names import constraint_name
from integrity.rules.always import Always
from integrity.shown import counted
from integrity.statement import Statement, compose, fetch, name, run


class RuleCheck(CheckConstraint):
    """A CHECK that a migration adds NOT VALID: it guards new rows, and old ones are cleaned before it is validated."""

    def create_sql(self, model: type[Model] | None, schema_editor: Any) -> Any:
        """ALTER TABLE ... ADD CONSTRAINT ... NOT VALID."""
        statement: Any = super().create_sql(model, schema_editor)
        statement.template += " NOT VALID"
        return statement


class Check(Enforcement):
    """Refuses a row that makes the condition false."""

    dirty: ClassVar[Literal["guard", "ask", "refuse"]] = "ask"
    rule: Always

    def found(self, using: str) -> Found:
        rows = fetch(
            connections[using],
            Statement(
                "SELECT convalidated AS validated, pg_get_constraintdef(oid) AS definition FROM pg_constraint"
                " WHERE conrelid = to_regclass(quote_ident(%s)) AND conname = %s",
                (self.rule.model._meta.db_table, constraint_name(self.rule)),
            ),
        )
        if not rows:
            return Found(MISSING)
        if rows[0]["definition"].removesuffix(" NOT VALID") != self._as_catalog_writes(using):
            return Found(OUTDATED)
        return Found(ENFORCED if rows[0]["validated"] else GUARDED)

    def guard(self, using: str) -> list[Step]:
        return [together(self._drop(), self._add(self.rule.model._meta.db_table, using))]

    def validate(self, using: str) -> list[Step]:
        """Every row is checked, without blocking writers."""
        return [together(compose("ALTER TABLE {table} VALIDATE CONSTRAINT {name}", **self._parts))]

    def remove(self, using: str) -> list[Step]:
        return [] if self.found(using).state == MISSING else [together(self._drop())]

    def refusal(self, violations: int) -> str:
        break_it = "breaks" if violations == 1 else "break"
        return (
            f"{counted(violations, 'row')} {break_it} {self.rule.label}, and a CHECK refuses any update of such rows,"
            " of other columns too, until it is repaired. Repair them first, or guard the table all the same: --yes"
        )

    def declare(self) -> None:
        declare_constraint(self.rule, RuleCheck(condition=self.rule.condition, name=constraint_name(self.rule)))

    @property
    def _parts(self) -> dict[str, Any]:
        return {"table": name(self.rule.model._meta.db_table), "name": name(constraint_name(self.rule))}

    def _drop(self) -> Statement:
        return compose("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}", **self._parts)

    def _add(self, table: str, using: str) -> Statement:
        """New and changed rows are checked."""
        condition = Query(self.rule.model, alias_cols=False).build_where(self.rule.condition)
        text, params = Query(self.rule.model, alias_cols=False).get_compiler(using).compile(condition)
        literal = Statement(text, tuple(params)).inline(connections[using]).replace("%", "%%")
        return compose(
            "ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID",
            **self._parts | {"table": name(table), "condition": Statement(literal)},
        )

    def _as_catalog_writes(self, using: str) -> str:
        """The declared condition as PostgreSQL prints it, read off an empty copy of the table that is taken back."""
        connection = connections[using]
        printed = Statement(
            "SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint"
            " WHERE conrelid = 'pg_temp.integrity_check'::regclass AND conname = %s",
            (constraint_name(self.rule),),
        )
        with taken_back(using):
            run(connection, compose("CREATE TEMP TABLE integrity_check (LIKE {table})", **self._parts))
            run(connection, self._add("integrity_check", using))
            return str(fetch(connection, printed)[0]["definition"]).removesuffix(" NOT VALID")
