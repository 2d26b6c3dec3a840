"""Always: a condition holds for every row, and means what a CHECK constraint means by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.db import connections
from django.db.models import F, Model, Q, TextField, Value

from integrity.compiler import check_condition, select
from integrity.exceptions import WrongDeclaration
from integrity.joins import nodes_of
from integrity.keys import columns_of
from integrity.paths import Path, lookups, resolve
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.statement import Statement


class Always(Rule):
    """``Always(Player, Q(distance_total__gte=0), ...)``. A condition that is unknown because of a NULL is not broken.

    Two rows with NaN compare as PostgreSQL does it: NaN equals NaN and is greater than every number.
    """

    kind = "always"
    needs_other_rows: ClassVar[bool] = False

    def __init__(self, model: type[Model], condition: Q, **options: Any) -> None:
        super().__init__(model, **options)
        self.condition = condition

    def violations(self, scope: Scope, using: str) -> Statement:
        columns: dict[str, Any] = {f"key__{key.name}": F(key.name) for key in columns_of(self.model)}
        columns |= {f"actual__{column}": F(column) for column in self._columns()}
        columns["expected__condition"] = Value(self._text(using), output_field=TextField())
        return select(self.model, columns, using=using, where=self.where, scope=scope, only=self.condition)

    def paths(self) -> list[Path]:
        return [resolve(self.model, lookup) for lookup in lookups(self.condition)]

    def expressions(self) -> list[Any]:
        return [self.where, self.condition]

    @property
    def divisible(self) -> bool:
        return True

    def problems(self) -> Iterable[WrongDeclaration]:
        if nodes_of(self.condition):
            yield WrongDeclaration(
                "the condition aggregates rows", "Use Derived for a value that follows from other rows."
            )
            return
        for path in self.paths():
            if path.hops:
                yield WrongDeclaration(
                    f"{path.lookup!r} reads another table, which a condition over one row cannot",
                    "Use Derived for a value that follows from other rows.",
                )
            elif path.field.concrete and path.field not in self.model._meta.local_fields:
                yield WrongDeclaration(
                    f"{path.lookup!r} stands in another table, that of {path.field.model._meta.label}",
                    f"Declare the rule over {path.field.model._meta.label}.",
                )

    def enforcement_problems(self) -> Iterable[WrongDeclaration]:
        if self.where:
            yield WrongDeclaration(
                "a CHECK speaks about every row, and where= leaves some out",
                "Put the condition of where= into the rule: Q(...) | ~Q(where).",
            )

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(path.rest[0] for path in self.paths()))

    def _text(self, using: str) -> str:
        return check_condition(self.model, self.condition, using, qualified=False).inline(connections[using])
