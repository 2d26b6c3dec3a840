"""Writing planned rows and their images in one statement, so that neither can be without the other.

Images are text: a column as PostgreSQL prints it under pinned settings, which it reads back as the same value. jsonb of
the values themselves would lose JSON null, the text of ``json`` and the bounds of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.db import connection as default_connection
from django.db.models import Max, Model
from django.utils import timezone
from psycopg import sql

from integrity.exceptions import Refused
from integrity.keys import pk_columns
from integrity.models import Change, Run
from integrity.repairing.defaults import unplanned
from integrity.repairing.owners import owner_of, owner_of_new, text_object
from integrity.repairing.plan import Plan
from integrity.repairs.base import DELETE, INSERT, QUARANTINED, UPDATE
from integrity.schema import Column, columns
from integrity.statement import Part, Statement, as_statement, compose, joined, name, names, value
from integrity.statement import run as execute

# RETURNING knows the row before and after.
_RETURNS_OLD = 180000

CHANGES = Change._meta.db_table


def image(alias: str, held: Sequence[Column]) -> Statement:
    """Every column of a row, generated ones left out, as an object of text."""
    return text_object({c.name: as_statement(name(alias, c.name)) for c in held if not c.generated})


def key_object(alias: str, model: type[Model]) -> Statement:
    """The primary key of a row as an object of text by column."""
    return text_object({column: as_statement(name(alias, column)) for column in pk_columns(model)})


def write(plan: Plan, run: Run, rule: str, connection: Any) -> int:
    """Write every planned row and its images. The number of rows written.

    Raises Refused when a row was written otherwise than planned, which undoes the statement's transaction.
    """
    held = columns(plan.model._meta.db_table, connection)
    statements = {DELETE: _delete, UPDATE: _update, INSERT: _insert}
    written = 0
    for operation in (DELETE, UPDATE, INSERT):
        planned = plan.count(operation)
        if not planned:
            continue
        done = execute(connection, statements[operation](plan, run, rule, held))
        if done != planned:
            raise Refused(
                f"{planned} rows of {plan.model._meta.db_table} were to be changed by {operation} and {done} were."
                " Something else changes the rows that are written: a rule, a trigger or a row security policy."
            )
        written += done
    return written


def _delete(plan: Plan, run: Run, rule: str, held: Sequence[Column]) -> Statement:
    done = compose(
        "DELETE FROM {table} AS t USING {plan} AS p WHERE p.op = 'delete' AND {same} AND {unmoved}"
        " RETURNING {key} AS key, {image} AS before, NULL::jsonb AS after, {owner} AS owner",
        table=name(plan.model._meta.db_table),
        plan=plan.relation,
        owner=owner_of(plan),
        same=plan.row_by_index("t", "p"),
        unmoved=plan.unmoved("t", "p"),
        key=key_object("t", plan.model),
        image=image("t", held),
    )
    return _journaled(done, run, rule, plan)


def _update(plan: Plan, run: Run, rule: str, held: Sequence[Column]) -> Statement:
    """The image before comes from the row's own OLD; until PostgreSQL 18 brings it, from a second look at the row.

    The second look is part of the update's FROM, where the key finds the row: the guards are estimated to let one row
    pass, so that a join of the written rows with their images compared each of them with every other.
    """
    parts: dict[str, Part] = {"table": name(plan.model._meta.db_table), "plan": plan.relation}
    seen = Statement("")
    if plan.connection.pg_version < _RETURNS_OLD:
        # The rows are locked, so what this statement sees is what it updates.
        seen = compose("JOIN {table} AS old ON {same}", same=plan.row_by_index("old", "p"), **parts)
    done = compose(
        "UPDATE {table} AS t SET {sets} FROM {plan} AS p {seen} WHERE p.op = 'update' AND {same} AND {unmoved}"
        " RETURNING {key} AS key, {before} AS before, {after} AS after, {owner} AS owner",
        sets=joined(", ", (compose("{column} = p.{new}", column=name(c), new=name(f"new__{c}")) for c in plan.sets)),
        seen=seen,
        same=plan.row_by_index("t", "p"),
        unmoved=plan.unmoved("t", "p"),
        key=key_object("t", plan.model),
        before=image("old", held),
        after=image("t", held),
        owner=owner_of(plan),
        **parts,
    )
    return _journaled(done, run, rule, plan)


def _insert(plan: Plan, run: Run, rule: str, held: Sequence[Column]) -> Statement:
    types = {column.name: Statement(column.type) for column in held}
    defaults = _defaults(plan)
    values = [compose("p.{new}", new=name(f"new__{c}")) for c in plan.sets]
    values += [compose("d.{c}::{type}", c=name(c), type=types[c]) for c in defaults]
    columns_ = [*plan.sets, *defaults]
    done = compose(
        "INSERT INTO {table} AS t ({columns}) SELECT {values}"
        " FROM (SELECT *, row_number() OVER () AS integrity_row FROM {plan} WHERE op = 'insert') AS p {defaults}"
        " RETURNING {key} AS key, NULL::jsonb AS before, {image} AS after, {owner} AS owner",
        table=name(plan.model._meta.db_table),
        columns=names(columns_),
        values=joined(", ", values),
        plan=plan.relation,
        defaults=_each_with(defaults, plan.count(INSERT)) if defaults else Statement(""),
        key=key_object("t", plan.model),
        image=image("t", held),
        owner=owner_of_new(plan),
    )
    return _journaled(done, run, rule, plan)


def _each_with(defaults: dict[str, Callable[[], Any]], rows: int) -> Statement:
    """A join that gives each new row defaults of its own: a key made by uuid4 may not be given twice."""
    drawn = (
        joined(", ", map(value, (number, *(draw() for draw in defaults.values())))) for number in range(1, rows + 1)
    )
    return compose(
        "JOIN (VALUES {rows}) AS d (integrity_row, {columns}) USING (integrity_row)",
        rows=joined(", ", (compose("({row})", row=row) for row in drawn)),
        columns=names(defaults),
    )


def _journaled(done: Statement, run: Run, rule: str, plan: Plan) -> Statement:
    return compose(
        'WITH done AS ({done}) INSERT INTO {changes} (run_id, rule, "table", key, owner, quarantined, before, after)'
        " SELECT {run}, {rule}, {label}, key, owner, {quarantined}::boolean, before, after FROM done",
        done=done,
        changes=name(CHANGES),
        run=value(run.pk),
        rule=value(rule),
        label=value(plan.model._meta.db_table),
        quarantined=value(plan.write.outcome == QUARANTINED or None),
    )


def _defaults(plan: Plan) -> dict[str, Callable[[], Any]]:
    """What draws a value for each column that a plan leaves out, as the model would fill it in."""
    found: dict[str, Callable[[], Any]] = {}
    for field in unplanned(plan.model, plan.sets):
        if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
            found[field.column] = timezone.now
        elif field.has_default():
            found[field.column] = partial(_default, field)
    return found


def _default(field: Any) -> Any:
    return field.get_db_prep_save(field.get_default(), default_connection)


def last_change() -> int:
    """A number of the journal that whatever is written from now on comes after."""
    return Change.objects.aggregate(last=Max("id"))["last"] or 0


def inserted_since(before: int, model: type[Model], run: Run, connection: Any) -> Statement:
    """A SELECT of the rows of a table that this transaction has inserted for a run, of which others write as well.

    before: what last_change() answered then, so that a long journal is not read from its beginning.
    What is written behind a savepoint has a number of its own, after that of the transaction, and is in progress with
    it; what others wrote since has ended, or it would not be seen.
    """
    return compose(
        "SELECT t.* FROM (SELECT *, pg_current_xact_id()::text::bigint AS ours,"
        " (xmin::text::bigint - pg_current_xact_id()::text::bigint) & 4294967295 AS later"
        " FROM {changes} WHERE id > {before}) AS c JOIN {table} AS t ON {same}"
        " WHERE c.run_id = {run} AND c.table = {label} AND c.before IS NULL"
        " AND CASE WHEN c.later < 2147483648 THEN pg_xact_status((c.ours + c.later)::text::xid8) = 'in progress' END",
        changes=name(CHANGES),
        table=name(model._meta.db_table),
        same=keyed("t", "c", model, connection),
        run=value(run.pk),
        before=value(before),
        label=value(model._meta.db_table),
    )


def keyed(table: str, change: str, model: type[Model], connection: Any) -> Statement:
    """The row of the table is that of the change."""
    types = {column.name: column.type for column in columns(model._meta.db_table, connection)}
    same = [
        compose(
            "{t}.{pk} = ({c}.key->>{text})::{type}",
            t=name(table),
            c=name(change),
            pk=name(pk),
            text=value(pk),
            type=Statement(types[pk]),
        )
        for pk in pk_columns(model)
    ]
    return joined(" AND ", same)


def note_columns(run: Run, model: type[Model], allowed: set[str], connection: Any) -> None:
    """Keep the types of a table's columns with the run: an undo refuses to guess when one has changed since."""
    table = model._meta.db_table
    if table not in run.options["columns"]:
        if run.shared:
            # Others may have noted another table meanwhile.
            run.options = Run.objects.select_for_update(no_key=True).values_list("options", flat=True).get(pk=run.pk)
        run.options["columns"][table] = {c.name: c.type for c in columns(table, connection) if not c.generated}
        run.options["triggers"] = sorted({*allowed, *run.options["triggers"]})
        run.save(update_fields=["options"])


def images_as_rows(run: Run, model: type[Model], connection: Any) -> Statement:
    """A SELECT of the rows of a table as a run found and as it left them, typed again from their images."""
    held = {column.name: column.type for column in columns(model._meta.db_table, connection)}
    typed = [
        compose("(i.image->>{text})::{type} AS {column}", text=sql.Literal(c), type=Statement(type_), column=name(c))
        for c, type_ in held.items()
    ]
    return compose(
        "SELECT {typed} FROM {changes} AS c, LATERAL (VALUES (c.before), (c.after)) AS i (image)"
        " WHERE c.run_id = {run} AND c.table = {label} AND i.image IS NOT NULL",
        typed=joined(", ", typed),
        changes=name(CHANGES),
        run=value(run.pk),
        label=value(model._meta.db_table),
    )
