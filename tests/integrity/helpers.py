"""Two helpers carry the suite: ``declared`` makes a rule of the toy app, ``finds`` says what breaks it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

from django.db import connection
from django.db.models import Model

from integrity.engine import analyze
from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import Report
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


def repaired(rule: Rule, strategy: str | None = None, **options: Any) -> Report:
    """The report of a repair of one rule, which the engine knows for the while."""
    with registered(rule):
        return repair([(rule, strategy)], **options)


def contents(*models: type[Model]) -> dict[str, list[str]]:
    """Every row of some tables, or of all that are not the engine's own, as PostgreSQL prints it."""
    tables = [model._meta.db_table for model in models] or [
        table for table in connection.introspection.table_names() if not table.startswith("integrity_")
    ]
    found = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" AS t ORDER BY 1')
            found[table] = [row for (row,) in cursor.fetchall()]
    return found


def execute(*statements: str) -> None:
    """Raw SQL, for what the ORM cannot or would not do."""
    with connection.cursor() as cursor:
        # A repair in the same transaction has left its short limit; what is set up here may wait.
        cursor.execute("SELECT set_config('lock_timeout', '0', true)")
        for statement in statements:
            cursor.execute(statement)


def text(answer: Any) -> str:
    """A page as one line of text and tags."""
    return " ".join(unescape(answer.content.decode()).split())
