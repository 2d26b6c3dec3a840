"""Rows that would go along with a deleted one: found in the catalog, planned as writes of their own, children first.

PostgreSQL's own cascades would delete them without an image, and Django's are not run by SQL at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import CASCADE, SET_NULL, Model

from integrity.conf import conf
from integrity.exceptions import Refused
from integrity.keys import Key, pk_columns
from integrity.references import by_key, by_relation, generic_columns, generic_relations
from integrity.repairing.plan import Plan
from integrity.repairs.base import DELETE, UPDATE, Write
from integrity.schema import ForeignKey, find_model, foreign_keys_to
from integrity.statement import Statement, compose, fetch, joined, name, names, value


@dataclass
class Along:
    """What goes along with the rows that a plan deletes."""

    plans: list[Plan] = field(default_factory=list)
    """Referring rows before the rows that they refer to."""
    protected: set[Key] = field(default_factory=set)
    """Owners that must be left alone, because a reference protects one of their rows."""
    moved: set[Key] = field(default_factory=set)
    """Owners of a row that changed between plan and lock."""


def follow(plan: Plan, connection: Any, *, lock: bool, above: tuple[Plan, ...] = ()) -> Along:
    """Plans for the rows that refer to those that a plan deletes, each locked before what refers to it is looked for.

    A row that several ways lead to is planned once for each. Raises Refused when the references go deeper than
    CASCADE_DEPTH, lead to rows of a table without a model, or to rows that are spread over several tables.
    """
    along = Along()
    if not plan.count(DELETE):
        return along
    above = (*above, plan)
    for write, keeps in _references(plan, connection):
        child = Plan(plan.rule, write, connection)
        for known in above:
            child.drop_known(known)
        if not child.count():
            continue
        if keeps:
            along.protected |= child.owner_keys()
            continue
        _refuse_unfit(child, above)
        if lock:
            along.moved |= child.lock()
        deeper = follow(child, connection, lock=lock, above=above)
        along.plans += [*deeper.plans, child]
        along.protected |= deeper.protected
        along.moved |= deeper.moved
    return along


def reachable(models: Iterable[type[Model]], connection: Any) -> set[type[Model]]:
    """The models, and those of which rows may go along when theirs are deleted."""
    found: set[type[Model]] = set()
    waiting = list(models)
    while waiting:
        model = waiting.pop()
        if model in found:
            continue
        found.add(model)
        keys = ((find_model(key.table), key) for key in foreign_keys_to(model._meta.db_table, connection))
        waiting += [child for child, key in keys if child is not None and _action(child, key) is not None]
        waiting += [relation.related_model for relation in generic_relations(model)]
    return found


def _refuse_unfit(child: Plan, above: tuple[Plan, ...]) -> None:
    table = child.model._meta.db_table
    if len(above) > conf().CASCADE_DEPTH:
        raise Refused(
            f"Deleting rows of {above[0].model._meta.db_table} would take rows along more than"
            f" {conf().CASCADE_DEPTH} tables deep (now at {table}). Nothing was written. Delete them by hand,"
            " or raise INTEGRITY['CASCADE_DEPTH']."
        )
    if child.count(DELETE) and set(child.model._meta.all_parents) - {plan.model for plan in above}:
        raise Refused(
            f"Deleting rows of {above[0].model._meta.db_table} would take rows of {table} along, which are spread over"
            " the tables of its parents. Nothing was written. Delete them by hand."
        )


def _references(plan: Plan, connection: Any) -> Iterator[tuple[Write, bool]]:
    """A write for the rows behind each reference, and whether they protect what they refer to."""
    for key in foreign_keys_to(plan.model._meta.db_table, connection):
        model = find_model(key.table)
        if model is None:
            _refuse_unknown(plan, key, connection)
            continue
        action = _action(model, key)
        sets = key.columns if action == UPDATE else ()
        yield _write(plan, model, key, action or DELETE, sets), action is None
    for relation in generic_relations(plan.model):
        yield _generic(plan, relation), False


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


def _write(plan: Plan, model: type[Model], key: ForeignKey, operation: str, sets: tuple[str, ...]) -> Write:
    # A row that was pointed elsewhere before it was locked does not go along.
    rows = _rows(plan, model, by_key(key), operation, key.columns, sets)
    return Write(model, rows, sets=sets, guards=key.columns)


def _generic(plan: Plan, relation: Any) -> Write:
    guards = generic_columns(relation)
    rows = _rows(plan, relation.related_model, by_relation(plan.model, relation), DELETE, guards, ())
    return Write(relation.related_model, rows, guards=guards)


def _rows(
    plan: Plan, model: type[Model], on: Statement, operation: str, guards: tuple[str, ...], sets: tuple[str, ...]
) -> Statement:
    columns = [compose("{op}::text AS op", op=value(operation)), names(plan.owners, of="p")]
    columns += [compose("c.{pk} AS {row}", pk=name(pk), row=name(f"row__{pk}")) for pk in pk_columns(model)]
    columns += [compose("c.{c} AS {old}", c=name(column), old=name(f"old__{column}")) for column in guards]
    columns += [compose("NULLIF(c.{c}, c.{c}) AS {new}", c=name(c), new=name(f"new__{c}")) for c in sets]
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
    found = fetch(
        connection,
        compose(
            "SELECT count(*) AS n FROM {plan} AS p JOIN {table} AS t ON {same}"
            " JOIN {child} AS c ON {on} WHERE p.op = 'delete'",
            plan=plan.relation,
            table=name(plan.model._meta.db_table),
            same=plan.same_row("t", "p"),
            child=name(key.table),
            on=by_key(key),
        ),
    )[0]["n"]
    if found:
        raise Refused(
            f"{found} rows of {key.table} refer to rows of {plan.model._meta.db_table} that would be deleted,"
            " and no model"
            f" declares that table. Nothing was written. Move or delete them first (constraint {key.name})."
        )
