"""What refers to the rows of a model: foreign keys, declared references without one, and (type, id) pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.apps import apps
from django.db.models import Model

from integrity.exceptions import Refused
from integrity.keys import column_of, pk_columns
from integrity.registry import registry
from integrity.rules.base import Rule
from integrity.schema import find_model, foreign_keys_to, is_table
from integrity.statement import Statement, compose, from_queryset, joined, name, names, value

if TYPE_CHECKING:
    from integrity.rules.references import References

ALL = Statement("true")


@dataclass(frozen=True)
class Referrer:
    """A column whose values lead to rows of another table."""

    model: type[Model]
    column: str
    target: str
    """The column that it holds a value of."""
    only: Statement = ALL
    """Which rows ``c`` refer to that table, where the column may lead to several."""


def referrers(rule: Rule, connection: Any) -> list[Referrer]:
    """Every column that refers to the rows of the rule's model, as found now.

    Raises Refused for a reference that cannot be pointed elsewhere: by several columns, or from a table of no model.
    """
    found: dict[tuple[str, str], Referrer] = {}
    for referrer in (*_by_constraint(rule, connection), *_by_declaration(rule.model)):
        found.setdefault((referrer.model._meta.db_table, referrer.column), referrer)
    ruled: dict[tuple[str, str, str], list[Referrer]] = {}
    for referrer in _by_rule(rule, connection.alias):
        place = (referrer.model._meta.db_table, referrer.column)
        if place not in found:
            ruled.setdefault((*place, referrer.target), []).append(referrer)
    several = [*found.values(), *(_either(same) for same in ruled.values()), *_generic(rule.model)]
    # The database has what the constraints say; what models alone declare may be a view, or not there.
    return [referrer for referrer in several if is_table(referrer.model._meta.db_table, connection)]


def referring_models(model: type[Model]) -> list[type[Model]]:
    """The models of which a row may refer to one of a model, as far as foreign keys declare it."""
    declared = (referrer.model for referrer in _by_declaration(model))
    return list(dict.fromkeys(found for found in declared if found._meta.managed))


def may_refer(model: type[Model], target: type[Model]) -> bool:
    """True where a model declares a reference that may lead to another one."""
    ruled = (rule.model for rule in registry if getattr(rule, "to", None) is target)
    return model in {*referring_models(target), *(referrer.model for referrer in _generic(target)), *ruled}


def _by_constraint(rule: Rule, connection: Any) -> Iterator[Referrer]:
    table = rule.model._meta.db_table
    for key in foreign_keys_to(table, connection):
        model = find_model(key.table)
        if model is None or len(key.columns) != 1:
            raise Refused(
                f"{key.table} refers to {table} by {key.name}, which cannot be pointed elsewhere: no model declares"
                " that table, or it refers by several columns. Nothing was written."
            )
        yield Referrer(model, key.columns[0], key.targets[0])


def _by_declaration(model: type[Model]) -> Iterator[Referrer]:
    """Foreign keys of the models, those without a constraint and those of many-to-many tables included."""
    for relation in model._meta.get_fields(include_hidden=True):
        field: Any = relation.auto_created and not relation.concrete and getattr(relation, "field", None)
        if field and field.concrete and not field.many_to_many and not field.model._meta.proxy:
            yield Referrer(field.model, str(field.column), str(field.target_field.column))


def _by_rule(rule: Rule, using: str) -> Iterator[Referrer]:
    """References rules: plain numbers and natural keys, which no model declares."""
    table = rule.model._meta.db_table
    for other in registry:
        if other.kind != "references":
            continue
        references = cast("References", other)
        to = references.to
        if to is None or to._meta.db_table != table:
            continue
        targets = _targets(to, references.on)
        columns = [column_of(other.model, column) for column in references.columns]
        if len(columns) == 1:
            yield Referrer(other.model, columns[0], targets[0], _where(other, using))
        elif not set(targets) <= {key.name for key in rule.key_fields}:
            # Rows that say the same in those columns would leave what refers to them as it is.
            raise Refused(
                f"{other.label} refers to {table} by several columns, which cannot be pointed elsewhere."
                " Nothing was written."
            )


def _targets(to: type[Model], on: Iterable[str]) -> list[str]:
    return [pk_columns(to)[0] if field == "pk" else column_of(to, field) for field in on]


def _where(rule: Rule, using: str) -> Statement:
    if rule.where is None:
        return ALL
    pks = pk_columns(rule.model)
    fields = [field.name for field in rule.model._meta.pk_fields]
    rows = rule.model._base_manager.using(using).order_by().filter(rule.where).values_list(*fields)
    return compose("({pks}) IN ({rows})", pks=names(pks, of="c"), rows=from_queryset(rows, using))


def _either(same: Iterable[Referrer]) -> Referrer:
    """Several rules about one column: a row refers where one of them says so."""
    first, *others = same
    only = joined(" OR ", (compose("({only})", only=referrer.only) for referrer in (first, *others)))
    return Referrer(first.model, first.column, first.target, compose("({only})", only=only))


def _generic(target: type[Model]) -> Iterator[Referrer]:
    """Every (type, id) pair of the project: any of them may point at any model."""
    opts = (target._meta.concrete_model or target)._meta
    for model in apps.get_models(include_auto_created=True):
        for relation in model._meta.private_fields:
            if not hasattr(relation, "ct_field") or model._meta.proxy or len(pk_columns(target)) != 1:
                continue
            of_type = compose(
                "c.{type} = (SELECT id FROM django_content_type WHERE app_label = {app} AND model = {model})",
                type=name(column_of(model, relation.ct_field)),
                app=value(opts.app_label),
                model=value(opts.model_name),
            )
            yield Referrer(model, column_of(model, relation.fk_field), pk_columns(target)[0], of_type)
