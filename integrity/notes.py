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
from integrity.schema import types
from integrity.statement import Statement, compose, fetch, joined, name, value
from integrity.touched import touched

MANY = 100_000
"""So many different notes are resolved; for more the whole table is looked at."""
Noted = list[tuple[str, str | None]]
"""Tables, each with columns of a row as JSON; None for all of its rows."""


def take(rule: Rule, connection: Any) -> Noted:
    """Take the notes of a rule away; a transaction that is rolled back leaves them where they were.

    A writer that has not committed yet keeps his for the next one. What was taken is to be resolved by a later
    statement, which sees at least what the writers of these notes have done.
    """
    return _distinct(
        Statement('DELETE FROM integrity_note WHERE rule = %s RETURNING "table", "row"', (rule.label,)), connection
    )


def untaken(rule: Rule, connection: Any) -> Noted:
    """The notes that have been committed since."""
    return _distinct(Statement('SELECT "table", "row" FROM integrity_note WHERE rule = %s', (rule.label,)), connection)


def _distinct(notes: Statement, connection: Any) -> Noted:
    distinct = compose(
        'WITH n AS ({notes}) SELECT DISTINCT "table", "row"::text FROM n LIMIT {limit}',
        notes=notes,
        limit=value(MANY + 1),
    )
    return [(row["table"], row["row"]) for row in fetch(connection, distinct)]


def resolved(rule: Rule, notes: Noted, connection: Any) -> set[Key] | None:
    """The keys that notes concern; None for every key, or for more than are worth being looked at one by one."""
    if len(notes) > MANY or any(row is None for _, row in notes):
        return None
    by_table: dict[str, list[str]] = {}
    for table, row in notes:
        by_table.setdefault(table, []).append(str(row))
    models = [model for model in noted_models(rule) if model._meta.db_table in by_table]
    if not models:
        return set()
    known = types(by_table, connection)
    limit = conf().CHANGED_KEYS
    statement = compose(
        "SELECT DISTINCT * FROM ({keys}) AS k LIMIT {limit}",
        keys=joined(" UNION ALL ", (_keys(rule, model, by_table, known) for model in models)),
        limit=value(limit + 1),
    )
    found = {tuple(row.values()) for row in fetch(connection, statement)}
    return None if len(found) > limit else found


def look_again(rule: Rule, keys: Sequence[Key]) -> None:
    """Note keys of which the stored violations may be out of date already, for the next check to look at them."""
    table = rule.model._meta.db_table
    if len(keys) > conf().CHANGED_KEYS:
        Note.objects.create(rule=rule.label, table=table)
        return
    parts = [str(field.column) for field in columns_of(rule.model)]
    rows = [dict(zip(parts, map(as_json, key), strict=True)) for key in keys]
    Note.objects.bulk_create((Note(rule=rule.label, table=table, row=row) for row in rows), batch_size=1000)


def _keys(rule: Rule, model: type[Model], notes: dict[str, list[str]], known: dict[str, dict[str, str]]) -> Statement:
    table = model._meta.db_table
    keys = touched(rule, model, _as_rows(rule, model, notes[table], known[table]))
    assert keys is not None, "a rule that can only be checked whole is not tracked"
    return keys


def _as_rows(rule: Rule, model: type[Model], notes: list[str], known: dict[str, str]) -> Statement:
    """Notes of one table as rows of it, with the columns that were noted alone."""
    wanted = noted_columns(rule, model)
    for column in wanted:
        if column not in known:
            where = f"{model._meta.db_table}.{column}"
            raise NotChecked(f"{rule.label} needs the column {where}, which is not there. Run: manage.py migrate")
    return compose(
        "SELECT {typed} FROM jsonb_array_elements({notes}::jsonb) AS n",
        typed=joined(
            ", ",
            (
                compose(
                    "(n->>{text})::{type} AS {column}", text=sql.Literal(c), type=Statement(known[c]), column=name(c)
                )
                for c in wanted
            ),
        ),
        notes=value(f"[{', '.join(notes)}]"),
    )
