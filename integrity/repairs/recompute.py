"""Recompute: the stored value becomes what the rows say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from django.db.models import Model

from integrity.exceptions import WrongDeclaration
from integrity.keys import column_of, columns_of
from integrity.repairs.base import UPDATE, Repair, Write
from integrity.scope import Scope
from integrity.statement import Statement, compose, joined, name, value

if TYPE_CHECKING:
    from integrity.rules.base import Rule
    from integrity.rules.derived import Derived


class Recompute(Repair):
    """Set the columns of a Derived rule to their expected values, and its stamps with them."""

    verb = "set the stored value to the expected one"
    follows_reference = True
    of_each_key = True

    def writes(self, rule: Rule) -> list[type[Model]]:
        return [rule.model]

    def columns(self, rule: Rule) -> tuple[str, ...]:
        derived = cast("Derived", rule)
        return tuple(column_of(derived.model, column) for column in (*derived.equals, *derived.stamps))

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        if rule.kind != "derived":
            yield WrongDeclaration("is Recompute, which only a Derived rule has a value for", "Choose another repair.")

    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        derived = cast("Derived", rule)
        columns = {column: column_of(derived.model, column) for column in derived.equals}
        keys = columns_of(rule.model)
        selected = [compose("{op} AS op", op=value(UPDATE))]
        for key in keys:
            found = name("d", f"key__{key.name}")
            selected.append(
                compose(
                    "{k} AS {owner}, {k} AS {row}",
                    k=found,
                    owner=name(f"owner__{key.name}"),
                    row=name(f"row__{key.column}"),
                )
            )
        for field, column in columns.items():
            selected.append(_as("d", f"actual__{field}", f"old__{column}"))
            selected.append(_as("d", f"expected__{field}", f"new__{column}"))
        stamps = {field: column_of(derived.model, field) for field in derived.stamps}
        selected += [_as("d", f"stamp__{field}", f"new__{column}") for field, column in stamps.items()]
        source = compose("({violations}) AS d", violations=derived.violations(scope, using, to_write=True))
        statement = compose("SELECT {columns} FROM {source}", columns=joined(", ", selected), source=source)
        return [
            Write(
                rule.model,
                statement,
                sets=(*columns.values(), *stamps.values()),
                guards=tuple(columns.values()),
                locked=True,
            )
        ]


def _as(alias: str, column: str, output: str) -> Statement:
    return compose("{column} AS {output}", column=name(alias, column), output=name(output))
