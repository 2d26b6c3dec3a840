"""What can be wrong with an Agrees declaration, found when Django starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.models import Field, Model, Q, UniqueConstraint

from integrity.exceptions import WrongDeclaration
from integrity.keys import column_of
from integrity.paths import lookups, resolve
from integrity.repairing.defaults import unplanned
from integrity.rules.comparison import is_measure

if TYPE_CHECKING:
    from integrity.rules.agrees import Agrees

_NUMBERS = {"smallint", "integer", "bigint", "numeric", "double precision", "real"}
_TEXTS = {"varchar", "text", "char", "citext"}
_INCOMPARABLE = {"json", "xml", "point"}


def declaration_problems(rule: Agrees) -> Iterable[WrongDeclaration]:
    """The first sort of problem that is found: later ones would only repeat it."""
    for look in (_names, _tables, _keys, _types, _comparison, _condition):
        found = list(look(rule))
        if found:
            yield from found
            return


def _names(rule: Agrees) -> Iterable[WrongDeclaration]:
    for what, given in (("on=", rule.on), ("fields=", rule.fields)):
        if not given:
            yield WrongDeclaration(f"{what} names no field", "Say which fields find the counterpart and which agree.")
    for model, names in ((rule.model, rule.mapped.keys()), (rule.other, rule.mapped.values())):
        for field in names:
            try:
                found = resolve(model, field).field if "__" in field else model._meta.get_field(field)
            except FieldDoesNotExist:
                found = resolve(model, field).field
            if found not in model._meta.local_concrete_fields or found.name != field:
                yield WrongDeclaration(
                    f"{field!r} is not a field of the table of {model._meta.label}",
                    f"Its fields are: {', '.join(sorted(f.name for f in model._meta.local_concrete_fields))}.",
                )
    for field in rule.on.keys() & rule.fields.keys():
        yield WrongDeclaration(f"{field!r} is in on= and in fields=", "Rows that are paired by it agree on it.")
    values = list(rule.mapped.values())
    for field in sorted({field for field in values if values.count(field) > 1}):
        yield WrongDeclaration(
            f"{field!r} of {rule.other._meta.label} is the counterpart of two fields", "Each has one."
        )


def _tables(rule: Agrees) -> Iterable[WrongDeclaration]:
    if rule.model._meta.db_table == rule.other._meta.db_table:
        yield WrongDeclaration(
            f"both sides are the table {rule.model._meta.db_table}", "Use Unique for rows of one table."
        )
    if router.db_for_read(rule.model) != router.db_for_read(rule.other):
        yield WrongDeclaration(
            f"{rule.model._meta.label} and {rule.other._meta.label} live in different databases,"
            " which one statement cannot join",
            "Bring a copy of the one into the database of the other.",
        )


def _keys(rule: Agrees) -> Iterable[WrongDeclaration]:
    for model in (rule.model, rule.other):
        names = rule.keys_of(model)
        if not _is_unique(model, names):
            yield WrongDeclaration(
                f"{', '.join(names)} may occur twice in {model._meta.label}, and a row has one counterpart",
                "Name unique fields in on=, or declare a UniqueConstraint over them.",
            )
        for field in names:
            if model._meta.get_field(field).null:
                yield WrongDeclaration(
                    f"{field!r} of {model._meta.label} may be NULL, and nothing is paired by NULL",
                    "Name fields in on= that are never NULL.",
                )


def _is_unique(model: type[Model], names: list[str]) -> bool:
    """True when the table holds each set of values once, by a key or a constraint without a condition."""
    wanted = set(names)
    sets = [{field.name} for field in model._meta.local_concrete_fields if field.unique]
    sets += [{field.name for field in model._meta.pk_fields}, *map(set, model._meta.unique_together)]
    sets += [
        set(constraint.fields)
        for constraint in model._meta.constraints
        if isinstance(constraint, UniqueConstraint) and constraint.condition is None and constraint.fields
    ]
    return any(held <= wanted for held in sets)


def _types(rule: Agrees) -> Iterable[WrongDeclaration]:
    for left, right in rule.mapped.items():
        one, other = _type(rule.left(left)), _type(rule.right(left))
        if one != other and not any({one, other} <= alike for alike in (_NUMBERS, _TEXTS)):
            yield WrongDeclaration(
                f"{left!r} is {one} and its counterpart {right!r} of {rule.other._meta.label} is {other},"
                " which PostgreSQL does not compare",
                "Give both the same type first.",
            )
        elif one in _INCOMPARABLE:
            yield WrongDeclaration(f"{left!r} is {one}, which has no equality", "Leave it out, or use jsonb or text.")


def _type(field: Field[Any, Any]) -> str:
    connection = connections[DEFAULT_DB_ALIAS]
    target = getattr(field, "target_field", field)
    return str(target.rel_db_type(connection) or target.db_type(connection)).split("(", maxsplit=1)[0]


def _comparison(rule: Agrees) -> Iterable[WrongDeclaration]:
    if isinstance(rule.given_tolerance, Mapping):
        for field in rule.given_tolerance:
            if field not in rule.fields:
                yield WrongDeclaration(f"tolerance= names {field!r}, which is not compared", "Name it in fields=.")
            elif not is_measure(rule.left(field)):
                yield WrongDeclaration(f"tolerance= names {field!r}, whose values have no distance", "Leave it out.")
    for field in rule.nulls:
        if field not in rule.fields:
            yield WrongDeclaration(f"nulls= names {field!r}, which is not compared", "Name it in fields=.")


def _condition(rule: Agrees) -> Iterable[WrongDeclaration]:
    for lookup in (*lookups(rule.where or Q()), *rule.settle):
        first = lookup.split("__")[0]
        if first not in rule.mapped or resolve(rule.model, lookup).hops:
            yield WrongDeclaration(
                f"{lookup!r} is not a field that both tables have",
                "where= and settle= are asked of either row of a pair: name fields of on= or fields=.",
            )


def mirror_problems(rule: Agrees) -> Iterable[WrongDeclaration]:
    """Why the two tables cannot be kept equal."""
    if rule.where:
        yield WrongDeclaration(
            "triggers write every row to the other table, and where= speaks about some", "Leave where= or enforce= out."
        )
    for model, names in ((rule.model, rule.mapped.keys()), (rule.other, rule.mapped.values())):
        known = {column_of(model, field) for field in names}
        for field in unplanned(model, tuple(known)):
            if not field.null:
                yield WrongDeclaration(
                    f"a row that comes from the other table would have no {field.name!r} in {model._meta.label}",
                    "Name it in fields=, or give it a db_default.",
                )
