"""The foreign keys of a table that is put aside: dropped, remembered in a comment on it, and made again."""

from __future__ import annotations

import json
from typing import Any

from psycopg import sql

from integrity.statement import Statement, compose, fetch, joined, name, run

OURS = "integrity: put aside "


def let_go(table: str, connection: Any) -> int:
    """Drop the foreign keys of a table, or nothing that it refers to could be deleted any more. How many they were."""
    keys = fetch(
        connection,
        Statement(
            "SELECT c.conname AS name, pg_get_constraintdef(c.oid) AS definition, r.relname AS target,"
            " array(SELECT attname::text FROM unnest(c.conkey) WITH ORDINALITY u(n, i)"
            "  JOIN pg_attribute ON attrelid = c.conrelid AND attnum = n ORDER BY i) AS columns,"
            " array(SELECT attname::text FROM unnest(c.confkey) WITH ORDINALITY u(n, i)"
            "  JOIN pg_attribute ON attrelid = c.confrelid AND attnum = n ORDER BY i) AS targets"
            " FROM pg_constraint c JOIN pg_class r ON r.oid = c.confrelid"
            " WHERE c.contype = 'f' AND c.conrelid = to_regclass(quote_ident(%s)) ORDER BY c.conname",
            (table,),
        ),
    )
    if not keys:
        # There are none, or a comment remembers them already.
        return 0
    for key in keys:
        run(connection, compose("ALTER TABLE {t} DROP CONSTRAINT {c}", t=name(table), c=name(key["name"])))
    remembered = {"comment": _comment(table, connection), "keys": keys}
    _say(table, OURS + json.dumps(remembered), connection)
    return len(keys)


def take_hold(table: str, connection: Any) -> int:
    """Make them again. Rows that refer to what was deleted meanwhile are deleted; how many these were."""
    said = _comment(table, connection)
    if not said.startswith(OURS):
        return 0
    remembered = json.loads(said.removeprefix(OURS))
    lost = 0
    for key in remembered["keys"]:
        lost += _delete_orphans(table, key, connection)
        run(
            connection,
            compose(
                "ALTER TABLE {t} ADD CONSTRAINT {c} {definition}",
                t=name(table),
                c=name(key["name"]),
                definition=Statement(key["definition"].replace("%", "%%")),
            ),
        )
    _say(table, remembered["comment"], connection)
    return lost


def _delete_orphans(table: str, key: dict[str, Any], connection: Any) -> int:
    same = zip(key["columns"], key["targets"], strict=True)
    known = compose(
        "SELECT FROM {target} AS r WHERE {same}",
        target=name(key["target"]),
        same=joined(" AND ", (compose("r.{r} = t.{t}", r=name(r), t=name(t)) for t, r in same)),
    )
    return run(
        connection,
        compose(
            "DELETE FROM {table} AS t WHERE ({columns}) IS NOT NULL AND NOT EXISTS ({known})",
            table=name(table),
            columns=joined(", ", (name("t", column) for column in key["columns"])),
            known=known,
        ),
    )


def _comment(table: str, connection: Any) -> str:
    found = fetch(
        connection,
        Statement("SELECT coalesce(obj_description(to_regclass(quote_ident(%s)), 'pg_class'), '') AS said", (table,)),
    )
    return str(found[0]["said"])


def _say(table: str, text: str, connection: Any) -> None:
    run(connection, compose("COMMENT ON TABLE {table} IS {text}", table=name(table), text=sql.Literal(text or None)))
