"""Which rows people write while a table is built beside theirs, and bringing the new table up with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql

from integrity.exceptions import EngineError
from integrity.keys import Key, pk_columns
from integrity.rebuilding.choose import over, ranked, speaks_about
from integrity.rebuilding.names import EVENTS, Pieces, mark
from integrity.repairs.keep_one import order_of
from integrity.rules.unique import Unique
from integrity.scope import Scope
from integrity.statement import Part, Statement, compose, fetch, from_queryset, joined, name, names, run

TOUCHED, WINNERS = "integrity_touched", "integrity_winners"
MANY = 50_000
"""Noted rows from which on it is quicker to build anew."""
_ROWS = {"insert": "NEW TABLE AS new_rows", "delete": "OLD TABLE AS old_rows"}
_ROWS["update"] = f"{_ROWS['delete']} {_ROWS['insert']}"


class Moved(EngineError):
    """So much was written meanwhile that the table is built anew."""


def installed(pieces: Pieces, pks: Sequence[str]) -> Iterator[Statement]:
    """Statements after whose commit the primary key of every row that anybody writes is noted, however it is written.

    They wait for everybody who writes to the table now, and hold nobody longer than ``lock_timeout``.
    """
    parts: dict[str, Part] = {"notes": pieces.notes, "function": pieces.function, "pks": names(pks)}
    yield compose(
        "CREATE TABLE {notes} AS SELECT {pks}, false AS everything FROM {live} WITH NO DATA", live=pieces.live, **parts
    )
    yield compose("COMMENT ON TABLE {notes} IS {mark}", mark=sql.Literal(pieces.mark), **parts)
    yield compose(
        "CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp AS $note$ BEGIN"
        " IF TG_OP = 'TRUNCATE' THEN INSERT INTO {notes} (everything) VALUES (true);"
        " ELSIF TG_OP = 'INSERT' THEN INSERT INTO {notes} ({pks}) SELECT {pks} FROM new_rows;"
        " ELSIF TG_OP = 'DELETE' THEN INSERT INTO {notes} ({pks}) SELECT {pks} FROM old_rows;"
        " ELSE INSERT INTO {notes} ({pks}) SELECT {pks} FROM old_rows UNION ALL SELECT {pks} FROM new_rows;"
        " END IF; RETURN NULL; END $note$",
        **parts,
    )
    yield compose("COMMENT ON FUNCTION {function}() IS {mark}", mark=sql.Literal(pieces.mark), **parts)
    yield compose("REVOKE ALL ON FUNCTION {function}() FROM PUBLIC", **parts)
    for event, trigger in zip(EVENTS, pieces.triggers, strict=True):
        rows = f"REFERENCING {_ROWS[event]}" if event in _ROWS else ""
        yield compose(
            f"CREATE TRIGGER {{trigger}} AFTER {event.upper()} ON {{live}} {rows} FOR EACH STATEMENT"
            " EXECUTE FUNCTION {function}()",
            trigger=name(trigger),
            live=pieces.live,
            **parts,
        )
        # Also for whoever writes as a replica.
        yield compose("ALTER TABLE {live} ENABLE ALWAYS TRIGGER {t}", live=pieces.live, t=name(trigger))


def removed(pieces: Pieces) -> Iterator[Statement]:
    """Statements that take the notes and their triggers away; for the live table, or for what it was renamed to."""
    yield compose("DROP FUNCTION {function}() CASCADE", function=pieces.function)
    yield compose("DROP TABLE {notes}", notes=pieces.notes)


def left_over(schema: str, table: str, connection: Any) -> list[tuple[str, str, int]]:
    """What rebuilds of a table have left behind: kind, name, and the number of the run."""
    begins = mark(schema, table)
    rows = fetch(
        connection,
        Statement(
            "SELECT 'FUNCTION' AS kind, p.oid::regprocedure::text AS what, description FROM pg_description"
            " JOIN pg_proc AS p ON p.oid = objoid AND classoid = 'pg_proc'::regclass WHERE starts_with(description, %s)"
            " UNION ALL SELECT 'TABLE', c.oid::regclass::text, description FROM pg_description"
            " JOIN pg_class AS c ON c.oid = objoid AND classoid = 'pg_class'::regclass AND objsubid = 0"
            " WHERE starts_with(description, %s) ORDER BY 1, 2",
            (begins, begins),
        ),
    )
    return [(row["kind"], row["what"], int(row["description"].removeprefix(begins))) for row in rows]


def waiting(pieces: Pieces, connection: Any) -> int:
    """How many notes there are."""
    return int(fetch(connection, compose("SELECT count(*) AS n FROM {notes}", notes=pieces.notes))[0]["n"])


def take(pieces: Pieces, pks: Sequence[str], connection: Any) -> int:
    """Take the notes into ``integrity_touched``; how many rows they are. Raises Moved after a TRUNCATE."""
    run(connection, Statement(f"DROP TABLE IF EXISTS pg_temp.{TOUCHED}"))
    run(
        connection,
        compose(
            f"CREATE TEMP TABLE {TOUCHED} ON COMMIT DROP AS SELECT * FROM {{notes}} WITH NO DATA", notes=pieces.notes
        ),
    )
    run(
        connection,
        compose(
            "WITH taken AS (DELETE FROM {notes} RETURNING {pks}, everything)"
            f" INSERT INTO {TOUCHED} ({{pks}}, everything) SELECT DISTINCT {{pks}}, everything FROM taken",
            notes=pieces.notes,
            pks=names(pks),
        ),
    )
    (found,) = fetch(
        connection,
        Statement(f"SELECT count(*) AS n, coalesce(bool_or(everything), false) AS everything FROM {TOUCHED}"),
    )
    if found["everything"]:
        raise Moved(f"{pieces.table} was emptied while it was rebuilt. Nothing was changed.")
    if found["n"] > MANY:
        raise Moved(
            f"{found['n']:,} rows of {pieces.table} were written while it was rebuilt, which is too many to follow."
            " Nothing was changed. Try again when less is written."
        )
    if found["n"]:
        run(connection, Statement(f"ANALYZE pg_temp.{TOUCHED}"))
    return int(found["n"])


class CatchUp:
    """Brings the clean table up with rows that were written to the live one since it was built."""

    def __init__(self, rule: Unique, pieces: Pieces, connection: Any) -> None:
        self.rule, self.pieces, self.connection, self.using = rule, pieces, connection, connection.alias
        self.pks = pk_columns(rule.model)
        self.held = pieces.held(connection)

    def perform(self) -> int:
        """Take the notes, choose anew among the rows of each key that they concern. How many rows were noted."""
        noted = take(self.pieces, self.pks, self.connection)
        # Rows that came and went in between have no key in either table.
        if noted and (keys := self._keys()):
            self._choose(keys)
        return noted

    def _keys(self) -> list[Key]:
        """Every key that a noted row has, or had when it was last looked at."""
        both = compose(
            "{clean} UNION ALL {live}",
            clean=self._noted(self.pieces.clean),
            live=self._noted(self.pieces.live),
        )
        rows = fetch(self.connection, compose("SELECT DISTINCT * FROM ({k}) AS k", k=self.rule.keys_of_rows(both)))
        return [tuple(row.values()) for row in rows]

    def _choose(self, keys: list[Key]) -> None:
        """A kept row that is gone, or no longer the first, leaves its place to any other row of its key; else to a
        noted one alone. Looking for it among all rows is the one step that may take long.
        """
        concerned = self._of_keys(compose("SELECT * FROM {t}", t=self.pieces.clean), keys)
        among = [self._noted(self.pieces.live), self._unnoted(self.pieces.clean, concerned)]
        if lost := self._lost():
            rows = self.rule.rows(Scope.of(lost), self.using).values_list("pk")
            among.append(self._unnoted(self.pieces.live, from_queryset(rows, self.using)))
        source = joined(" UNION ALL ", among)
        run(self.connection, Statement(f"DROP TABLE IF EXISTS pg_temp.{WINNERS}"))
        run(
            self.connection,
            compose(
                f"CREATE TEMP TABLE {WINNERS} ON COMMIT DROP AS SELECT {{pks}} FROM ({{ranked}}) AS r"
                " WHERE integrity_rank = 1",
                pks=names(self.pks),
                ranked=ranked(self.rule, source, self.using),
            ),
        )
        run(
            self.connection,
            compose(
                "DELETE FROM {clean} AS t WHERE {noted} OR ({pks}) IN ({concerned})",
                clean=self.pieces.clean,
                noted=self._is_noted("t"),
                pks=names(self.pks, of="t"),
                concerned=concerned,
            ),
        )
        run(
            self.connection,
            compose(
                "INSERT INTO {clean} ({held}) OVERRIDING SYSTEM VALUE SELECT {held} FROM {live} AS t"
                f" WHERE ({{pks}}) IN (SELECT {{own}} FROM {WINNERS}) OR ({{noted}} AND {{outside}})",
                clean=self.pieces.clean,
                held=names(self.held),
                live=self.pieces.live,
                pks=names(self.pks, of="t"),
                own=names(self.pks),
                noted=self._is_noted("t"),
                outside=outside(self.rule, self.pieces.live, "t", self.using),
            ),
        )

    def _lost(self) -> list[Key]:
        """Keys whose kept row is gone or has another place in the order now."""
        rows = fetch(
            self.connection,
            compose(
                "SELECT DISTINCT {keys} FROM ({clean} EXCEPT {live}) AS gone",
                keys=names(f"by_{i}" for i in range(len(self.rule.by))),
                clean=self._places(self.pieces.clean),
                live=self._places(self.pieces.live),
            ),
        )
        return [tuple(row.values()) for row in rows]

    def _places(self, table: Part) -> Statement:
        """The key, the values that decide its order, and the primary key, of each noted row of a table."""
        by = {f"by_{i}": part for i, part in enumerate(self.rule.by)}
        keep = {f"keep_{i}": part.expression for i, part in enumerate(order_of(self.rule))}
        rows = speaks_about(self.rule, self.using).values(
            **{f"integrity_{label}": part for label, part in {**by, **keep}.items()}
        )
        named = joined(", ", (compose("r.{c} AS {o}", c=name(f"integrity_{c}"), o=name(c)) for c in (*by, *keep)))
        return compose(
            "SELECT {named} FROM ({rows}) AS r",
            named=named,
            rows=over(self.rule, self._noted(table), from_queryset(rows, self.using)),
        )

    def _of_keys(self, source: Statement, keys: list[Key]) -> Statement:
        """The primary keys of the rows of a source that have one of these keys."""
        rows = self.rule.rows(Scope.of(keys), self.using).values_list("pk")
        return over(self.rule, source, from_queryset(rows, self.using))

    def _noted(self, table: Part) -> Statement:
        return compose("SELECT t.* FROM {t} AS t WHERE {noted}", t=table, noted=self._is_noted("t"))

    def _unnoted(self, table: Part, pks: Statement) -> Statement:
        return compose(
            "SELECT t.* FROM {t} AS t WHERE ({pk}) IN ({pks}) AND NOT {noted}",
            t=table,
            pk=names(self.pks, of="t"),
            pks=pks,
            noted=self._is_noted("t"),
        )

    def _is_noted(self, alias: str) -> Statement:
        return compose(
            f"({{pk}}) IN (SELECT {{pks}} FROM pg_temp.{TOUCHED})", pk=names(self.pks, of=alias), pks=names(self.pks)
        )


def outside(rule: Unique, table: Part, alias: str, using: str) -> Statement:
    """The condition that the rule does not speak about a row, which then stays as it is."""
    if rule.where is None:
        return Statement("false")
    rows = from_queryset(speaks_about(rule, using).values_list("pk"), using)
    spoken = over(rule, compose("SELECT * FROM {t}", t=table), rows)
    return compose("({pk}) NOT IN ({spoken})", pk=names(pk_columns(rule.model), of=alias), spoken=spoken)
