"""Triggers that note what a tracked rule has to look at again, for ``analyze --changed``.

What is noted is the key nearest to the row, such as the foreign key of a child: which keys of the rule it leads to may
be decided by transactions that have not committed yet, and is looked up when they have.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.db.models import Model
from pgtrigger import Trigger
from psycopg import sql

from integrity.enforcement.body import changed_rows
from integrity.enforcement.names import NEW, OLD, shortened
from integrity.enforcement.triggered import Triggered
from integrity.enforcement.triggers import EVENTS, Keep
from integrity.keys import column_of, columns_of
from integrity.paths import Hop
from integrity.rules.base import Rule
from integrity.statement import Statement, compose, fetch, joined, name, names
from integrity.touched import root_tables


class NoteKeys(Keep):
    """Appends a note for each key that one kind of statement on one table concerns."""

    def __init__(self, rule: Rule, event: str) -> None:
        self.rule, self.event = rule, event  # type: ignore[assignment]
        operation, referencing = EVENTS[event]
        readable = shortened(f"note_{rule.app}_{rule.name}", 37)
        Trigger.__init__(self, name=f"{readable}_{event}", operation=operation, referencing=referencing)

    def get_declare(self, model: Any) -> list[tuple[str, str]]:
        """No variables."""
        return []

    def get_func(self, model: Any) -> str:
        """The body of the function."""
        return f"{_note(self.rule, model, self.event).literal()}\nRETURN NULL;"


class Noted(Triggered):
    """Four triggers on each table that a tracked rule reads. They refuse nothing and keep nothing true."""

    def triggers(self) -> list[tuple[Any, Any]]:
        return [(model, NoteKeys(self.rule, event)) for model in noted_models(self.rule) for event in EVENTS]

    def installed(self, connection: Any) -> str:
        """Tells these very triggers, switched on, from others of the same text that replace them.

        Between the two, or while they were switched off, nothing was noted.
        """
        rows = fetch(
            connection,
            Statement(
                "SELECT t.tgname, t.oid, t.xmin::text AS made, t.ctid::text, t.tgenabled::text, p.xmin::text AS written"
                " FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE t.tgname = ANY(%s) ORDER BY 1, 2",
                (sorted(self.trigger_names()),),
            ),
        )
        return hashlib.sha256(str([list(row.values()) for row in rows]).encode()).hexdigest()


def noted_models(rule: Rule) -> list[type[Model]]:
    """The models whose rows decide about the rule."""
    found = {rule.model._meta.db_table: rule.model}
    for path in rule.all_paths():
        found.update({hop.model._meta.db_table: hop.model for hop in path.hops})
    return [found[table] for table in sorted(found)]


def noted_columns(rule: Rule, model: type[Model]) -> list[str]:
    """The columns of a table by which ``touched()`` finds the keys of the rule."""
    table = model._meta.db_table
    keys = [str(key.column) for key in columns_of(rule.model)] if table in root_tables(rule) else []
    ends = [hop for path in rule.all_paths() for hop in path.hops if hop.model._meta.db_table == table]
    return list(dict.fromkeys([*keys, *(column for hop in ends for column in _far(hop))]))


def _far(hop: Hop) -> list[str]:
    """The columns of the far table by which a hop leads there."""
    if hop.forward:
        return [str(hop.field.target_field.column)]
    types = [column_of(hop.model, hop.field.content_type_field_name)] if hop.generic else []
    return [column_of(hop.model, hop.column), *types]


def _note(rule: Rule, model: type[Model], event: str) -> Statement:
    label, table = sql.Literal(rule.label), sql.Literal(model._meta.db_table)
    into = Statement('INSERT INTO integrity_note ("rule", "table", "row")')
    if event == "truncate":
        return compose("{into} VALUES ({label}, {table}, NULL);", into=into, label=label, table=table)
    columns = noted_columns(rule, model)
    return compose(
        "{into} SELECT {label}, {table}, jsonb_build_object({pairs})"
        " FROM (SELECT DISTINCT {columns} FROM ({rows}) AS r) AS k WHERE {known};",
        into=into,
        label=label,
        table=table,
        pairs=joined(", ", (compose("{c}, {k}", c=sql.Literal(c), k=name("k", c)) for c in columns)),
        columns=names(columns, of="r"),
        rows=_rows(rule, model, event),
        # What refers to nothing concerns nothing.
        known=joined(" OR ", (compose("{k} IS NOT NULL", k=name("k", c)) for c in columns)),
    )


def _rows(rule: Rule, model: type[Model], event: str) -> Statement:
    if event == "update":
        return changed_rows(rule, model, event)
    return Statement(f"SELECT * FROM {NEW if event == 'insert' else OLD}")
