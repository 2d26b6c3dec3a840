"""Which rows refer to a row: by a foreign key of the catalog, or by a generic relation of the model."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from integrity.keys import column_of, pk_columns
from integrity.schema import ForeignKey, foreign_keys_to
from integrity.statement import Statement, compose, joined, name, value


def referring(model: type[Model], connection: Any) -> list[tuple[str, Statement]]:
    """Tables of which rows may refer to rows ``t`` of a model, each with the condition that a row ``c`` does."""
    found = [(key.table, by_key(key)) for key in foreign_keys_to(model._meta.db_table, connection)]
    relations = generic_relations(model)
    return [*found, *((relation.related_model._meta.db_table, by_relation(model, relation)) for relation in relations)]


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
