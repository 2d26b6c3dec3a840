"""A Derived rule kept true by triggers, which recompute what changes."""

from __future__ import annotations

from typing import Any, ClassVar

from integrity.enforcement.triggered import Triggered
from integrity.enforcement.triggers import triggers_of
from integrity.keys import column_of
from integrity.rules.derived import Derived


class Kept(Triggered):
    """Writes the value that follows, whoever changes what it follows from."""

    writes: ClassVar[bool] = True
    rule: Derived

    def triggers(self) -> list[tuple[Any, Any]]:
        return triggers_of(self.rule)

    def kept_columns(self) -> set[str]:
        return {column_of(self.rule.model, field) for field in (*self.rule.equals, *self.rule.stamps)}
