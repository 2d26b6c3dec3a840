"""Which keys of a rule the rows of a table can concern. Nothing else computes keys from rows.

Do-no-harm, ``verify`` and enforcement all ask this; they differ only in the source of the rows: rows about to be
written, images of the journal, transition tables.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from integrity.keys import Key, column_of, columns_of, pk_columns
from integrity.paths import Hop
from integrity.rules.base import Rule
from integrity.statement import Statement, compose, fetch, joined, name, value


def touched(rule: Rule, model: type[Model], source: Statement) -> Statement | None:
    """A SELECT DISTINCT of the rule's keys, by field name, that rows of ``model`` can concern.

    source: a SELECT with the columns of the model's table. None when the rule can only be checked whole.
    """
    if model._meta.db_table in {read._meta.db_table for read in rule.reads_whole()}:
        return None
    found = [rule.keys_of_rows(source, root) for root in rule.roots() if model._meta.db_table in tables_of(root)]
    ways = {
        path.hops[: position + 1]: None
        for path in rule.all_paths()
        for position, hop in enumerate(path.hops)
        if hop.model._meta.db_table == model._meta.db_table
    }
    found += [_back(rule, hops, source) for hops in ways]
    keys = joined(", ", (name("k", key.name) for key in rule.key_fields))
    return compose(
        "SELECT DISTINCT * FROM ({found}) AS k WHERE {known}",
        found=joined(" UNION ALL ", found or [_nothing(rule)]),
        # The far side of an outer join, and a row without a key yet.
        known=Statement("true") if rule.keys_may_be_null else compose("({keys}) IS NOT NULL", keys=keys),
    )


def concerns(model: type[Model], rule: Rule) -> bool:
    """False where no row of the model can concern any key, so that touched() finds nothing."""
    table = model._meta.db_table
    return (
        any(table in tables_of(root) for root in rule.roots())
        or any(hop.model._meta.db_table == table for path in rule.all_paths() for hop in path.hops)
        or any(read._meta.db_table == table for read in rule.reads_whole())
    )


class KeysOf:
    """Runs what touched() answers. Rules of one table often ask for the same keys, which are fetched once.

    For as long as nothing is written.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.found: dict[Statement, set[Key]] = {}

    def __call__(self, statement: Statement) -> set[Key]:
        if statement not in self.found:
            self.found[statement] = {tuple(row.values()) for row in fetch(self.connection, statement)}
        return self.found[statement]


def root_tables(rule: Rule) -> set[str]:
    """The table of the rule's model and those of its parents."""
    return tables_of(rule.model)


def tables_of(root: type[Model]) -> set[str]:
    """The table of a model and those of its parents in multi-table inheritance, which share its key."""
    return {model._meta.db_table for model in (root, *root._meta.all_parents)}


def read_columns(rule: Rule, model: type[Model]) -> list[str]:
    """The columns of a table that decide about the rule, its key first."""
    found = dict.fromkeys(pk_columns(model))
    table = model._meta.db_table
    for path in rule.all_paths():
        for hop in path.hops:
            found.update(dict.fromkeys(_joining(hop, table)))
        if path.field.model._meta.db_table == table and path.field.column:
            found[path.field.column] = None
    return list(found)


def _joining(hop: Hop, table: str) -> list[str]:
    if hop.forward and hop.source._meta.db_table == table:
        return [str(hop.field.column)]
    if not hop.forward and hop.model._meta.db_table == table:
        content_type = [column_of(hop.model, hop.field.content_type_field_name)] if hop.generic else []
        return [column_of(hop.model, hop.column), *content_type]
    if not hop.forward and hop.source._meta.db_table == table:
        return [] if hop.target == "pk" else [column_of(hop.source, hop.target)]
    return []


def _nothing(rule: Rule) -> Statement:
    rows = compose("SELECT * FROM {table} WHERE false", table=name(rule.model._meta.db_table))
    return rule.keys_of_rows(rows)


def _back(rule: Rule, hops: tuple[Hop, ...], source: Statement) -> Statement:
    """Walk the hops backwards, from rows of the last table to the keys of the rule's own."""
    rows = source
    for hop in reversed(hops[1:]):
        rows = rows_before(hop, rows)
    first, keys = hops[0], columns_of(rule.model)
    if first.forward or first.generic or rule.key_fields != keys or first.target not in ("pk", keys[0].name):
        return rule.keys_of_rows(rows_before(first, rows))
    return compose("SELECT r.{fk} AS {key} FROM ({rows}) AS r", fk=_column(first), key=name(keys[0].name), rows=rows)


def rows_before(hop: Hop, rows: Statement) -> Statement:
    """The rows on the near side of a hop, given those on its far side. Keys travel in an array: one index scan."""
    template = "SELECT s.* FROM {table} AS s WHERE s.{near} = ANY(ARRAY(SELECT r.{far} FROM ({rows}) AS r))"
    if hop.generic:
        template = (
            "SELECT s.* FROM {table} AS s WHERE s.{near}::text = ANY(ARRAY("
            "SELECT r.{far}::text FROM ({rows}) AS r WHERE r.{type} = "
            "(SELECT id FROM django_content_type WHERE app_label = {app} AND model = {model})))"
        )
    source = hop.source._meta
    near, far = (hop.field.column, hop.field.target_field.column) if hop.forward else (_target_column(hop), None)
    return compose(
        template,
        table=name(source.db_table),
        near=name(near),
        far=name(far) if far else _column(hop),
        rows=rows,
        type=name(column_of(hop.model, hop.field.content_type_field_name)) if hop.generic else Statement(""),
        app=value(source.app_label),
        model=value(source.model_name),
    )


def _column(hop: Hop) -> Statement:
    return compose("{c}", c=name(column_of(hop.model, hop.column)))


def _target_column(hop: Hop) -> str:
    return pk_columns(hop.source)[0] if hop.target == "pk" else column_of(hop.source, hop.target)
