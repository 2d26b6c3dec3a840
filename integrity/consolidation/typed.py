"""What refers to rows by (type, id), and what stands for a model: its content type and its permissions.

Every write is journaled, so that an undo brings it back, the numbers of content types and permissions included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db.models import Model

from integrity.consolidation.sides import Sides
from integrity.keys import column_of, pk_columns
from integrity.repairs.base import DELETE, Write
from integrity.rules.agrees import Agrees
from integrity.schema import columns, find_model, foreign_keys_to
from integrity.statement import Part, Statement, compose, fetch, joined, name, value

CONTENT_TYPES = "django_content_type"
PERMISSIONS = "auth_permission"


def typed_writes(sides: Sides, connection: Any) -> Iterator[Write]:
    """Writes for everything that is known by type; each is made when the one before it has been carried out."""
    if not _exists(CONTENT_TYPES, connection):
        return
    kept = _content_type(sides.kept)
    for gone in _numbers(sides.gone, connection):
        for model, type_, id_ in _pairs_of(connection):
            yield _repoint(sides, model, (type_, id_), (gone, kept), connection)
        if _exists(PERMISSIONS, connection):
            yield from _permissions(sides, gone, kept, connection)
        unused = [compose("c.id = {gone}", gone=value(gone)), *_unused(gone, connection)]
        yield _delete(sides.rule, _model(CONTENT_TYPES), joined(" AND ", unused))
    _forget_content_types()


def still_typed(rule: Agrees, connection: Any) -> list[str]:
    """Tables with rows that refer to rows of the right table by type."""
    if not _exists(CONTENT_TYPES, connection):
        return []
    found = []
    sides = Sides.forwards(rule)
    for gone in _numbers(rule.other, connection):
        for model, type_, id_ in _pairs_of(connection):
            if fetch(connection, _repoint(sides, model, (type_, id_), (gone, gone), connection).statement):
                found.append(model._meta.db_table)
    return found


def _unused(gone: int, connection: Any) -> Iterator[Statement]:
    """Conditions that nothing refers to a content type: an entry of a log may, whose row was deleted long ago."""
    for key in foreign_keys_to(CONTENT_TYPES, connection):
        yield compose(
            "NOT EXISTS (SELECT FROM {table} AS x WHERE x.{column} = {gone})",
            table=name(key.table),
            column=name(key.columns[0]),
            gone=value(gone),
        )


def is_referred_to(rule: Agrees, connection: Any) -> bool:
    """True when a foreign key refers to the right table, or its model has a content type."""
    table = rule.other._meta.db_table
    typed = _exists(CONTENT_TYPES, connection) and _numbers(rule.other, connection)
    return bool(foreign_keys_to(table, connection) or typed)


# (type, id) pairs


def _pairs_of(connection: Any) -> Iterator[tuple[type[Model], str, str]]:
    """Models with a generic foreign key, or with a content type beside an ``object_id``; the columns of both."""
    for model in apps.get_models(include_auto_created=True):
        if model._meta.proxy or not _exists(model._meta.db_table, connection):
            continue
        known = set()
        for field in model._meta.private_fields:
            if hasattr(field, "ct_field"):
                known.add(field.ct_field)
                yield model, column_of(model, field.ct_field), column_of(model, field.fk_field)
        for plain in model._meta.local_concrete_fields:
            target: Any = getattr(plain.remote_field, "model", None)
            if target is not None and target._meta.db_table == CONTENT_TYPES and plain.name not in known:
                object_id = next((f for f in model._meta.local_concrete_fields if f.name == "object_id"), None)
                if object_id is not None:
                    yield model, str(plain.column), str(object_id.column)


def _repoint(
    sides: Sides, model: type[Model], columns_: tuple[str, str], types: tuple[int, int], connection: Any
) -> Write:
    type_, id_ = columns_
    gone, kept = types
    held = next(column.type for column in columns(model._meta.db_table, connection) if column.name == id_)
    statement = compose(
        "SELECT 'update'::text AS op, {owners}, {rows}, c.{type} AS {old_type}, c.{id} AS {old_id},"
        " {kept} AS {new_type}, p.kept::text::{held} AS {new_id}"
        " FROM ({pairs}) AS p JOIN {table} AS c ON c.{type} = {gone} AND c.{id}::text = p.gone::text",
        owners=joined(", ", (name("p", f"owner__{key}") for key in sides.rule.on)),
        rows=_rows(model),
        type=name(type_),
        id=name(id_),
        old_type=name(f"old__{type_}"),
        old_id=name(f"old__{id_}"),
        new_type=name(f"new__{type_}"),
        new_id=name(f"new__{id_}"),
        held=Statement(held),
        table=name(model._meta.db_table),
        pairs=sides.pairs(),
        gone=value(gone),
        kept=value(kept),
    )
    return Write(model, statement, sets=columns_, guards=columns_)


# Content types and permissions


def _permissions(sides: Sides, gone: int, kept: int, connection: Any) -> Iterator[Write]:
    """Who may do something with the old model may do it with the new one; the old permissions go."""
    permission, rule = _model(PERMISSIONS), sides.rule
    renamed = compose(
        "regexp_replace(p.codename, {old}, {new})",
        old=value(f"_{_name(sides.gone)}$"),
        new=value(f"_{_name(sides.kept)}"),
    )
    twins = compose(
        "SELECT p.id AS gone, t.id AS kept FROM auth_permission AS p JOIN auth_permission AS t"
        " ON t.content_type_id = {kept} AND t.codename = {renamed} WHERE p.content_type_id = {gone}",
        gone=value(gone),
        kept=value(kept),
        renamed=renamed,
    )
    for key in foreign_keys_to(PERMISSIONS, connection):
        holder = find_model(key.table)
        if holder is not None:
            yield from _holders(rule, holder, key.columns[0], twins)
    yield _delete(rule, permission, compose("c.id IN (SELECT gone FROM ({twins}) AS w)", twins=twins))
    moved = compose(
        "SELECT 'update'::text AS op, {owners}, p.id AS row__id, p.content_type_id AS old__content_type_id,"
        " p.codename AS old__codename, p.name AS old__name, {kept} AS new__content_type_id, {renamed} AS new__codename,"
        " replace(p.name, {old}, {new}) AS new__name FROM auth_permission AS p WHERE p.content_type_id = {gone}",
        owners=_nobody(rule),
        gone=value(gone),
        kept=value(kept),
        renamed=renamed,
        old=value(str(sides.gone._meta.verbose_name_raw)),
        new=value(str(sides.kept._meta.verbose_name_raw)),
    )
    set_ = ("content_type_id", "codename", "name")
    yield Write(permission, moved, sets=set_, guards=set_)


def _holders(rule: Agrees, holder: type[Model], column: str, twins: Statement) -> Iterator[Write]:
    """Rows that grant the old permission: those of somebody who has the new one already go, the others change."""
    others = [str(field.column) for field in holder._meta.local_concrete_fields if field.column != column]
    same = [compose("o.{c} = c.{c}", c=name(c)) for c in others if c not in pk_columns(holder)] or [Statement("true")]
    parts: dict[str, Part] = {
        "owners": _nobody(rule),
        "rows": _rows(holder),
        "table": name(holder._meta.db_table),
        "column": name(column),
        "old": name(f"old__{column}"),
        "new": name(f"new__{column}"),
        "twins": twins,
        "repeated": compose(
            "EXISTS (SELECT FROM {table} AS o WHERE o.{column} = w.kept AND {same})",
            table=name(holder._meta.db_table),
            column=name(column),
            same=joined(" AND ", same),
        ),
    }
    source = "FROM ({twins}) AS w JOIN {table} AS c ON c.{column} = w.gone WHERE "
    delete = compose(
        f"SELECT 'delete'::text AS op, {{owners}}, {{rows}}, c.{{column}} AS {{old}} {source}{{repeated}}", **parts
    )
    update = compose(
        f"SELECT 'update'::text AS op, {{owners}}, {{rows}}, c.{{column}} AS {{old}}, w.kept AS {{new}}"
        f" {source}NOT {{repeated}}",
        **parts,
    )
    yield Write(holder, delete, guards=(column,))
    yield Write(holder, update, sets=(column,), guards=(column,))


def _delete(rule: Agrees, model: type[Model], condition: Statement) -> Write:
    statement = compose(
        "SELECT {op}::text AS op, {owners}, {rows} FROM {table} AS c WHERE {condition}",
        op=value(DELETE),
        owners=_nobody(rule),
        rows=_rows(model),
        table=name(model._meta.db_table),
        condition=condition,
    )
    return Write(model, statement)


def _content_type(model: type[Model]) -> int:
    """The number of a model's content type, which a migration may need before Django has made it."""
    types = _model(CONTENT_TYPES)._base_manager
    return int(types.get_or_create(app_label=model._meta.app_label, model=_name(model))[0].pk)


def _numbers(model: type[Model], connection: Any) -> list[int]:
    """The content types of a model: by its own name, and by that which its table was named after."""
    label = model._meta.app_label
    names = {_name(model), model._meta.db_table.removeprefix(f"{label}_")}
    types = _model(CONTENT_TYPES)._base_manager.using(connection.alias).filter(app_label=label, model__in=names)
    return list(types.order_by("pk").values_list("pk", flat=True))


def _model(table: str) -> type[Model]:
    model = find_model(table)
    assert model is not None
    return model


def _name(model: type[Model]) -> str:
    return str(model._meta.model_name)


def _rows(model: type[Model]) -> Statement:
    return joined(", ", (compose("c.{pk} AS {row}", pk=name(pk), row=name(f"row__{pk}")) for pk in pk_columns(model)))


def _nobody(rule: Agrees) -> Statement:
    """The owner of a row that belongs to no key."""
    return joined(", ", (compose("NULL::text AS {o}", o=name(f"owner__{key}")) for key in rule.on))


def _exists(table: str, connection: Any) -> bool:
    found = fetch(connection, Statement("SELECT to_regclass(quote_ident(%s)) IS NOT NULL AS found", (table,)))
    return bool(found[0]["found"]) and find_model(table) is not None


def _forget_content_types() -> None:
    _model(CONTENT_TYPES)._base_manager.model.objects.clear_cache()  # type: ignore[attr-defined]
