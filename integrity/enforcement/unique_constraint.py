"""A Unique rule among the constraints of its model, for migrations and forms."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Field, UniqueConstraint

from integrity.enforcement.unique_index import unique_index_name
from integrity.expressions import name_of
from integrity.keys import own_field
from integrity.rules.unique import Unique


class RuleUnique(UniqueConstraint):
    """A unique index that a migration gives to an empty table. To one with rows ``integrity enforce`` gives it, which
    builds it beside writers and tells of duplicates.
    """

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        """CREATE UNIQUE INDEX, where there is no row yet."""
        create = self._as_index().create_sql(model, schema_editor)
        table = schema_editor.quote_name(model._meta.db_table)
        return (
            f"DO $integrity$ BEGIN IF NOT EXISTS (SELECT FROM {table}) THEN {create}; END IF;"
            " EXCEPTION WHEN unique_violation THEN NULL; END $integrity$"
        )

    def constraint_sql(self, model: Any, schema_editor: Any) -> Any:
        """Nothing within CREATE TABLE; it follows at the end of the migration."""
        schema_editor.deferred_sql.append(self.create_sql(model, schema_editor))
        return None

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        """DROP INDEX IF EXISTS."""
        return self._as_index().remove_sql(model, schema_editor)

    def _as_index(self) -> UniqueConstraint:
        """Only an index can be built beside writers, so that it is one everywhere."""
        parts = self.expressions or [F(field) for field in self.fields]
        return UniqueConstraint(*parts, condition=self.condition, nulls_distinct=False, name=self.name)


def declared_constraint(rule: Unique) -> RuleUnique:
    """The rule among the constraints of its model."""
    options: dict[str, Any] = {"name": unique_index_name(rule), "nulls_distinct": False, "condition": rule.where}
    if all(isinstance(part, F) for part in rule.by):
        # Of fields a form can say which one to correct.
        return RuleUnique(fields=[_field(rule, part).name for part in rule.by], **options)
    return RuleUnique(*rule.by, **options)


def says_the_same(rule: Unique) -> bool:
    """True when the model itself declares a constraint that the rule follows from."""
    opts = rule.model._meta
    if not all(isinstance(part, F) for part in rule.by):
        expressions = {*rule.by}
        return any(
            {*known.expressions} == expressions
            and known.condition in (None, rule.where)
            and known.nulls_distinct is False
            for known in opts.constraints
            if isinstance(known, UniqueConstraint) and not isinstance(known, RuleUnique)
        )
    fields = {_field(rule, part) for part in rule.by}
    names, never_null = {field.name for field in fields}, not any(field.null for field in fields)
    declared = [({field.name}, False) for field in fields if field.unique]
    declared += [({*together}, False) for together in opts.unique_together]
    declared += [
        ({*known.fields}, known.nulls_distinct is False)
        for known in opts.constraints
        if isinstance(known, UniqueConstraint) and not isinstance(known, RuleUnique)
        if known.fields and known.condition in (None, rule.where)
    ]
    return any(columns == names and (never_null or nulls_equal) for columns, nulls_equal in declared)


def _field(rule: Unique, part: F) -> Field[Any, Any]:
    return own_field(rule.model, name_of(part))
