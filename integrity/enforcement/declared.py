"""What migrations install: triggers for ``makemigrations`` to find, and CHECKs among the models' constraints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from integrity.enforcement.check import RuleCheck, check_name
from integrity.rules.always import Always
from integrity.rules.base import Rule
from integrity.rules.derived import Derived


def declare(rules: Iterable[Rule]) -> None:
    """Hand every rule that is to be enforced to Django's migrations. Called once, when all rules are known.

    A rule whose declaration is wrong is left out: its system check says what is wrong.
    """
    for rule in rules:
        if not rule.enforce or rule.check():
            continue
        if isinstance(rule, Always):
            _declare_check(rule)
        elif isinstance(rule, Derived):
            _declare_triggers(rule)


def _declare_triggers(rule: Derived) -> None:
    import pgtrigger

    from integrity.enforcement.triggers import triggers_of

    # Django gets ready once more where a test changes INSTALLED_APPS.
    known = {trigger.get_uri(model) for model, trigger in pgtrigger.registered()}
    for model, trigger in triggers_of(rule):
        if trigger.get_uri(model) not in known:
            trigger.register(model)


def our_triggers(rules: Iterable[Rule]) -> set[str]:
    """Names of the triggers that keep these rules true; they may fire during a repair."""
    from integrity.enforcement.triggers import triggers_of

    derived = [rule for rule in rules if rule.enforce and isinstance(rule, Derived)]
    return {trigger.get_pgid(model) for rule in derived for model, trigger in triggers_of(rule)}


def _declare_check(rule: Always) -> None:
    opts = rule.model._meta
    if any(constraint.name == check_name(rule) for constraint in opts.constraints):
        return
    constraint = RuleCheck(condition=rule.condition, name=check_name(rule))
    opts.constraints = [*opts.constraints, constraint]
    # The state of a model that migrations compare is read from what its Meta said.
    cast("dict[str, object]", opts.original_attrs)["constraints"] = opts.constraints
