"""The body of a trigger function that keeps a Derived rule true: made from the same statements as analysis and repair.

Each step closes a race or a cost that was met without it: keys in an array variable (a subquery over the transition
table is an order slower), return at once when nothing is touched (statement triggers fire on no rows too), locks
before the values are looked at, and an UPDATE of what differs alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from psycopg import sql

from integrity.enforcement.incremental import add_changes
from integrity.enforcement.names import KEEPING, KEYS, NEW, OLD, keeping
from integrity.expressions import array_type
from integrity.keys import column_of, columns_of, pk_columns
from integrity.ordering import feeds_itself
from integrity.paths import Hop
from integrity.repairs.recompute import Recompute
from integrity.scope import Scope
from integrity.statement import Statement, compose, joined, name, names
from integrity.touched import root_tables, rows_before, touched

if TYPE_CHECKING:
    from integrity.rules.derived import Derived


def body(rule: Derived, model: type[Model], event: str) -> str:
    """What the trigger of one event on one table does."""
    steps = [_stop_recursion(rule)] if _is_root(rule, model) and not feeds_itself(rule, [Recompute()]) else []
    if event == "truncate":
        steps += [_take_every_key(rule)]
    else:
        source = changed_rows(rule, model, event)
        steps += [*_lock_between(rule, model, source), _take_keys(rule, model, source)]
    incremental = rule.incremental and event != "truncate" and not _is_root(rule, model)
    steps += [_lock_parents(rule), add_changes(rule, model, event) if incremental else _write(rule)]
    return "\n".join(step.literal() for step in steps) + "\nRETURN NULL;"


def declarations(rule: Derived) -> list[tuple[str, str]]:
    """The variables of the function."""
    (key,) = columns_of(rule.model)
    return [(KEYS, array_type(key, connections[DEFAULT_DB_ALIAS]))]


def changed_rows(rule: Derived, model: type[Model], event: str) -> Statement:
    """The rows of a transition table that can matter: of an update those in which a column that is read changed."""
    if event == "insert":
        return Statement(f"SELECT * FROM {NEW}")
    if event == "delete":
        return Statement(f"SELECT * FROM {OLD}")
    columns = names(read_columns(rule, model))
    # Rows as sets, not joined by key: a changed primary key would break the join.
    return compose(
        "(SELECT {c} FROM old_rows EXCEPT ALL SELECT {c} FROM new_rows)"
        " UNION ALL (SELECT {c} FROM new_rows EXCEPT ALL SELECT {c} FROM old_rows)",
        c=columns,
    )


def read_columns(rule: Derived, model: type[Model]) -> list[str]:
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


def _is_root(rule: Derived, model: type[Model]) -> bool:
    return model._meta.db_table in root_tables(rule)


def _stop_recursion(rule: Derived) -> Statement:
    """The trigger's own UPDATE fires the trigger on the parent, which has nothing to add."""
    return compose(
        "IF current_setting({keeping}, true) = {label} THEN RETURN NULL; END IF;",
        keeping=sql.Literal(KEEPING),
        label=sql.Literal(rule.label),
    )


def _take_keys(rule: Derived, model: type[Model], source: Statement) -> Statement:
    keys = touched(rule, model, source)
    assert keys is not None, "a rule that can only be checked whole is not enforced"
    return compose(
        "{variable} := ARRAY(SELECT k.{key} FROM ({keys}) AS k ORDER BY 1);\n"
        "IF cardinality({variable}) = 0 THEN RETURN NULL; END IF;",
        variable=name(KEYS),
        key=name(columns_of(rule.model)[0].name),
        keys=keys,
    )


def _take_every_key(rule: Derived) -> Statement:
    return compose(
        "{variable} := ARRAY(SELECT {pk} FROM {table} ORDER BY 1);",
        variable=name(KEYS),
        pk=name(pk_columns(rule.model)[0]),
        table=name(rule.model._meta.db_table),
    )


def _lock_between(rule: Derived, model: type[Model], source: Statement) -> list[Statement]:
    """Lock the rows between the touched table and the key, the nearest first, before the keys are computed.

    Otherwise a row that moves to another parent at the same time takes its change along to a key nobody recomputes.
    """
    locks = []
    for hops in ways_to(rule, model):
        rows = source
        for hop in reversed(hops[1:]):
            rows = rows_before(hop, rows)
            locks.append(
                compose(
                    "PERFORM 1 FROM ({rows} ORDER BY {pk} FOR NO KEY UPDATE) AS locked;",
                    rows=rows,
                    pk=names(pk_columns(hop.source), of="s"),
                )
            )
    return locks


def ways_to(rule: Derived, model: type[Model]) -> list[tuple[Hop, ...]]:
    """The hops from the rule's table to a table, for each path that passes it."""
    return list(
        dict.fromkeys(
            path.hops[: position + 1]
            for path in rule.all_paths()
            for position, hop in enumerate(path.hops)
            if hop.model._meta.db_table == model._meta.db_table
        )
    )


def _lock_parents(rule: Derived) -> Statement:
    """NO KEY: an immediate foreign key of an inserted child holds its parent FOR KEY SHARE, and would deadlock."""
    return compose(
        "PERFORM 1 FROM {table} AS t WHERE t.{pk} = ANY({keys}) ORDER BY t.{pk} FOR NO KEY UPDATE;",
        table=name(rule.model._meta.db_table),
        pk=name(pk_columns(rule.model)[0]),
        keys=name(KEYS),
    )


def _write(rule: Derived) -> Statement:
    (planned,) = Recompute().plan(rule, Scope(variable=KEYS), DEFAULT_DB_ALIAS)
    update = compose(
        "UPDATE {table} AS t SET {sets} FROM ({rows}) AS p WHERE t.{pk} = p.{row};",
        table=name(rule.model._meta.db_table),
        sets=assignments(planned.sets),
        rows=planned.statement,
        pk=name(pk_columns(rule.model)[0]),
        row=name(f"row__{pk_columns(rule.model)[0]}"),
    )
    return update if feeds_itself(rule, [Recompute()]) else keeping(rule, update)


def assignments(columns: Sequence[str]) -> Statement:
    """``column = p.new__column`` for each."""
    return joined(", ", (compose("{c} = p.{n}", c=name(column), n=name(f"new__{column}")) for column in columns))
