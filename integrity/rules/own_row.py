"""What a constraint can read: the columns of one row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Model
from django.db.models.sql import Query

from integrity.exceptions import WrongDeclaration


def own_row_problems(model: type[Model], expression: Any) -> Iterator[WrongDeclaration]:
    """What of a condition or an expression is not in the row itself, and so is not enforced by the database."""
    if expression is None:
        return
    hint = "Leave enforce= out."
    try:
        resolved = expression.resolve_expression(Query(model, alias_cols=False), allow_joins=False)
    except FieldError as error:
        yield WrongDeclaration(f"it is to be enforced over the columns of its row alone: {error}", hint)
        return
    if any(hasattr(node, "query") for node in _within(resolved)):
        yield WrongDeclaration("it is to be enforced, and has a subquery, which reads other rows", hint)


def _within(node: Any) -> Iterator[Any]:
    """An expression or a WHERE, and everything that it is made of."""
    yield node
    for child in [*getattr(node, "children", ()), *getattr(node, "get_source_expressions", list)()]:
        if child is not None:
            yield from _within(child)
