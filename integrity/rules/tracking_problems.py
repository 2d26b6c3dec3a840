"""Why it cannot be noted what changes a rule; asked where ``tracked`` is declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.db.models.functions import Now, Random

from integrity.exceptions import WrongDeclaration
from integrity.paths import parts

if TYPE_CHECKING:
    from integrity.rules.base import Rule

KINDS = ("always", "derived", "references")
WAY_OUT = "Leave tracked= out: analyze looks at everything."


def tracking_problems(rule: Rule) -> Iterator[WrongDeclaration]:
    """Every change must be a write to a table that the rule is known to read, and concern keys that can be told."""
    if rule.kind not in KINDS:
        yield WrongDeclaration(f"tracked=True is for the kinds {', '.join(KINDS)}", WAY_OUT)
        return
    if rule.reads_whole():
        yield WrongDeclaration("tracked=True, and any row that it reads may concern any key", WAY_OUT)
    for part in parts(rule.expressions()):
        if isinstance(part, Now | Random):
            yield WrongDeclaration(f"tracked=True, and {part!r} changes without any row changing", WAY_OUT)
        if hasattr(part, "query"):
            yield WrongDeclaration("tracked=True, and a subquery does not say which keys a row concerns", WAY_OUT)
    if any(model._meta.parents for model in (rule.model, *(hop.model for hop in _hops(rule)))):
        yield WrongDeclaration("tracked=True, and its rows lie in a parent table as well", WAY_OUT)
    for hop in _hops(rule):
        if hop.model._meta.auto_created:
            yield WrongDeclaration(
                f"tracked=True, and migrations cannot add triggers to {hop.model._meta.db_table}, which has no model",
                "Declare it: ManyToManyField(through=...).",
            )


def _hops(rule: Rule) -> Iterator[Any]:
    for path in rule.all_paths():
        yield from path.hops
