"""Clear: a reference to nothing becomes NULL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from django.db.models import Model

from integrity.exceptions import WrongDeclaration
from integrity.keys import column_of, columns_of
from integrity.repairs.base import NULLIFIED, UPDATE, Repair, Write
from integrity.scope import Scope
from integrity.statement import compose, joined, name, value

if TYPE_CHECKING:
    from integrity.rules.base import Rule
    from integrity.rules.references import References


class Clear(Repair):
    """Set the referring columns of a References rule to NULL. The row stays, and what it referred to is forgotten."""

    verb = "set the reference to NULL"
    follows_reference = True

    def writes(self, rule: Rule) -> list[type[Model]]:
        return [rule.model]

    def columns(self, rule: Rule) -> tuple[str, ...]:
        return tuple(column_of(rule.model, column) for column in cast("References", rule).columns)

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        if rule.kind != "references":
            yield WrongDeclaration(
                "is Clear, which only a References rule has references for", "Choose another repair."
            )
            return
        for column in cast("References", rule).columns:
            field = rule.model._meta.get_field(column)
            if not getattr(field, "null", False):
                yield WrongDeclaration(
                    f"is Clear, and {column!r} of {rule.model._meta.label} cannot be NULL",
                    "Relink it, or move the row to Quarantine.",
                )

    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        references = cast("References", rule)
        selected = [compose("{op}::text AS op", op=value(UPDATE))]
        selected += [
            compose(
                "d.{key} AS {owner}, d.{key} AS {row}",
                key=name(f"key__{key.name}"),
                owner=name(f"owner__{key.name}"),
                row=name(f"row__{key.column}"),
            )
            for key in columns_of(rule.model)
        ]
        for field in references.columns:
            column, actual = column_of(rule.model, field), name("d", f"actual__{field}")
            selected.append(compose("{actual} AS {old}", actual=actual, old=name(f"old__{column}")))
            selected.append(compose("NULLIF({a}, {a}) AS {new}", a=actual, new=name(f"new__{column}")))
        statement = compose(
            "SELECT {columns} FROM ({violations}) AS d",
            columns=joined(", ", selected),
            violations=rule.violations(scope, using),
        )
        columns = self.columns(rule)
        return [Write(rule.model, statement, sets=columns, guards=columns, locked=True, outcome=NULLIFIED)]
