"""Rows that would go along with a deleted one: found in the catalog, planned as writes of their own, children first.

PostgreSQL's own cascades would delete them without an image, and Django's are not run by SQL at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import CASCADE, SET_NULL, Model

from integrity.conf import conf
from integrity.exceptions import Refused
from integrity.keys import Key, column_of, pk_columns
from integrity.plan import Plan
from integrity.repairs.base import DELETE, UPDATE, Write
from integrity.schema import ForeignKey, find_model, foreign_keys_to
from integrity.statement import Statement, compose, fetch, joined, name, names, value


def follow(plan: Plan, connection: Any, depth: int = 1) -> tuple[list[Plan], set[Key]]:
    """Plans for the rows that refer to those that a plan deletes, and owners that must be left alone.

    An owner is left alone when a reference protects one of its rows. Raises Refused when the references go deeper than
    CASCADE_DEPTH, or lead to rows of a table without a model.
    """
    if not plan.count(DELETE):
        return [], set()
    before: list[Plan] = []
    protected: set[Key] = set()
    for write, keeps in _references(plan, connection):
        child = Plan(plan.rule, write, connection)
        if not child.count():
            continue
        if keeps:
            protected |= _owners(child, connection)
            continue
        if depth > conf().CASCADE_DEPTH:
            raise Refused(
                f"Deleting rows of {plan.model._meta.db_table} would take rows along more than"
                f" {conf().CASCADE_DEPTH} tables"
                f" deep (now at {write.model._meta.db_table}). Delete them by hand,"
                " or raise INTEGRITY['CASCADE_DEPTH']."
            )
        deeper, kept = follow(child, connection, depth + 1)
        before += [*deeper, child]
        protected |= kept
    return before, protected


def _references(plan: Plan, connection: Any) -> Iterator[tuple[Write, bool]]:
    """A write for the rows behind each reference, and whether they protect what they refer to."""
    for key in foreign_keys_to(plan.model._meta.db_table, connection):
        model = find_model(key.table)
        if model is None:
            _refuse_unknown(plan, key, connection)
            continue
        action = _action(model, key)
        sets = key.columns if action == UPDATE else ()
        yield _write(plan, model, key.columns, key.targets, action or DELETE, sets), action is None
    for field in plan.model._meta.private_fields:
        if hasattr(field, "object_id_field_name"):
            yield _generic(plan, field), False


def _action(model: type[Model], key: ForeignKey) -> str | None:
    """What becomes of a referring row: deleted, set to NULL, or None where it protects."""
    declared = next(
        (f for f in model._meta.local_concrete_fields if (f.column,) == key.columns and f.remote_field), None
    )
    on_delete = getattr(declared.remote_field, "on_delete", None) if declared is not None else None
    if key.on_delete == "c" or (key.on_delete in "ar" and on_delete is CASCADE):
        return DELETE
    if key.on_delete == "n" or (key.on_delete in "ar" and on_delete is SET_NULL):
        return UPDATE
    return None


def _write(
    plan: Plan,
    model: type[Model],
    columns: tuple[str, ...],
    targets: tuple[str, ...],
    operation: str,
    sets: tuple[str, ...],
) -> Write:
    on = joined(
        " AND ",
        (
            compose("c.{column} = t.{target}", column=name(column), target=name(target))
            for column, target in zip(columns, targets, strict=True)
        ),
    )
    return Write(model, _rows(plan, model, on, operation, sets), sets=sets, guards=columns if sets else ())


def _generic(plan: Plan, field: Any) -> Write:
    model = field.related_model
    opts = (plan.model._meta.concrete_model or plan.model)._meta
    on = compose(
        "c.{object_id}::text = t.{pk}::text AND c.{type} = (SELECT id FROM django_content_type"
        " WHERE app_label = {app} AND model = {model})",
        object_id=name(column_of(model, field.object_id_field_name)),
        pk=name(pk_columns(plan.model)[0]),
        type=name(column_of(model, field.content_type_field_name)),
        app=value(opts.app_label),
        model=value(opts.model_name),
    )
    return Write(model, _rows(plan, model, on, DELETE, ()))


def _rows(plan: Plan, model: type[Model], on: Statement, operation: str, sets: tuple[str, ...]) -> Statement:
    columns = [compose("{op}::text AS op", op=value(operation)), names(plan.owners, of="p")]
    columns += [compose("c.{pk} AS {row}", pk=name(pk), row=name(f"row__{pk}")) for pk in pk_columns(model)]
    for column in sets:
        columns.append(compose("c.{c} AS {old}", c=name(column), old=name(f"old__{column}")))
        columns.append(compose("NULLIF(c.{c}, c.{c}) AS {new}", c=name(column), new=name(f"new__{column}")))
    return compose(
        "SELECT {columns} FROM {plan} AS p JOIN {table} AS t ON {same} JOIN {child} AS c ON {on} WHERE p.op = 'delete'",
        columns=joined(", ", columns),
        plan=plan.relation,
        table=name(plan.model._meta.db_table),
        same=plan.same_row("t", "p"),
        child=name(model._meta.db_table),
        on=on,
    )


def _refuse_unknown(plan: Plan, key: ForeignKey, connection: Any) -> None:
    on = joined(
        " AND ",
        (
            compose("c.{c} = t.{t}", c=name(column), t=name(target))
            for column, target in zip(key.columns, key.targets, strict=True)
        ),
    )
    found = fetch(
        connection,
        compose(
            "SELECT count(*) AS n FROM {plan} AS p JOIN {table} AS t ON {same}"
            " JOIN {child} AS c ON {on} WHERE p.op = 'delete'",
            plan=plan.relation,
            table=name(plan.model._meta.db_table),
            same=plan.same_row("t", "p"),
            child=name(key.table),
            on=on,
        ),
    )[0]["n"]
    if found:
        raise Refused(
            f"{found} rows of {key.table} refer to rows of {plan.model._meta.db_table} that would be deleted,"
            " and no model"
            f" declares that table. Nothing was written. Move or delete them first (constraint {key.name})."
        )


def _owners(plan: Plan, connection: Any) -> set[Key]:
    rows = fetch(
        connection, compose("SELECT DISTINCT {owners} FROM {plan}", owners=names(plan.owners), plan=plan.relation)
    )
    return {tuple(row.values()) for row in rows}
