"""What triggers write in answer to a statement: values of rules that are kept true, which other rules may read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from integrity.enforcement.ways import enforced
from integrity.keys import Key
from integrity.rules.base import Rule
from integrity.schema import is_retired
from integrity.scope import Scope
from integrity.statement import Statement, from_queryset
from integrity.touched import KeysOf, concerns, touched

Rows = tuple[type[Model], Statement]
"""A model, and a SELECT of rows of its table."""


def models_along(rules: Iterable[Rule], models: Iterable[type[Model]]) -> set[type[Model]]:
    """These models, and those of which a write to them makes triggers write rows, and so on."""
    kept, found = _kept(rules), set(models)
    while more := {root for rule in kept if any(_reads(rule, m) for m in found) for root in rule.roots()} - found:
        found |= more
    return found


def rows_along(rules: Iterable[Rule], rows: Sequence[Rows], keys_of: KeysOf) -> list[Rows]:
    """These rows, and those that triggers write in answer to a write of them, and so on."""
    found = newest = list(rows)
    known: dict[Rule, set[Key]] = {rule: set() for rule in _kept(rules)}
    while newest:
        newest = [root for rule in known for root in _written_for(rule, newest, known[rule], keys_of)]
        found = found + newest
    return found


def _written_for(rule: Rule, rows: Sequence[Rows], known: set[Key], keys_of: KeysOf) -> Iterator[Rows]:
    """What the triggers of one rule write in answer; the keys are ``known`` afterwards."""
    asked = [touched(rule, model, source) for model, source in rows if concerns(model, rule)]
    keys = {key for statement in asked if statement for key in keys_of(statement)} - known
    known.update(keys)
    if keys:
        for root in rule.roots():
            written = rule.restrict(root._base_manager.using(keys_of.connection.alias), Scope.of(sorted(keys, key=str)))
            yield root, from_queryset(written, keys_of.connection.alias)


def _kept(rules: Iterable[Rule]) -> list[Rule]:
    return [way.rule for way in enforced(rules) if way.writes and not is_retired(way.rule, DEFAULT_DB_ALIAS)]


def _reads(rule: Rule, model: type[Model]) -> bool:
    return model._meta.db_table in {read._meta.db_table for read in rule.reads()}
