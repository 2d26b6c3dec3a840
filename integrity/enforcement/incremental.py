"""Sums and counts by what changed: sum(new) - sum(old) is added, whatever the length of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from integrity.enforcement.names import NEW, OLD, keeping
from integrity.joins import KEY, many_path
from integrity.keys import column_of, pk_columns
from integrity.rules.derived_problems import linear_terms
from integrity.statement import Statement, compose, joined, name
from integrity.subqueries import grouped

if TYPE_CHECKING:
    from integrity.rules.derived import Derived

_SIDES = {"insert": ((1, NEW),), "delete": ((-1, OLD),), "update": ((1, NEW), (-1, OLD))}


def add_changes(rule: Derived, model: type[Model], event: str) -> Statement:
    """UPDATE the keys by what a statement added to and took from the rows of one table."""
    deltas, sets, changed = [], [], []
    for position, column in enumerate(rule.equals):
        stored = name("t", column_of(rule.model, column))
        delta = f"d{position}"
        deltas += [
            _delta(rule, model, column, delta, sign, source, len(rule.equals), position)
            for sign, source in _SIDES[event]
        ]
        sets.append(
            compose(
                "{column} = COALESCE({stored}, 0) + p.{delta}",
                column=name(column_of(rule.model, column)),
                stored=stored,
                delta=name(delta),
            )
        )
        changed.append(compose("p.{delta} <> 0", delta=name(delta)))
    sums = joined(", ", (compose("sum({d}) AS {d}", d=name(f"d{i}")) for i in range(len(rule.equals))))
    update = compose(
        "UPDATE {table} AS t SET {sets} FROM (SELECT k, {sums} FROM ({deltas}) AS e GROUP BY k) AS p"
        " WHERE t.{pk} = p.k AND ({changed});",
        table=name(rule.model._meta.db_table),
        sets=joined(", ", sets),
        sums=sums,
        deltas=joined(" UNION ALL ", deltas),
        pk=name(pk_columns(rule.model)[0]),
        changed=joined(" OR ", changed),
    )
    return keeping(rule, update)


def _delta(
    rule: Derived, model: type[Model], column: str, delta: str, sign: int, source: str, columns: int, position: int
) -> Statement:
    """What the rows of one transition table amount to for one column, by key; the other columns are 0."""
    table = model._meta.db_table
    terms = [
        (term, node)
        for term, node in linear_terms(rule.equals[column]) or []
        if many_path(rule.model, node).many[0].model._meta.db_table == table
    ]
    amount: Statement = joined(
        " + ",
        [Statement("0")]
        + [
            compose("{sign} * COALESCE(g.{v}, 0)", sign=Statement(str(sign * term)), v=name(f"v{i}"))
            for i, (term, _) in enumerate(terms)
        ],
    )
    values = [amount if i == position else Statement("0") for i in range(columns)]
    selected = joined(", ", (compose("{v} AS {d}", v=v, d=name(f"d{i}")) for i, v in enumerate(values)))
    if not terms:
        return compose("SELECT NULL AS k, {selected} WHERE false", selected=selected)
    # The transition table takes the name of the table, so that the same statement sums its rows alone.
    return compose(
        "SELECT g.{key} AS k, {selected} FROM (WITH {table} AS (SELECT * FROM {source}) {rows}) AS g",
        key=name(KEY),
        selected=selected,
        table=name(table),
        source=name(source),
        rows=grouped(rule.model, [node for _, node in terms], DEFAULT_DB_ALIAS),
    )
