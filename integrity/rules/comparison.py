"""When a stored value differs from the expected one, and by how much."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

from django.db.models import (
    DateField,
    DecimalField,
    DurationField,
    F,
    Field,
    FloatField,
    Func,
    IntegerField,
    Max,
    Min,
    Model,
    Sum,
)
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Round

from integrity.expressions import Latest, name_of
from integrity.joins import nodes_of
from integrity.paths import lookups, resolve
from integrity.statement import Statement, compose, name, value

Tolerance = decimal.Decimal | float | int | datetime.timedelta


def differs(field: Field[Any, Any], tolerance: Tolerance | None) -> Statement:
    """The condition that ``actual__`` is not ``expected__``, columns of a subquery ``d``."""
    actual, expected = name("d", f"actual__{field.name}"), name("d", f"expected__{field.name}")
    distinct = compose("{a} IS DISTINCT FROM {e}", a=actual, e=expected)
    if not tolerance or not is_measure(field):
        return distinct
    # NULL and NaN make the comparison unknown or false, and so stay violations.
    return compose(
        "({distinct} AND ({distance} <= {tolerance}) IS NOT TRUE)",
        distinct=distinct,
        distance=_distance(field, actual, expected),
        tolerance=value(tolerance),
    )


def is_measure(field: Field[Any, Any]) -> bool:
    """True for fields whose values have a distance."""
    return isinstance(field, DecimalField | IntegerField | FloatField | DurationField | DateField)


def _distance(field: Field[Any, Any], actual: Any, expected: Any) -> Statement:
    if isinstance(field, DurationField | DateField):
        # An interval has no abs().
        return compose("GREATEST({a} - {e}, {e} - {a})", a=actual, e=expected)
    return compose("abs({a} - {e})", a=actual, e=expected)


def apart(actual: Any, expected: Any) -> Any:
    """The distance of two values read from the database, or None where it has no meaning."""
    numbers = (int, float, decimal.Decimal)
    if isinstance(actual, numbers) and isinstance(expected, numbers):
        distance = decimal.Decimal(str(actual)) - decimal.Decimal(str(expected))
        return None if distance.is_nan() else abs(distance)
    if isinstance(actual, datetime.date) and isinstance(expected, datetime.date):
        return abs(actual - expected)
    if isinstance(actual, datetime.timedelta) and isinstance(expected, datetime.timedelta):
        return abs(actual - expected)
    return None


def at_precision(model: type[Model], field: Field[Any, Any], expression: Any) -> Any:
    """The expression at the precision that the column can hold, or a repair would never come to rest."""
    if isinstance(field, DecimalField) and not _fits(model, expression, field):
        template = f"round((%(expressions)s)::numeric, {field.decimal_places})"
        return Func(expression, template=template, output_field=field)
    if isinstance(field, IntegerField) and not _whole(model, expression):
        return Round(expression)
    return expression


def _fits(model: type[Model], expression: Any, field: DecimalField[Any, Any]) -> bool:
    """True for sums and picks of columns that have no more decimal places than the stored one."""
    if not _additive(expression):
        return False
    ends = [resolve(model, lookup).field for lookup in _values(expression)]
    return all(isinstance(end, DecimalField) and end.decimal_places <= field.decimal_places for end in ends)


def _values(expression: Any) -> list[str]:
    """The lookups that an additive expression takes its values from."""
    match expression:
        case F():
            return [name_of(expression)]
        case Latest():
            return [name_of(expression.value)]
        case CombinedExpression():
            return [*_values(expression.lhs), *_values(expression.rhs)]
    return _values(expression.get_source_expressions()[0])


def _additive(expression: Any) -> bool:
    """True when only + and - are used, so that no decimal place is added."""
    match expression:
        case F() | Latest():
            return True
        case Sum() | Max() | Min():
            return _additive(expression.get_source_expressions()[0])
        case CombinedExpression(connector=connector):
            return connector in ("+", "-") and all(_additive(side) for side in (expression.lhs, expression.rhs))
    return False


def _whole(model: type[Model], expression: Any) -> bool:
    fields = [resolve(model, lookup).field for lookup in lookups(expression)]
    averages = any(type(node).__name__ == "Avg" for node in nodes_of(expression))
    return not averages and not any(isinstance(end, DecimalField | FloatField) for end in fields)
