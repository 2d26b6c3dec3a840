"""Rebuild: a table that is almost all repetition is made anew beside itself, and the two change places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from django.db.models import Model

from integrity.exceptions import WrongDeclaration
from integrity.repairs.base import Repair, Write
from integrity.scope import Scope

if TYPE_CHECKING:
    from integrity.rules.base import Rule


class Rebuild(Repair):
    """``Rebuild(backup="slots_corrupted")``: keep the first row of each key, and the table as it was under a name.

    For tables of which most rows repeat others: a clean table with everything that the catalog says of the old one is
    built beside it while people go on writing, proven, and swapped in within one short transaction. Nothing is deleted:
    the old table stays as ``backup``, and an undo swaps it back.
    """

    verb = "rebuild the table with one row of each key"
    whole: ClassVar[bool] = True

    def __init__(self, *, backup: str) -> None:
        super().__init__()
        self.backup = backup

    def writes(self, rule: Rule) -> list[type[Model]]:
        return [rule.model]

    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        """Nothing row by row."""
        return []

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        if rule.kind != "unique":
            yield WrongDeclaration("is Rebuild, which only a Unique rule has repetitions for", "Choose another repair.")
            return
        if getattr(rule, "keep", None) is None:
            yield WrongDeclaration(
                "is Rebuild, and the rule does not say which row is kept", "Give keep=, as in order_by."
            )
        if any(self in steps and len(steps) > 1 for steps in rule.repairs.values()):
            yield WrongDeclaration("is Rebuild together with other repairs", "Give it a strategy of its own.")
        if rule.settle:
            yield WrongDeclaration(
                "is Rebuild, which takes the whole table, and settle= leaves young rows alone", "Use KeepOne()."
            )
        if rule.model._meta.parents:
            yield WrongDeclaration(
                "is Rebuild, and rows of the model are spread over the tables of its parents", "Use KeepOne()."
            )
        yield from self._backup_problems(rule)

    def _backup_problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        if not self.backup or len(self.backup.encode()) > 63:
            yield WrongDeclaration(
                f"names the backup {self.backup!r}, which is no name of a table", "Give 1 to 63 characters."
            )
        elif self.backup == rule.model._meta.db_table:
            yield WrongDeclaration(
                f"names the backup {self.backup!r} as the table itself", "Give another name, such as ..._corrupted."
            )
