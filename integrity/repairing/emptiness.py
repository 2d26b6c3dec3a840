"""A table that others follow and that is empty: a lost table, not drift, unless the rule says what holds without it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Q

from integrity.exceptions import Refused
from integrity.repairs.base import Repair
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.statement import compose, fetch, from_queryset, joined, name


def refuse_empty_reference(rule: Rule, steps: Iterable[Repair], scope: Scope) -> None:
    """Raise Refused where rows in scope would become nothing because the rows that they follow are all gone."""
    sources = rule.stands_on() if any(step.follows_reference for step in steps) else set()
    if not sources or any(model._base_manager.exists() for model in sources):
        return
    tables = ", ".join(sorted(model._meta.db_table for model in sources))
    said = rule.falls_back_on()
    if not said:
        raise Refused(
            f"{tables} is empty, so that every value of {rule.label} would be recomputed from nothing."
            " Nothing was written. Restore the rows first, or check that this is the right database."
        )
    if unsaid := _from_nothing(rule, scope, said):
        fields = ", ".join(dict.fromkeys(field for fields in said for field in fields))
        raise Refused(
            f"{tables} is empty, and of the rows that break {rule.label} {unsaid} would be recomputed from nothing:"
            f" {fields} of them say nothing either. Nothing was written. Restore the rows first, fill in one of these"
            " columns, or repair the others alone, by their keys."
        )


def _from_nothing(rule: Rule, scope: Scope, said: Sequence[Sequence[str]]) -> int:
    """How many of the violating rows have no value of their own to fall back on."""
    silent = Q(*(Q(*(Q(**{f"{field}__isnull": True}) for field in fields)) for fields in said), _connector=Q.OR)
    statement = compose(
        "SELECT count(*) AS n FROM ({violations}) AS d WHERE ({key}) IN ({rows})",
        violations=rule.violations(scope, DEFAULT_DB_ALIAS),
        key=joined(", ", (name("d", f"key__{key.name}") for key in rule.key_fields)),
        rows=from_queryset(
            rule.model._base_manager.filter(silent).values(*(key.name for key in rule.key_fields)), DEFAULT_DB_ALIAS
        ),
    )
    return int(fetch(connections[DEFAULT_DB_ALIAS], statement)[0]["n"])
