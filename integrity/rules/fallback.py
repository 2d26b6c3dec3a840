"""What a formula says where there are no rows to follow: a value of the key's own that it falls back on, or nothing.

``Coalesce(Latest("events__miles", ...), F("initial"), 0)`` declares that a key without events has its initial value, so
that an empty table of events is a state and no loss, for every key that has one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Case, F, Model, When
from django.db.models.functions import Coalesce

from integrity.expressions import name_of
from integrity.joins import is_join

Columns = tuple[str, ...]


def fallbacks(model: type[Model], expressions: Iterable[Any]) -> list[Columns]:
    """For each value that follows rows, the fields of the model one of which says it where there are none.

    Empty when a value has none. A label, which follows rows in its conditions alone, goes along with the values.
    """
    found = [_falls_back_on(model, expression) for expression in expressions if _carries(expression)]
    return found if all(found) else []


def _carries(expression: Any) -> bool:
    """The value itself, and not a condition alone, comes from rows."""
    if is_join(expression):
        return True
    if isinstance(expression, When):
        return _carries(expression.result)
    if isinstance(expression, Case):
        return any(_carries(part) for part in (*expression.cases, expression.default))
    return any(_carries(source) for source in _sources(expression))


def _falls_back_on(model: type[Model], expression: Any) -> Columns:
    sources = _sources(expression)
    carrying = [position for position, source in enumerate(sources) if _carries(source)]
    if is_join(expression) or not carrying:
        return ()
    if not isinstance(expression, Coalesce):
        return _falls_back_on(model, sources[carrying[0]]) if len(carrying) == 1 else ()
    # What stands before the rows alone takes their place and says nothing of a key that has neither.
    if not any(_own(model, source) for source in sources[carrying[0] + 1 :]):
        return ()
    return tuple(field for source in sources if (field := _own(model, source)))


def _own(model: type[Model], source: Any) -> str:
    """The field that an expression names, if it is the model's own and may be empty: 0 in another may mean nothing."""
    if not isinstance(source, F):
        return ""
    try:
        field = model._meta.get_field(name_of(source))
    except FieldDoesNotExist:
        return ""
    return field.name if getattr(field, "column", None) and getattr(field, "null", False) else ""


def _sources(expression: Any) -> list[Any]:
    return list(expression.get_source_expressions()) if hasattr(expression, "get_source_expressions") else []
