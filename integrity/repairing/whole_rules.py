"""Rules that cannot be narrowed to the keys that a repair touches: looked at once before and once after."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from integrity.enforcement.along import models_along
from integrity.look import look
from integrity.registry import registry
from integrity.repairing.cascades import reachable
from integrity.repairing.ordering import ANY
from integrity.repairs.base import Repair
from integrity.reports import RuleReport
from integrity.rules.base import Rule
from integrity.schema import is_retired
from integrity.scope import Scope


def whole_rules(
    rule: Rule, steps: Sequence[Repair], models: Collection[type[Model]], exempt: Collection[str], connection: Any
) -> Iterator[Rule]:
    """Those that a repair of ``rule``, which writes to ``models``, may break; but for the exempt, by label."""
    deletes = any(ANY in step.columns(rule) for step in steps)
    along = models_along(registry, reachable(models, connection) if deletes else models)
    written = {model._meta.db_table for model in along}
    for other in registry.reading(along):
        spared = other.label in (rule.label, *exempt) or is_retired(other, DEFAULT_DB_ALIAS)
        if not spared and written & {model._meta.db_table for model in other.reads_whole()}:
            yield other


def count_whole(rule: Rule) -> int:
    """How many rows break a rule now."""
    found = RuleReport(rule.label)
    look(rule, Scope(), DEFAULT_DB_ALIAS, found)
    return found.violations or 0
