"""References that no foreign key can say, kept true by triggers on both sides."""

from __future__ import annotations

from typing import Any

import pgtrigger

from integrity.enforcement.names import shortened
from integrity.enforcement.reference_body import DECLARATIONS, referring_body, target_body
from integrity.enforcement.reference_ways import Way, ways
from integrity.enforcement.triggered import Triggered
from integrity.enforcement.triggers import EVENTS, Keep
from integrity.rules.references import References


class Refer(Keep):
    """Refuses a reference to nothing after one kind of statement; with a ``way`` on the table referred to."""

    def __init__(self, rule: References, event: str, way: Way | None = None) -> None:
        self.references, self.event, self.way = rule, event, way
        operation, referencing = EVENTS[event]
        readable = shortened(f"{rule.app}_{rule.name}", 33)
        name = f"{readable}_{'lost_' if way else ''}{event}"
        pgtrigger.Trigger.__init__(self, name=name, operation=operation, referencing=referencing)

    def get_declare(self, model: Any) -> list[tuple[str, str]]:
        """The variables of the function."""
        return DECLARATIONS

    def get_func(self, model: Any) -> str:
        """The body of the function."""
        if self.way is None:
            return referring_body(self.references, self.event)
        return target_body(self.references, self.way, self.event)


class ReferenceTriggers(Triggered):
    """Refuses what a foreign key would, at the end of each statement."""

    rule: References

    def triggers(self) -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = [(self.rule.model, Refer(self.rule, event)) for event in ("insert", "update")]
        for way in ways(self.rule):
            found += [(way.target, Refer(self.rule, event, way)) for event in ("delete", "update", "truncate")]
        return found
