"""What could be done about one violation: each repair of its rule, with the first rows that it would write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from integrity.engine import preview
from integrity.exceptions import EngineError, sentence
from integrity.models import Violation
from integrity.reports import PlannedChange
from integrity.rules.base import Rule
from integrity.scope import Scope

SHOWN = 10
SECONDS = 3.0
"""How long the page waits for the plan of one repair; a dry run takes its time."""


@dataclass(frozen=True)
class Offer:
    """A repair by name: what it does, and what it would write, or why that is not shown."""

    name: str
    about: str
    tables: Sequence[str]
    planned: Sequence[PlannedChange] = ()
    why_not: str = ""
    is_whole: bool = False
    command: str = ""
    more: bool = field(default=False)


def described(rule: Rule, name: str) -> Offer:
    """A repair without a look at what it would write."""
    steps = rule.repairs[name]
    about = ", then ".join(step.verb for step in steps)
    tables = dict.fromkeys(model._meta.db_table for step in steps for model in step.writes(rule))
    whole = any(step.whole for step in steps)
    command = f"manage.py integrity repair {rule.label} --strategy {name}"
    return Offer(name, about, list(tables), is_whole=whole, command=command)


def offers_for(rule: Rule, one: Violation) -> list[Offer]:
    """The repairs of a rule, as far as they can be planned for one violation in a moment."""
    return [_planned(rule, name, one) for name in rule.repairs]


def _planned(rule: Rule, name: str, one: Violation) -> Offer:
    offer = described(rule, name)
    planned: list[PlannedChange] = []
    why_not = ""
    if offer.is_whole:
        why_not = "It makes the whole table anew."
    else:
        try:
            planned = preview(rule, name, [rule.key_from_json(one.key)], limit=SHOWN + 1, seconds=SECONDS)
        except (EngineError, DatabaseError, KeyError, ValueError) as error:
            why_not = f"Its plan could not be shown: {sentence(error)}"
    return Offer(
        name,
        offer.about,
        offer.tables,
        planned[:SHOWN],
        why_not,
        offer.is_whole,
        offer.command,
        len(planned) > SHOWN,
    )


def statement_for(rule: Rule, one: Violation | None = None) -> str:
    """The SQL that finds a violation, or all of a rule; why it cannot be said, where it cannot."""
    try:
        keys: Any = None if one is None else [rule.key_from_json(one.key)]
        return rule.violations(Scope.of(keys), DEFAULT_DB_ALIAS).inline(connections[DEFAULT_DB_ALIAS])
    except (EngineError, DatabaseError, KeyError, ValueError) as error:
        return f"-- it cannot be composed: {sentence(error)}"
