"""Quarantine: a row that breaks a rule is moved out of its table, kept whole, and can be put back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from django.db.models import Model

from integrity.exceptions import WrongDeclaration
from integrity.keys import columns_of
from integrity.repairs.base import DELETE, QUARANTINED, Repair, Write
from integrity.repairs.keep_one import keep_problems, removal
from integrity.repairs.referrers import referring_models
from integrity.scope import Scope
from integrity.statement import Part, compose, joined, name, value

if TYPE_CHECKING:
    from integrity.rules.base import Rule
    from integrity.rules.unique import Unique

KINDS = ("always", "references", "unique")


class Quarantine(Repair):
    """Move the rows that break an Always, References or Unique rule out of their table.

    The journal keeps each row whole, with the rule, the run and its reason; ``integrity.quarantine`` lists what is kept
    and puts it back. What refers to a row goes along or protects it, as when it is deleted. Of a Unique rule the row
    that ``keep`` puts first stays, and what refers to the others is pointed at it.
    """

    verb = "move the row into quarantine"
    follows_reference = True

    def writes(self, rule: Rule) -> list[type[Model]]:
        return [rule.model, *(referring_models(rule.model) if rule.kind == "unique" else [])]

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        if rule.kind not in KINDS:
            yield WrongDeclaration(
                f"is Quarantine, and a row of kind {rule.kind!r} is not wrong by itself",
                f"It is for rules of the kinds {', '.join(KINDS)}.",
            )
        elif rule.model._meta.all_parents:
            yield WrongDeclaration(
                f"is Quarantine, and a row of {rule.model._meta.label} is spread over the tables of its parents",
                "Declare the rule on a model with one table.",
            )
        elif rule.kind == "unique":
            yield from keep_problems(self, rule)

    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        if rule.kind == "unique":
            return removal(cast("Unique", rule), scope, using, outcome=QUARANTINED)
        columns: list[Part] = [compose("{op}::text AS op", op=value(DELETE))]
        columns += [
            compose(
                "d.{key} AS {owner}, d.{key} AS {row}",
                key=name(f"key__{key.name}"),
                owner=name(f"owner__{key.name}"),
                row=name(f"row__{key.column}"),
            )
            for key in columns_of(rule.model)
        ]
        columns += [
            compose("d.{key} AS {told}", key=name(f"actual__{field}"), told=name(f"evidence__{field}"))
            for field in getattr(rule, "columns", ())
        ]
        rows = compose(
            "SELECT {columns} FROM ({violations}) AS d",
            columns=joined(", ", columns),
            violations=rule.violations(scope, using),
        )
        return [Write(rule.model, rows, locked=True, outcome=QUARANTINED)]
