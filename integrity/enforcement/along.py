"""What triggers write in answer to a statement: values of rules that are kept true, which other rules may read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from integrity.enforcement.ways import enforced
from integrity.keys import Key
from integrity.rules.base import Rule
from integrity.schema import is_retired
from integrity.scope import Scope
from integrity.statement import Statement, fetch, from_queryset
from integrity.touched import touched

Rows = tuple[type[Model], Statement]
"""A model, and a SELECT of rows of its table."""


def models_along(rules: Iterable[Rule], models: Iterable[type[Model]]) -> set[type[Model]]:
    """These models, and those of which a write to them makes triggers write rows, and so on."""
    kept, found = _kept(rules), set(models)
    while more := {root for rule in kept if any(_reads(rule, m) for m in found) for root in rule.roots()} - found:
        found |= more
    return found


def rows_along(rules: Iterable[Rule], rows: Sequence[Rows], connection: Any) -> list[Rows]:
    """These rows, and those that triggers write in answer to a write of them, and so on."""
    found = list(rows)
    seen: dict[Rule, set[Key]] = {rule: set() for rule in _kept(rules)}
    for model, source in found:  # grows while it is walked
        for rule, known in seen.items():
            statement = touched(rule, model, source) if _reads(rule, model) else None
            keys = {tuple(row.values()) for row in fetch(connection, statement)} - known if statement else set()
            if keys:
                known.update(keys)
                for root in rule.roots():
                    kept = rule.restrict(root._base_manager.using(connection.alias), Scope.of(sorted(keys, key=str)))
                    found.append((root, from_queryset(kept, connection.alias)))
    return found


def _kept(rules: Iterable[Rule]) -> list[Rule]:
    return [way.rule for way in enforced(rules) if way.writes and not is_retired(way.rule, DEFAULT_DB_ALIAS)]


def _reads(rule: Rule, model: type[Model]) -> bool:
    return model._meta.db_table in {read._meta.db_table for read in rule.reads()}
