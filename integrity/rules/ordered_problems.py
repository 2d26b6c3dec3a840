"""What can be wrong with the declaration of an Ordered rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import DEFAULT_DB_ALIAS
from django.db.models import DateField, DecimalField, FloatField, IntegerField, Q

from integrity.exceptions import WrongDeclaration
from integrity.joins import nodes_of
from integrity.paths import Path, lookups, resolve
from integrity.scope import Scope

if TYPE_CHECKING:
    from integrity.rules.ordered import Ordered


def declaration_problems(rule: Ordered) -> Iterator[WrongDeclaration]:
    """Every problem; raises the first that leaves no sense in looking further."""
    _require_columns(rule)
    if rule.at_most_per_day is not None:
        _require_rate(rule)
    if nodes_of(rule.restarts or Q()):
        raise WrongDeclaration("restarts= aggregates rows", "Say by a row's own columns whether it begins a series.")
    for lookup in lookups(rule.restarts or Q()):
        if resolve(rule.model, lookup).multiplies:
            yield WrongDeclaration(f"restarts= leads to many rows by {lookup!r}", "Use interrupted_by=.")
    if rule.interrupted_by:
        _require_way(rule, resolve(rule.model, rule.interrupted_by))
    try:
        rule.violations(Scope(), DEFAULT_DB_ALIAS)
    except (FieldError, TypeError) as error:
        yield WrongDeclaration(f"it cannot be compiled: {error}")


def _require_columns(rule: Ordered) -> None:
    if not rule.along:
        raise WrongDeclaration("it has no order", "Give along=, most significant first.")
    for column in (rule.column, *rule.along, *rule.within):
        try:
            concrete = getattr(rule.model._meta.get_field(column), "concrete", False)
        except FieldDoesNotExist:
            concrete = False
        if not concrete:
            raise WrongDeclaration(
                f"{column!r} is not a stored column of {rule.model._meta.label}", "Name a concrete field of the model."
            )


def _require_rate(rule: Ordered) -> None:
    if not rule.at_most_per_day or rule.at_most_per_day < 0:
        raise WrongDeclaration(f"at_most_per_day={rule.at_most_per_day} allows no growth", "Give a number above 0.")
    if not isinstance(rule.moment, DateField):
        raise WrongDeclaration(
            f"at_most_per_day= needs a date or time, and along= begins with {rule.along[0]!r}",
            "Begin along= with when it was.",
        )
    if not isinstance(rule.model._meta.get_field(rule.column), IntegerField | DecimalField | FloatField):
        raise WrongDeclaration(f"{rule.column!r} is no number and has no rate", "Leave at_most_per_day= out.")


def _require_way(rule: Ordered, path: Path) -> None:
    """To the group, and from there to rows that refer to it."""
    hops = path.hops
    goes_there_and_back = (
        len(hops) == 2
        and (hops[0].forward and hops[0].name in rule.within)
        and not (hops[1].forward or hops[1].generic)
    )
    if not goes_there_and_back or not isinstance(path.field, DateField):
        raise WrongDeclaration(
            f"interrupted_by={rule.interrupted_by!r} is not a date or time of rows that refer to within=",
            'Write "<within>__<related name>__<field>".',
        )
