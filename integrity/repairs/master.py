"""What Trim and Adjust share: the rows that must add up to a master column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from django.db.models import F, Field, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import CombinedExpression

from integrity.exceptions import WrongDeclaration
from integrity.expressions import AnyOf, name_of
from integrity.paths import lookups, resolve
from integrity.repairs.base import Repair
from integrity.scope import Scope
from integrity.subqueries import common_filter

if TYPE_CHECKING:
    from integrity.rules.base import Rule
    from integrity.rules.derived import Derived


def fk_column(rule: Rule, relation: str) -> Field[Any, Any]:
    """The foreign key of the related rows. Raises WrongDeclaration when the relation is not a plain reverse one."""
    path = resolve(rule.model, relation)
    if len(path.hops) != 1 or path.hops[0].forward or path.hops[0].generic:
        raise WrongDeclaration(
            f"names {relation!r}, which is not the reverse of a foreign key to {rule.model._meta.label}",
            "Give the related name of the rows that add up to the column.",
        )
    return cast("Field[Any, Any]", path.hops[0].field)


def master_problems(repair: Repair, rule: Rule, relation: str, amount: str) -> Iterable[WrongDeclaration]:
    """What makes a repair of rows unfit for a rule."""
    if rule.kind != "derived" or getattr(rule, "truth", "") != "column":
        yield WrongDeclaration(
            f"is {type(repair).__name__}, which writes rows until they add up to a master column",
            'Declare Derived(..., truth="column"), or choose another repair.',
        )
        return
    derived = cast("Derived", rule)
    model = fk_column(rule, relation).model
    if model._meta.parents:
        yield WrongDeclaration(
            f"writes {model._meta.label}, whose rows are spread over the tables of its parents",
            "Repair models that have a table of their own.",
        )
    resolve(model, amount)
    node = derived.sum_over(relation, amount)
    if node is None:
        yield WrongDeclaration(
            f"changes {relation}__{amount}, which {rule.label} does not sum",
            "The rule must be made of Sum() over the amount that the repair changes.",
        )
    elif len([other for other in derived.nodes() if _reads(other, relation)]) > 1:
        yield WrongDeclaration(
            f"changes rows of {relation}, which {rule.label} aggregates more than once",
            "Only where each row counts once can the surplus be read off the difference.",
        )
    elif getattr(node, "distinct", False) or not _added(next(iter(derived.equals.values())), f"{relation}__{amount}"):
        yield WrongDeclaration(
            f"changes {relation}__{amount}, which {rule.label} does not add as it is",
            "The Sum must be added, not subtracted or multiplied, or the surplus could not be read off the difference.",
        )


def _reads(node: Any, relation: str) -> bool:
    return any(lookup.split(LOOKUP_SEP)[0] == relation for lookup in lookups(node))


def _added(expression: Any, lookup: str) -> bool:
    """True when the Sum over a lookup is one of the terms that are added up."""
    if isinstance(expression, CombinedExpression):
        if expression.connector == "-":
            return _added(expression.lhs, lookup)
        return expression.connector == "+" and (_added(expression.lhs, lookup) or _added(expression.rhs, lookup))
    sources = expression.get_source_expressions() if hasattr(expression, "get_source_expressions") else []
    return bool(sources) and isinstance(sources[0], F) and name_of(sources[0]) == lookup


def counted_rows(rule: Derived, relation: str, amount: str, scope: Scope, using: str) -> QuerySet[Any, Any]:
    """The related rows that the rule sums, with ``integrity_owner`` (the key) and ``integrity_amount``."""
    fk = fk_column(rule, relation)
    rows = fk.model._base_manager.using(using).order_by()
    node = rule.sum_over(relation, amount)
    condition = common_filter(rule.model, node) if node is not None else None
    if condition is not None:
        rows = rows.filter(condition)
    owner = f"{fk.name}__{rule.model._meta.pk.name}"
    if scope.keys is not None:
        rows = rows.filter(AnyOf(owner, [key[0] for key in scope.keys]))
    counted: QuerySet[Any, Any] = rows.annotate(integrity_owner=F(owner), integrity_amount=F(amount))
    return counted
