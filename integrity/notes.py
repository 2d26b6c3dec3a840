"""What triggers have noted about a tracked rule: taken away, and resolved to the keys that may have changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model
from psycopg import sql

from integrity.conf import conf
from integrity.enforcement.noted import noted_columns, noted_models
from integrity.exceptions import NotChecked
from integrity.keys import Key, as_json, columns_of
from integrity.models import Note
from integrity.rules.base import Rule
from integrity.schema import columns
from integrity.statement import Statement, compose, fetch, joined, name, run, value
from integrity.touched import touched

TAKEN = Statement('SELECT "table", "row" FROM pg_temp.integrity_taken')


def take(rule: Rule, connection: Any) -> None:
    """Move the notes of a rule out of everybody's sight; a transaction that is rolled back leaves them where they were.

    A writer that has not committed yet keeps his for the next one. What was taken is resolved by a later statement,
    which sees at least what the writers of these notes have done.
    """
    run(connection, Statement("DROP TABLE IF EXISTS pg_temp.integrity_taken"))
    run(
        connection,
        Statement('CREATE TEMP TABLE integrity_taken ("table" varchar NOT NULL, "row" jsonb) ON COMMIT DROP'),
    )
    moved = Statement(
        'WITH gone AS (DELETE FROM integrity_note WHERE rule = %s RETURNING "table", "row")'
        ' INSERT INTO pg_temp.integrity_taken SELECT DISTINCT "table", "row" FROM gone',
        (rule.label,),
    )
    run(connection, moved)
    run(connection, Statement("ANALYZE pg_temp.integrity_taken"))


def untaken(rule: Rule) -> Statement:
    """The notes that have been committed since."""
    return Statement('SELECT "table", "row" FROM integrity_note WHERE rule = %s', (rule.label,))


def resolved(rule: Rule, notes: Statement, connection: Any) -> set[Key] | None:
    """The keys that notes concern; None for every key, or for more than are worth being looked at one by one."""
    whole = compose('SELECT FROM ({notes}) AS n WHERE n."row" IS NULL LIMIT 1', notes=notes)
    if fetch(connection, whole):
        return None
    limit = conf().CHANGED_KEYS
    found: set[Key] = set()
    for model in noted_models(rule):
        keys = touched(rule, model, _as_rows(rule, model, notes, connection))
        assert keys is not None, "a rule that can only be checked whole is not tracked"
        limited = compose("SELECT * FROM ({keys}) AS k LIMIT {limit}", keys=keys, limit=value(limit + 1))
        found.update(tuple(row.values()) for row in fetch(connection, limited))
        if len(found) > limit:
            return None
    return found


def look_again(rule: Rule, keys: Sequence[Key]) -> None:
    """Note keys of which the stored violations may be out of date already, for the next check to look at them."""
    table = rule.model._meta.db_table
    if len(keys) > conf().CHANGED_KEYS:
        Note.objects.create(rule=rule.label, table=table)
        return
    parts = [str(field.column) for field in columns_of(rule.model)]
    rows = [dict(zip(parts, map(as_json, key), strict=True)) for key in keys]
    Note.objects.bulk_create((Note(rule=rule.label, table=table, row=row) for row in rows), batch_size=1000)


def _as_rows(rule: Rule, model: type[Model], notes: Statement, connection: Any) -> Statement:
    """Notes of one table as rows of it, with the columns that were noted alone."""
    wanted = noted_columns(rule, model)
    types = {column.name: column.type for column in columns(model._meta.db_table, connection)}
    for column in wanted:
        if column not in types:
            where = f"{model._meta.db_table}.{column}"
            raise NotChecked(f"{rule.label} needs the column {where}, which is not there. Run: manage.py migrate")
    typed = [
        compose('(n."row"->>{text})::{type} AS {column}', text=sql.Literal(c), type=Statement(types[c]), column=name(c))
        for c in wanted
    ]
    return compose(
        'SELECT {typed} FROM ({notes}) AS n WHERE n."table" = {table}',
        typed=joined(", ", typed),
        notes=notes,
        table=value(model._meta.db_table),
    )
