"""Two helpers carry the suite: ``declared`` makes a rule of the toy app, ``finds`` says what breaks it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from integrity.engine import analyze
from integrity.registry import registry
from integrity.rules.base import Rule

_numbers = itertools.count()


def declared(rule_class: type[Rule], *args: Any, **options: Any) -> Rule:
    """A rule of the toy app with a name and a reason, not registered."""
    options.setdefault("name", f"rule_{next(_numbers)}")
    rule = rule_class(*args, because="The toy says so.", **options)
    rule.app = "toy"
    return rule


def finds(rule: Rule, **options: Any) -> dict[Any, Any]:
    """What breaks a rule: key -> (actual, expected), bare where the key or the value is single."""
    report = analyze([rule], **options).rules[0]
    assert not report.error, report.error
    return {_bare(f.key): (_bare(tuple(f.actual.values())), _bare(tuple(f.expected.values()))) for f in report.sample}


def _bare(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values


@contextmanager
def registered(*rules: Rule) -> Iterator[None]:
    """Rules that the engine knows for a while."""
    registry.register("toy", rules)
    try:
        yield
    finally:
        registry.unregister(*(rule.label for rule in rules))
