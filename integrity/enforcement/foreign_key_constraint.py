"""A foreign key among the constraints of a model, for columns of which Django makes none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import BaseConstraint
from psycopg import sql

from integrity.statement import compose, name, names


class RuleForeignKey(BaseConstraint):
    """A foreign key that a migration adds NOT VALID: it guards new rows, and old ones are cleaned before it is
    validated. On an empty table it is valid at once.
    """

    def __init__(
        self, *, table: str, columns: Sequence[str], to_table: str, to_columns: Sequence[str], name: str
    ) -> None:
        super().__init__(name=name)
        self.table, self.columns = table, tuple(columns)
        self.to_table, self.to_columns = to_table, tuple(to_columns)

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        """Nothing at once: the migration may make the table referred to, or its unique index, further down."""
        schema_editor.deferred_sql.append(self._add())
        return None

    def constraint_sql(self, model: Any, schema_editor: Any) -> Any:
        """The same within CREATE TABLE."""
        return self.create_sql(model, schema_editor)

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        """ALTER TABLE ... DROP CONSTRAINT IF EXISTS ..."""
        schema_editor.deferred_sql[:] = [text for text in schema_editor.deferred_sql if text != self._add()]
        return compose(
            "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}", table=name(self.table), name=name(self.name)
        ).literal()

    def validate(self, *args: Any, **options: Any) -> None:
        """The database says it, of all rows at the end of the transaction."""

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """As a migration writes it."""
        path, args, options = super().deconstruct()
        options |= {"table": self.table, "columns": self.columns}
        return path, tuple(args), options | {"to_table": self.to_table, "to_columns": self.to_columns}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RuleForeignKey) and self.deconstruct() == other.deconstruct()

    __hash__ = None  # type: ignore[assignment]

    def _add(self) -> str:
        return compose(
            "DO $integrity$ BEGIN IF to_regclass({target}) IS NULL THEN"
            " RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = {missing}, HINT = {hint}; END IF;"
            " {add}; IF NOT EXISTS (SELECT FROM {table}) THEN ALTER TABLE {table} VALIDATE CONSTRAINT {name}; END IF;"
            " END $integrity$",
            target=sql.Literal(name(self.to_table).as_string(None)),
            missing=sql.Literal(f"{self.table} refers to {self.to_table}, which no migration has made yet."),
            hint=sql.Literal(
                f"Let this migration depend on the one that makes {self.to_table}: add it to dependencies."
            ),
            add=sql.SQL(add_constraint(self)),
            table=name(self.table),
            name=name(self.name),
        ).literal()


def add_constraint(key: RuleForeignKey) -> str:
    """ALTER TABLE ... ADD CONSTRAINT ... NOT VALID, checked at the end of a transaction as Django's own."""
    return compose(
        "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) REFERENCES {to} ({to_columns})"
        " DEFERRABLE INITIALLY DEFERRED NOT VALID",
        table=name(key.table),
        name=name(key.name),
        columns=names(key.columns),
        to=name(key.to_table),
        to_columns=names(key.to_columns),
    ).literal()
