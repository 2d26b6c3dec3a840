"""What must be shown of a clean table before it takes the place of the live one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Count

from integrity.exceptions import EngineError, Harm
from integrity.keys import pk_columns
from integrity.rebuilding.choose import GROUPS, grouped_rows, over, speaks_about
from integrity.rebuilding.names import Pieces
from integrity.rebuilding.notes import outside
from integrity.rules.base import Rule
from integrity.rules.unique import Unique
from integrity.safety import harm, worse
from integrity.scope import Scope
from integrity.statement import Part, Statement, compose, fetch, from_queryset, joined, name, run

BEFORE, AFTER = "integrity_before", "integrity_after"


class NotProven(EngineError):
    """The clean table is not what it should be; it was thrown away."""


def prove(rule: Unique, pieces: Pieces, connection: Any, *, unchanged: bool) -> None:
    """Each key of the live table is in the clean one, once; nothing else is; every row is the live one, byte by byte.

    unchanged: nothing was written since the rows were grouped, so that the groups say which keys there are, as long as
    they are made of as many rows as the live table has. Raises NotProven.
    """
    table, groups = pieces.table, grouped_rows(connection) if unchanged else None
    if groups and _count(connection, _rows_of(pieces.live)) != _count(connection, groups):
        raise NotProven(f"The rows of {table} are not those that were looked at. Nothing was changed.")
    source = Statement(f"SELECT * FROM pg_temp.{GROUPS}") if groups else None
    if missing := _count(connection, _keys_missing(rule, source, pieces, connection.alias)):
        raise NotProven(f"{missing} keys of {table} would be lost. Nothing was changed.")
    if foreign := _count(connection, _rows_that_differ(rule, pieces)):
        raise NotProven(f"{foreign} rows are not as they are in {table}. Nothing was changed.")
    run(connection, _seen_as_the_table(pieces))
    violations = rule.violations(Scope(), connection.alias)
    left = _count(connection, compose("SELECT count(*) AS n FROM ({v}) AS v", v=violations))
    run(connection, _no_longer_seen(pieces))
    if left:
        raise NotProven(f"{left} keys would still occur more than once in {table}. Nothing was changed.")
    if rule.where is not None:
        untouched = _count(connection, _outside(rule, pieces.live, connection.alias))
        if untouched != _count(connection, _outside(rule, pieces.clean, connection.alias)):
            raise NotProven(f"Rows of {table} that {rule.label} does not speak about would be lost.")


def _rows_of(table: Part) -> Statement:
    return compose("SELECT count(*) AS n FROM {t}", t=table)


def _keys_missing(rule: Unique, source: Statement | None, pieces: Pieces, using: str) -> Statement:
    parts = {f"integrity_by_{i}": part for i, part in enumerate(rule.by)}
    rows = speaks_about(rule, using).values(**parts)
    # Grouped, which goes parallel; EXCEPT over all rows does not.
    there = from_queryset(rows.annotate(integrity_rows=Count("*")), using)
    there = over(rule, source, there) if source else there
    here = over(rule, compose("SELECT * FROM {t}", t=pieces.clean), from_queryset(rows, using))
    columns = joined(", ", (name(part) for part in parts))
    return compose(
        "SELECT count(*) AS n FROM (SELECT {c} FROM ({there}) AS l EXCEPT ALL SELECT {c} FROM ({here}) AS c) AS m",
        c=columns,
        there=there,
        here=here,
    )


def _rows_that_differ(rule: Unique, pieces: Pieces) -> Statement:
    same = joined(" AND ", (compose("t.{pk} = c.{pk}", pk=name(pk)) for pk in pk_columns(rule.model)))
    return compose(
        "SELECT count(*) AS n FROM {clean} AS c WHERE NOT EXISTS (SELECT FROM {live} AS t WHERE {same} AND c.* *= t.*)",
        clean=pieces.clean,
        live=pieces.live,
        same=same,
    )


def _outside(rule: Unique, table: Part, using: str) -> Statement:
    return compose("SELECT count(*) AS n FROM {t} AS t WHERE {o}", t=table, o=outside(rule, table, "t", using))


def _count(connection: Any, statement: Statement) -> int:
    return int(fetch(connection, statement)[0]["n"])


# Do no harm


def refuse_harm(rules: Iterable[Rule], pieces: Pieces, connection: Any) -> None:
    """Raise Harm naming a rule that would be broken, or broken more, with the clean table in place of the live one.

    A temporary view of the table's name comes first in the search path, so that every statement reads the clean rows.
    Looked at whole: almost every row goes.
    """
    for rule in rules:
        run(connection, _seen_as_the_table(pieces))
        run(connection, _violations(rule, AFTER, connection.alias))
        run(connection, _no_longer_seen(pieces))
        if _count(connection, Statement(f"SELECT count(*) AS n FROM pg_temp.{AFTER}")):
            run(connection, _violations(rule, BEFORE, connection.alias))
            _compare(rule, connection)
            run(connection, Statement(f"DROP TABLE pg_temp.{BEFORE}"))
        run(connection, Statement(f"DROP TABLE pg_temp.{AFTER}"))


def _violations(rule: Rule, table: str, using: str) -> Statement:
    return compose(f"CREATE TEMP TABLE {table} AS {{v}}", v=rule.violations(Scope(), using))


def _compare(rule: Rule, connection: Any) -> None:
    keys = [f"key__{key.name}" for key in rule.key_fields]
    same = compose("{a} = {b}", a=_object("a", keys), b=_object("b", keys))
    pairs = compose(
        f"SELECT b.ctid IS NOT NULL AS known, a.*, {{before}} FROM pg_temp.{AFTER} AS a"
        f" LEFT JOIN pg_temp.{BEFORE} AS b ON {{same}} WHERE b.ctid IS NULL OR NOT a.* *= b.*",
        before=joined(", ", (compose("b.{c} AS {o}", c=name(c), o=name(f"before__{c}")) for c in _columns(connection))),
        same=same,
    )
    for row in fetch(connection, pairs):
        known = {c.removeprefix("before__"): v for c, v in row.items() if c.startswith("before__")}
        now = {c: v for c, v in row.items() if c != "known" and not c.startswith("before__")}
        if worse(known if row["known"] else None, now):
            raise Harm(harm(rule, tuple(now[key] for key in keys), now))


def _columns(connection: Any) -> list[str]:
    rows = fetch(
        connection,
        Statement(
            f"SELECT attname FROM pg_attribute WHERE attrelid = 'pg_temp.{AFTER}'::regclass AND attnum > 0"
            " ORDER BY attnum"
        ),
    )
    return [row["attname"] for row in rows]


def _object(alias: str, columns: Sequence[str]) -> Statement:
    """A key of which parts may be NULL, as a value that can be joined by."""
    return compose("jsonb_build_array({c})", c=joined(", ", (name(alias, column) for column in columns)))


def _seen_as_the_table(pieces: Pieces) -> Statement:
    return compose("CREATE TEMP VIEW {t} AS SELECT * FROM {clean}", t=name(pieces.table), clean=pieces.clean)


def _no_longer_seen(pieces: Pieces) -> Statement:
    return compose("DROP VIEW pg_temp.{t}", t=name(pieces.table))
