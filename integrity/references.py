"""Which rows refer to a row: by a foreign key of the catalog, a generic relation of the model, or a declared rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from integrity.keys import column_of, pk_columns
from integrity.schema import ForeignKey, foreign_keys_to
from integrity.statement import Statement, compose, joined, name, value


@dataclass(frozen=True)
class Referring:
    """Rows ``c`` of a table that refer to rows ``t`` of a model, when ``on`` holds."""

    table: str
    columns: tuple[str, ...]
    on: Statement
    soft: bool
    """True where no foreign key of the database keeps it."""


def referring(model: type[Model], connection: Any) -> list[Referring]:
    """Whatever may refer to rows of a model: foreign keys, generic relations, and what References rules declare."""
    table = model._meta.db_table
    found = [Referring(key.table, key.columns, by_key(key), soft=False) for key in foreign_keys_to(table, connection)]
    for relation in generic_relations(model):
        columns = generic_columns(relation)
        found.append(Referring(relation.related_model._meta.db_table, columns, by_relation(model, relation), soft=True))
    known = {(reference.table, reference.columns) for reference in found}
    return [*found, *(soft for soft in declared(model) if (soft.table, soft.columns) not in known)]


def declared(model: type[Model]) -> Iterator[Referring]:
    """The references to a model that rules declare, which the database may know nothing of."""
    from integrity.registry import registry
    from integrity.rules.references import References

    for rule in registry:
        if not isinstance(rule, References) or rule.to is None or rule.to._meta.db_table != model._meta.db_table:
            continue
        columns = tuple(column_of(rule.model, column) for column in rule.columns)
        targets = [pk_columns(model)[0] if on == "pk" else column_of(model, on) for on in rule.on]
        pairs = zip(columns, targets, strict=True)
        on = joined(" AND ", (compose("c.{c} = t.{t}", c=name(c), t=name(t)) for c, t in pairs))
        yield Referring(rule.model._meta.db_table, columns, on, soft=True)


def by_key(key: ForeignKey) -> Statement:
    """The row ``c`` refers to the row ``t`` by a foreign key."""
    pairs = zip(key.columns, key.targets, strict=True)
    return joined(" AND ", (compose("c.{c} = t.{t}", c=name(column), t=name(target)) for column, target in pairs))


def by_relation(model: type[Model], relation: Any) -> Statement:
    """The row ``c`` refers to the row ``t`` of a model by type and id."""
    opts = (model._meta.concrete_model or model)._meta
    object_id, content_type = generic_columns(relation)
    return compose(
        "c.{object_id}::text = t.{pk}::text AND c.{type} = (SELECT id FROM django_content_type"
        " WHERE app_label = {app} AND model = {model})",
        object_id=name(object_id),
        pk=name(pk_columns(model)[0]),
        type=name(content_type),
        app=value(opts.app_label),
        model=value(opts.model_name),
    )


def generic_relations(model: type[Model]) -> list[Any]:
    """The generic relations that a model declares."""
    return [relation for relation in model._meta.private_fields if hasattr(relation, "object_id_field_name")]


def generic_columns(relation: Any) -> tuple[str, str]:
    """The columns of the id and of the type that a generic relation is made of."""
    model = relation.related_model
    return column_of(model, relation.object_id_field_name), column_of(model, relation.content_type_field_name)
