"""What can be wrong with the declaration of a Derived rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Aggregate, Count, F, FloatField, Model, Sum
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now, Random

from integrity.exceptions import WrongDeclaration
from integrity.expressions import PerKey, name_of
from integrity.joins import is_join, many_path, nodes_of
from integrity.paths import Path, resolve
from integrity.repairs.recompute import Recompute
from integrity.scope import Scope

if TYPE_CHECKING:
    from integrity.rules.derived import Derived

FURTHEST = 2
"""Relations between a key and a row that a trigger follows; every row between must be locked."""


def declaration_problems(rule: Derived) -> Iterator[WrongDeclaration]:
    """Every problem; raises the first that leaves no sense in looking further."""
    yield from _columns(rule)
    if rule.truth == "column":
        yield from _master(rule)
    yield from _expressions(rule)
    try:
        rule.violations(Scope(), DEFAULT_DB_ALIAS)
    except (FieldError, TypeError) as error:
        yield WrongDeclaration(f"its expression cannot be compiled: {error}")


def is_plain_column(model: type[Model], column: str) -> bool:
    """True for a field that is stored in the model's own table and that a repair can set."""
    return any(field.name == column and not field.generated for field in model._meta.local_concrete_fields)


def _columns(rule: Derived) -> Iterator[WrongDeclaration]:
    if rule.truth not in ("rows", "column"):
        yield WrongDeclaration(f"truth={rule.truth!r} is unknown", 'One of "rows", "column".')
    for column in (*rule.equals, *rule.stamps):
        if not is_plain_column(rule.model, column):
            raise WrongDeclaration(
                f"{column!r} is not a stored column of {rule.model._meta.label}", "Name a concrete field of the model."
            )
    if rule.tolerance is None and any(_sums_floats(rule, column) for column in rule.equals):
        yield WrongDeclaration(
            "it adds floats and has no tolerance", "Float sums depend on their order: give tolerance=."
        )


def _master(rule: Derived) -> Iterator[WrongDeclaration]:
    if len(rule.equals) > 1 or rule.stamps:
        yield WrongDeclaration('truth="column" speaks of one column', "Declare one rule for each master column.")
    for strategy, steps in rule.repairs.items():
        if any(isinstance(step, Recompute) for step in steps):
            yield WrongDeclaration(
                f'repair {strategy!r} would overwrite the master: Recompute is refused with truth="column"',
                'Repair the rows (Trim, Adjust), or declare truth="rows".',
            )


def _expressions(rule: Derived) -> Iterator[WrongDeclaration]:
    for node in rule.nodes():
        if not isinstance(node, PerKey):
            many_path(rule.model, node)
        elif not node.reads:
            yield WrongDeclaration(f"{node!r} does not say which models it reads", "Give reads=[...].")
    for expression in (*rule.equals.values(), *rule.evidence.values()):
        for lookup in _outside_aggregates(expression):
            if resolve(rule.model, lookup).multiplies:
                yield WrongDeclaration(
                    f"{lookup!r} leads to many rows outside of an aggregate", "Sum, count or take the Latest."
                )


def _sums_floats(rule: Derived, column: str) -> bool:
    aggregates = any(isinstance(node, Aggregate) for node in nodes_of(rule.equals[column]))
    return aggregates and isinstance(rule.field(column), FloatField)


def _outside_aggregates(expression: Any) -> Iterable[str]:
    if is_join(expression):
        return
    if isinstance(expression, F):
        yield name_of(expression)
    elif hasattr(expression, "get_source_expressions") and not hasattr(expression, "query"):
        for source in expression.get_source_expressions():
            yield from _outside_aggregates(source)


def enforcement_problems(rule: Derived) -> Iterator[WrongDeclaration]:
    """Why triggers cannot keep the rule true."""
    if rule.truth == "column":
        yield WrongDeclaration("a master column cannot be kept by what must add up to it", "Leave enforce= out.")
    if len(rule.key_fields) != 1 or rule.model._meta.parents:
        yield WrongDeclaration("its table has a composite key or a parent table", "Leave enforce= out: repair by cron.")
    if any(isinstance(node, PerKey) for node in rule.nodes()):
        yield WrongDeclaration("a query of (key, value) does not say which keys a row concerns", "Leave enforce= out.")
    for expression in rule.equals.values():
        for part in _parts(expression):
            if isinstance(part, Now | Random):
                yield WrongDeclaration(f"{part!r} changes without any row changing", "Use stamps= for times.")
            if hasattr(part, "query"):
                yield WrongDeclaration(
                    "a subquery does not say which keys a row concerns", "Use an aggregate over a relation."
                )
    for path in rule.all_paths():
        yield from _far(path)
        yield from _inherited(path)
    if rule.incremental:
        yield from _not_additive(rule)


def _not_additive(rule: Derived) -> Iterator[WrongDeclaration]:
    if rule.where is not None:
        yield WrongDeclaration(
            "incremental=True, and with where= a key that is left alone has no value to add to",
            "Leave incremental= out: the key is recomputed.",
        )
    for column, expression in rule.equals.items():
        terms = linear_terms(expression)
        if terms is None or any(getattr(node, "distinct", False) for _, node in terms):
            yield WrongDeclaration(
                f"incremental=True, and {column!r} is not made of sums and counts that are added or subtracted",
                "Leave incremental= out: the key is recomputed.",
            )
        elif any(len(path.many) != 1 or path.many[0].generic for path in (many_path(rule.model, n) for _, n in terms)):
            yield WrongDeclaration(
                f"incremental=True, and {column!r} aggregates rows without a foreign key to it",
                "Leave incremental= out: the key is recomputed.",
            )


def linear_terms(expression: Any) -> list[tuple[int, Any]] | None:
    """The sums and counts that an expression adds (1) and subtracts (-1), or None when it does more with them."""
    if isinstance(expression, Sum | Count):
        return [(1, expression)]
    if isinstance(expression, CombinedExpression) and expression.connector in ("+", "-"):
        left, right = linear_terms(expression.lhs), linear_terms(expression.rhs)
        sign = 1 if expression.connector == "+" else -1
        return None if left is None or right is None else [*left, *((sign * s, node) for s, node in right)]
    return [] if not nodes_of(expression) else None


def _far(path: Path) -> Iterator[WrongDeclaration]:
    if len(path.lookup.split(LOOKUP_SEP)) - len(path.rest) > FURTHEST and len(path.hops) > FURTHEST:
        yield WrongDeclaration(f"{path.lookup!r} goes over more than {FURTHEST} relations", "Keep a value in between.")
    for hop in path.hops:
        if hop.model._meta.auto_created:
            yield WrongDeclaration(
                f"{path.lookup!r} passes a many-to-many table without a model, to which migrations cannot add triggers",
                "Declare it: ManyToManyField(through=...).",
            )


def _inherited(path: Path) -> Iterator[WrongDeclaration]:
    """A row of two tables is changed by statements on either, and only one of them lies on the path."""
    for hop in path.hops:
        if hop.model._meta.parents:
            yield WrongDeclaration(
                f"{path.lookup!r} leads to {hop.model._meta.label}, whose rows lie in a parent table as well",
                "Leave enforce= out: repair by cron.",
            )


def _parts(expression: Any) -> Iterator[Any]:
    yield expression
    if hasattr(expression, "get_source_expressions"):
        for source in expression.get_source_expressions():
            if source is not None:
                yield from _parts(source)
