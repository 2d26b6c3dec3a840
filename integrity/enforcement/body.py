"""The body of a trigger function that keeps a Derived rule true: made from the same statements as analysis and repair.

Each step closes a race or a cost that was met without it: keys in an array variable (a subquery over the transition
table is an order slower), return at once when nothing is touched (statement triggers fire on no rows too), locks
before the values are looked at, and an UPDATE of what differs alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from psycopg import sql

from integrity.enforcement.incremental import add_changes
from integrity.enforcement.names import KEEPING, KEPT, KEYS, NEW, OLD, OUTER, keeping
from integrity.expressions import array_type
from integrity.keys import columns_of, pk_columns
from integrity.paths import Hop
from integrity.repairing.ordering import feeds_itself
from integrity.repairs.recompute import Recompute
from integrity.scope import Scope
from integrity.statement import Statement, compose, joined, name, names
from integrity.touched import read_columns, root_tables, rows_before, touched

if TYPE_CHECKING:
    from integrity.rules.base import Rule
    from integrity.rules.derived import Derived


FEW = 100
"""Up to so many keys a plan made once is used again, which takes a tenth of the time; for more a plan is made anew."""


def body(rule: Derived, model: type[Model], event: str) -> str:
    """What the trigger of one event on one table does."""
    steps = [_stop_recursion(rule)] if _is_root(rule, model) and not feeds_itself(rule, [Recompute()]) else []
    if event == "truncate":
        steps += [_take_every_key(rule), _no_keys_nothing_to_do()]
    else:
        source = changed_rows(rule, model, event)
        steps += [*_lock_beyond(rule, model, event), *_lock_between(rule, model, source)]
        steps += [_take_keys(rule, model, source), _no_keys_nothing_to_do()]
    steps += [refuse_old_snapshot(rule), _plan_for_many(), _lock_parents(rule)]
    steps += [add_changes(rule, model, event) if _is_added(rule, model, event) else _write(rule)]
    return quoted("\n".join(step.literal() for step in steps)) + "\nRETURN NULL;"


_ALIAS = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")|\b([A-Z]{1,2}[0-9]+)\b""")


def quoted(text: str) -> str:
    """The ORM's aliases in quotes, as some versions of Django write them and others do not.

    A trigger that a migration of one version installed would be outdated for the other.
    """
    return _ALIAS.sub(lambda found: found[1] or f'"{found[2]}"', text)


def declarations(rule: Derived) -> list[tuple[str, str]]:
    """The variables of the function."""
    (key,) = columns_of(rule.model)
    return [(KEYS, array_type(key, connections[DEFAULT_DB_ALIAS])), (KEPT, "text"), (OUTER, "text")]


def changed_rows(rule: Rule, model: type[Model], event: str) -> Statement:
    """The rows of a transition table that can matter: of an update those in which a column that is read changed."""
    if event == "insert":
        return Statement(f"SELECT * FROM {NEW}")
    if event == "delete":
        return Statement(f"SELECT * FROM {OLD}")
    columns = read_columns(rule, model)
    # A changed primary key has no partner on the other side, and so counts as changed.
    return compose(
        "SELECT c.* FROM old_rows AS o FULL JOIN new_rows AS n ON {same}"
        " CROSS JOIN LATERAL (SELECT {old} UNION ALL SELECT {new}) AS c WHERE ({old}) IS DISTINCT FROM ({new})",
        same=joined(" AND ", (compose("o.{c} = n.{c}", c=name(c)) for c in pk_columns(model))),
        old=names(columns, of="o"),
        new=names(columns, of="n"),
    )


def _is_root(rule: Derived, model: type[Model]) -> bool:
    return model._meta.db_table in root_tables(rule)


def _stop_recursion(rule: Derived) -> Statement:
    """The trigger's own UPDATE fires the trigger on the parent, which has nothing to add."""
    return compose(
        "IF current_setting({keeping}, true) = {label} || pg_trigger_depth() THEN RETURN NULL; END IF;",
        keeping=sql.Literal(KEEPING),
        label=sql.Literal(f"{rule.label}:"),
    )


def _take_keys(rule: Derived, model: type[Model], source: Statement) -> Statement:
    keys = touched(rule, model, source)
    assert keys is not None, "a rule that can only be checked whole is not enforced"
    return compose(
        "{variable} := ARRAY(SELECT k.{key} FROM ({keys}) AS k ORDER BY 1);",
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


def _no_keys_nothing_to_do() -> Statement:
    return compose("IF cardinality({keys}) = 0 THEN RETURN NULL; END IF;", keys=name(KEYS))


def refuse_old_snapshot(rule: Rule) -> Statement:
    """What others committed since the transaction began cannot be seen in one of REPEATABLE READ, locked or not."""
    return compose(
        "IF current_setting('transaction_isolation') = 'repeatable read' THEN"
        " RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = {message}, HINT = {hint}; END IF;",
        message=sql.Literal(f"{rule.label} cannot be kept true in a transaction of isolation level REPEATABLE READ."),
        hint=sql.Literal("Write in READ COMMITTED, the default, or let every writer be SERIALIZABLE."),
    )


def _plan_for_many() -> Statement:
    """Ends with the function, which sets the opposite."""
    return compose(
        "IF cardinality({keys}) > {few} THEN {kept} := set_config('plan_cache_mode', 'force_custom_plan', true);"
        " END IF;",
        keys=name(KEYS),
        few=sql.Literal(FEW),
        kept=name(KEPT),
    )


def _lock_beyond(rule: Derived, model: type[Model], event: str) -> list[Statement]:
    """Hold the rows that newly attached rows read, as a foreign key does, but against changes of other columns too.

    Otherwise whoever changes such a row at the same time does not see that it is read by a further one.
    """
    if event not in ("insert", "update"):
        return []
    attached = Statement(f"SELECT * FROM {NEW}")
    locks = {}
    for hop in _forward_from(rule, model):
        source, target = str(hop.field.column), hop.field.target_field.column
        if event == "update":
            columns = names([*pk_columns(model), source])
            attached = compose("SELECT {c} FROM new_rows EXCEPT ALL SELECT {c} FROM old_rows", c=columns)
        locks[source] = compose(
            "PERFORM 1 FROM {table} AS t WHERE t.{target} = ANY(ARRAY(SELECT r.{source} FROM ({attached}) AS r))"
            " ORDER BY t.{target} FOR SHARE;",
            table=name(hop.model._meta.db_table),
            target=name(target),
            source=name(source),
            attached=attached,
        )
    return list(locks.values())


def _forward_from(rule: Derived, model: type[Model]) -> list[Hop]:
    """The hops by which rows of a table read rows further away."""
    table = model._meta.db_table
    return [hop for path in rule.all_paths() for hop in path.hops if hop.forward and hop.source._meta.db_table == table]


def _is_added(rule: Derived, model: type[Model], event: str) -> bool:
    """True where the rows themselves are summed or counted; what they refer to makes the key be recomputed."""
    return (
        rule.incremental
        and event != "truncate"
        and not _is_root(rule, model)
        and all(len(way) == 1 and not way[0].forward for way in ways_to(rule, model))
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
