"""What migrations install: triggers for ``makemigrations`` to find, and constraints among the models' own."""

from __future__ import annotations

from collections.abc import Iterable

from integrity.enforcement.ways import enforced, enforcement_of, noting
from integrity.rules.base import Rule


def declare(rules: Iterable[Rule]) -> None:
    """Hand every rule that is to be enforced or tracked to Django's migrations. Called once, when all rules are known.

    A rule whose declaration is wrong is left out: its system check says what is wrong.
    """
    # A foreign key needs the unique index of what it refers to.
    for rule in sorted(rules, key=lambda rule: rule.kind != "unique"):
        if not (rule.enforce or rule.tracked) or rule.check():
            continue
        if rule.enforce:
            enforcement_of(rule).declare()
        for way in noting([rule]):
            way.declare()


def our_triggers(rules: Iterable[Rule]) -> set[str]:
    """Names of the triggers that keep these rules true, or note what changes; they may fire during a repair."""
    rules = list(rules)
    return {name for way in (*enforced(rules), *noting(rules)) for name in way.trigger_names()}
