"""The bodies of trigger functions that keep a References rule true where no foreign key can.

Whoever refers to a row holds it FOR KEY SHARE until the end of the transaction, as a foreign key does, and looks after
that; whoever takes a row away, or changes what decides about it, has to wait for those, and looks after that. So one of
two at a time sees the other, in READ COMMITTED, where each statement of a function sees what is committed by then.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q
from psycopg import sql

from integrity.compiler import check_condition
from integrity.enforcement.body import FEW, quoted, refuse_old_snapshot
from integrity.enforcement.names import KEPT, NEW, OLD
from integrity.enforcement.reference_ways import Way, ways
from integrity.keys import column_of, own_field, pk_columns
from integrity.paths import lookups
from integrity.rules.references import References
from integrity.statement import Statement, compose, joined, name, names

SEEN, ROW, VALUE = "rows_seen", "wrong_row", "wrong_value"
DECLARATIONS = [(SEEN, "integer"), (ROW, "text"), (VALUE, "text"), (KEPT, "text")]


def referring_body(rule: References, event: str) -> str:
    """After rows that refer were inserted or updated: each leads to a row, which stays until the transaction ends."""
    decisive = [*pk_columns(rule.model), *_columns(rule)]
    rows = _speaking(rule, _changed(decisive, NEW, OLD if event == "update" else ""))
    steps = [_count(rows), *(_hold(way, rows) for way in ways(rule))]
    # Held or not: what is no key may be other than in a snapshot of before.
    steps += [refuse_old_snapshot(rule)] if any(way.reads_more_than_a_key for way in ways(rule)) else []
    resolves = joined(" OR ", (compose("({t} AND {r})", t=way.taken(), r=way.resolves()) for way in ways(rule)))
    wrong = compose("({rows}) AS r WHERE ({resolves}) IS NOT TRUE", rows=rows, resolves=resolves)
    steps.append(_refuse(rule, wrong, f"and there is no such {_wanted(rule)}.", "Write what it refers to first."))
    return _written(steps)


def target_body(rule: References, way: Way, event: str) -> str:
    """After rows of a target were deleted, updated or truncated: nothing led to them."""
    referring = _speaking(rule, compose("SELECT * FROM {table}", table=name(rule.model._meta.db_table)))
    wrong = compose("{taken} AND {resolves} IS NOT TRUE", taken=way.taken(), resolves=way.resolves())
    if event == "truncate":
        rows, steps = compose("({rows}) AS r WHERE {wrong}", rows=referring, wrong=wrong), []
    else:
        gone = _changed(way.read(), OLD, NEW if event == "update" else "")
        steps = [_count(gone)]
        if event == "update":
            steps.append(_hold_changed(way))
        rows = compose(
            "({rows}) AS r JOIN (SELECT DISTINCT * FROM ({gone}) AS g) AS o ON {led} WHERE {wrong}",
            rows=referring,
            gone=gone,
            led=way.led(),
            wrong=wrong,
        )
    steps.append(refuse_old_snapshot(rule))
    does = {"update": "changes a row of", "delete": "deletes a row of", "truncate": "empties"}[event]
    says = f"which is to lead to {_wanted(rule)}, and this {does} {way.target._meta.db_table}."
    steps.append(_refuse(rule, rows, says, f"Delete the rows of {rule.model._meta.db_table} first, or point them on."))
    return _written(steps)


def _written(steps: Sequence[Statement]) -> str:
    return quoted("\n".join(step.literal() for step in steps)) + "\nRETURN NULL;"


def _columns(rule: References) -> list[str]:
    """The columns of the row that decide."""
    read = (*rule.columns, *rule.agreeing, *lookups(rule.where or Q()))
    return list(dict.fromkeys(str(own_field(rule.model, lookup).column) for lookup in read))


def _changed(columns: Sequence[str], now: str, before: str) -> Statement:
    """Rows of a transition table; where there is another, those of which any of the columns differs."""
    rows = compose("SELECT {columns} FROM {now}", columns=names(dict.fromkeys(columns)), now=name(now))
    if not before:
        return rows
    others = compose("SELECT {columns} FROM {before}", columns=names(dict.fromkeys(columns)), before=name(before))
    return compose("{rows} EXCEPT ALL {others}", rows=rows, others=others)


def _speaking(rule: References, rows: Statement) -> Statement:
    """Of the rows those that the rule speaks about: that refer, and that are in ``where``."""
    refer = joined(" AND ", (compose("{c} IS NOT NULL", c=name(column_of(rule.model, c))) for c in rule.columns))
    where = (
        check_condition(rule.model, rule.where, DEFAULT_DB_ALIAS, qualified=False) if rule.where else Statement("true")
    )
    return compose("SELECT * FROM ({rows}) AS s WHERE {refer} AND {where}", rows=rows, refer=refer, where=where)


def _count(rows: Statement) -> Statement:
    """Nothing to do is found at once; for many rows a plan is made anew. The setting ends with the function."""
    return compose(
        "{seen} := (SELECT count(*) FROM (SELECT FROM ({rows}) AS s LIMIT {some}) AS s);\n"
        "IF {seen} = 0 THEN RETURN NULL; END IF;\n"
        "IF {seen} > {few} THEN {kept} := set_config('plan_cache_mode', 'force_custom_plan', true); END IF;",
        seen=name(SEEN),
        rows=rows,
        some=sql.Literal(FEW + 1),
        few=sql.Literal(FEW),
        kept=name(KEPT),
    )


def _hold(way: Way, rows: Statement) -> Statement:
    """Whoever would delete what the rows refer to, or change its key, has to wait."""
    return compose(
        "PERFORM 1 FROM {table} AS t WHERE {meant} ORDER BY {pk} FOR KEY SHARE OF t;",
        table=name(way.target._meta.db_table),
        meant=way.meant_by(rows),
        pk=names(pk_columns(way.target), of="t"),
    )


def _hold_changed(way: Way) -> Statement:
    """Wait for those who hold a changed row because they refer to it: an UPDATE of other columns than keys does not."""
    pk = pk_columns(way.target)
    changed = _changed([*pk, *way.read()], NEW, OLD)
    template = (
        "PERFORM 1 FROM {table} AS t WHERE ({pk}) IN (SELECT {changed_pk} FROM ({changed}) AS n)"
        if len(pk) > 1
        else "PERFORM 1 FROM {table} AS t WHERE {pk} = ANY(ARRAY(SELECT {changed_pk} FROM ({changed}) AS n))"
    )
    return compose(
        f"{template} ORDER BY {{pk}} FOR UPDATE OF t;",
        table=name(way.target._meta.db_table),
        pk=names(pk, of="t"),
        changed_pk=names(pk, of="n"),
        changed=changed,
    )


def _refuse(rule: References, rows: Statement, says: str, hint: str) -> Statement:
    """Raise for the first row ``r`` among those that lead nowhere."""
    pk, columns = pk_columns(rule.model), [column_of(rule.model, column) for column in rule.columns]
    row = joined(", ', ', ", (compose("{l}, r.{c}", l=sql.Literal(f"{column} "), c=name(column)) for column in pk))
    value = joined(
        ", ', ', ", (compose("{l}, r.{c}", l=sql.Literal(f"{column} = "), c=name(column)) for column in columns)
    )
    table = rule.model._meta.db_table
    return compose(
        "SELECT concat({row}), concat({value}) INTO {wrong_row}, {wrong_value} FROM {rows} ORDER BY {pk} LIMIT 1;\n"
        "IF FOUND THEN RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', TABLE = {table}, CONSTRAINT = {rule},\n"
        "    MESSAGE = concat({begins}, {wrong_row}, ' has ', {wrong_value}, {says}),\n"
        "    DETAIL = {because}, HINT = {hint};\nEND IF;",
        row=row,
        value=value,
        wrong_row=name(ROW),
        wrong_value=name(VALUE),
        rows=rows,
        pk=names(pk, of="r"),
        table=sql.Literal(table),
        rule=sql.Literal(rule.label),
        begins=sql.Literal(f"{rule.label}: {table} "),
        says=sql.Literal(f", {says}"),
        because=sql.Literal(rule.because),
        hint=sql.Literal(hint),
    )


def _wanted(rule: References) -> str:
    tables = " or ".join(way.target._meta.db_table for way in ways(rule))
    agreeing = f" with the same {', '.join(rule.agreeing)}" if rule.agreeing else ""
    return f"row of {tables}{agreeing}{' among those that count' if rule.among else ''}"
