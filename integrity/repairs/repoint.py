"""Pointing what refers to one row at another, whatever kind of reference it is, as found in the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections
from django.db.models import Model

from integrity.exceptions import Refused
from integrity.keys import column_of, pk_columns
from integrity.repairs.base import Write
from integrity.schema import columns, find_model, foreign_keys_to, unique_columns
from integrity.statement import Part, Statement, compose, joined, name, value

if TYPE_CHECKING:
    from integrity.rules.unique import Unique


def repoint(rule: Unique, surplus: Statement, using: str) -> list[Write]:
    """Writes for every reference to the rows in ``surplus`` (see ``surplus_rows``), to be made before those go.

    Raises Refused for a reference from a table that no model declares, or to other columns than the primary key.
    """
    pks = pk_columns(rule.model)
    if len(pks) != 1:
        return []
    connection = connections[using]
    writes: list[Write] = []
    for key in foreign_keys_to(rule.model._meta.db_table, connection):
        model = find_model(key.table)
        if model is None or key.targets != tuple(pks):
            raise Refused(
                f"{key.table} refers to {rule.model._meta.db_table} by {key.name}, which cannot be pointed elsewhere:"
                " no model declares that table, or it refers to another column than the primary key."
                " Nothing was written."
            )
        writes += _both(rule, surplus, model, key.columns[0], Statement("true"), connection)
    for model, relation in _generic():
        column = column_of(model, relation.fk_field)
        writes += _both(rule, surplus, model, column, _of_type(model, relation, rule.model), connection)
    return writes


def _generic() -> Iterator[tuple[type[Model], Any]]:
    """Every (type, id) pair of the project: any of them may point at any model."""
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.private_fields:
            if hasattr(field, "ct_field") and not model._meta.proxy:
                yield model, field


def _of_type(model: type[Model], relation: Any, target: type[Model]) -> Statement:
    opts = (target._meta.concrete_model or target)._meta
    return compose(
        "c.{type} = (SELECT id FROM django_content_type WHERE app_label = {app} AND model = {model})",
        type=name(column_of(model, relation.ct_field)),
        app=value(opts.app_label),
        model=value(opts.model_name),
    )


def _both(
    rule: Unique, surplus: Statement, model: type[Model], column: str, only: Statement, connection: Any
) -> list[Write]:
    """Point rows at the kept row; of those that would then repeat another one, many-to-many rows are deleted.

    A repetition of anything else protects its key: which of two one-to-one rows is true is for a person to say.
    """
    ranked, repeated = _ranked(rule, surplus, model, column, only, connection)
    owners = [name(f"owner__{label}") for label in rule.labels]
    rows = [compose("{pk} AS {row}", pk=name(f"pk__{pk}"), row=name(f"row__{pk}")) for pk in pk_columns(model)]
    parts: dict[str, Part] = {
        "owners": joined(", ", owners),
        "rows": joined(", ", rows),
        "ranked": ranked,
        "repeated": repeated,
        "old": name(f"old__{column}"),
        "new": name(f"new__{column}"),
    }
    update = compose(
        "SELECT 'update'::text AS op, {owners}, {rows}, reference AS {old}, target AS {new}"
        " FROM ({ranked}) AS r WHERE moved AND NOT ({repeated})",
        **parts,
    )
    delete = compose(
        "SELECT 'delete'::text AS op, {owners}, {rows}, reference AS {old} FROM ({ranked}) AS r"
        " WHERE moved AND ({repeated})",
        **parts,
    )
    repetitions = Write(model, delete, guards=(column,), protects=not model._meta.auto_created)
    return [repetitions, Write(model, update, sets=(column,), guards=(column,))]


def _ranked(
    rule: Unique, surplus: Statement, model: type[Model], column: str, only: Statement, connection: Any
) -> tuple[Statement, Statement]:
    """The rows that refer to gone rows (``moved``) or to the kept one, ranked among those that they would repeat.

    Also the condition over them that a row is a repetition in one of the table's unique constraints.
    """
    (pk,) = pk_columns(rule.model)
    type_ = next(c.type for c in columns(model._meta.db_table, connection) if c.name == column)
    uniques = unique_columns(model._meta.db_table, column, connection)
    others = sorted({c for group in uniques for c in group if c != column})
    parts: dict[str, Part] = {
        "owners": joined(", ", (name("s", f"owner__{label}") for label in rule.labels)),
        "pks": joined(", ", (compose("c.{c} AS {o}", c=name(c), o=name(f"pk__{c}")) for c in pk_columns(model))),
        "others": joined("", (compose(", c.{c} AS {o}", c=name(c), o=name(f"in__{c}")) for c in others)),
        "column": name(column),
        "kept": name(f"kept__{pk}"),
        "gone": name(f"gone__{pk}"),
        "type": Statement(type_),
        "surplus": surplus,
        "table": name(model._meta.db_table),
        "only": only,
    }
    references = compose(
        "SELECT {owners}, {pks}{others}, c.{column} AS reference, s.{kept}::text::{type} AS target, true AS moved"
        " FROM ({surplus}) AS s JOIN {table} AS c ON c.{column} = s.{gone}::text::{type} AND {only} UNION ALL"
        " SELECT {owners}, {pks}{others}, c.{column}, s.{kept}::text::{type}, false"
        " FROM (SELECT DISTINCT {owners}, s.{kept} FROM ({surplus}) AS s) AS s"
        " JOIN {table} AS c ON c.{column} = s.{kept}::text::{type} AND {only}",
        **parts,
    )
    ranks = [
        compose(
            ", row_number() OVER (PARTITION BY target{others} ORDER BY moved, {pks}) AS {rank}",
            others=joined("", (compose(", {o}", o=name(f"in__{c}")) for c in group if c != column)),
            pks=joined(", ", (name(f"pk__{c}") for c in pk_columns(model))),
            rank=name(f"rank_{i}"),
        )
        for i, group in enumerate(uniques)
    ]
    ranked = compose("SELECT f.*{ranks} FROM ({references}) AS f", ranks=joined("", ranks), references=references)
    repeated = joined(
        " OR ", [Statement("false"), *(compose("{r} > 1", r=name(f"rank_{i}")) for i in range(len(ranks)))]
    )
    return ranked, repeated
