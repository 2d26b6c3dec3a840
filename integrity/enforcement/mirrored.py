"""An Agrees rule kept true while both tables live: what is written to one of them is written to the other one.

Not by migrations: it comes with the consolidation of two tables and goes with it, so ``enforce`` and ``consolidate``
install it and take it away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from pgtrigger import Trigger

from integrity.enforcement.base import RETIRED, Found, Step
from integrity.enforcement.mirror import mirror
from integrity.enforcement.triggered import Triggered
from integrity.enforcement.triggers import EVENTS, Keep, trigger_name
from integrity.rules.agrees import Agrees
from integrity.schema import is_retired


class Mirror(Keep):
    """Brings what one kind of statement changed in one of the tables to the other one."""

    def __init__(self, rule: Agrees, event: str) -> None:
        self.rule, self.event = rule, event  # type: ignore[assignment]
        operation, referencing = EVENTS[event]
        Trigger.__init__(self, name=trigger_name(rule, event), operation=operation, referencing=referencing)

    def get_declare(self, model: Any) -> list[tuple[str, str]]:
        """No variables."""
        return []

    def get_func(self, model: Any) -> str:
        return mirror(self.rule, model, self.event)  # type: ignore[arg-type]


class Mirrored(Triggered):
    """Three triggers on each table. TRUNCATE of one table is not followed by the other one."""

    writes: ClassVar[bool] = True
    mirrors: ClassVar[bool] = True
    rule: Agrees

    def triggers(self) -> list[tuple[Any, Any]]:
        events = [event for event in EVENTS if event != "truncate"]
        return [(model, Mirror(self.rule, event)) for model in self.rule.roots() for event in events]

    def guard(self, using: str) -> list[Step]:
        return self._locked(super().guard(using))

    def remove(self, using: str) -> list[Step]:
        return self._locked(super().remove(using))

    def _locked(self, steps: list[Step]) -> list[Step]:
        tables = tuple(model._meta.db_table for model in self.rule.roots())
        return [replace(step, tables=tables) for step in steps]

    def found(self, using: str) -> Found:
        if is_retired(self.rule, using):
            return Found(RETIRED)
        return super().found(using)

    def declare(self) -> None:
        """Nothing for migrations."""
