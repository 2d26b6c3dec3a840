"""The properties of a table as statements that give them to another one.

Before it is filled: columns, defaults, storage, owner. After: indexes, keys, checks, statistics, grants, comments. With
the swap, under its lock: foreign keys and triggers, which would act on rows that nobody has written yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from psycopg import sql

from integrity.rebuilding.names import Pieces
from integrity.statement import Part, Statement, compose, fetch, joined, name

_TABLE = """
SELECT relpersistence, relowner::regrole::text AS owner, relowner = current_user::regrole AS own, relreplident,
    (SELECT amname FROM pg_am WHERE oid = relam) AS method, reloptions AS options,
    (SELECT reloptions FROM pg_class AS toast WHERE toast.oid = c.reltoastrelid) AS toast,
    (SELECT spcname FROM pg_tablespace WHERE oid = reltablespace) AS space,
    obj_description(c.oid, 'pg_class') AS comment
FROM pg_class AS c WHERE c.oid = %s::oid"""
_COLUMNS = """
SELECT attname, attstattarget, attoptions AS options FROM pg_attribute
WHERE attrelid = %s::oid AND attnum > 0 AND NOT attisdropped
AND (coalesce(attstattarget, -1) >= 0 OR attoptions IS NOT NULL) ORDER BY attnum"""
_INDEXES = """
SELECT i.relname, substr(definition, position(' USING ' in definition)) AS tail, indisunique, indisclustered,
    indisreplident, (SELECT spcname FROM pg_tablespace WHERE oid = i.reltablespace) AS space,
    obj_description(indexrelid, 'pg_class') AS comment, contype, condeferrable, condeferred,
    pg_get_constraintdef(c.oid) AS constraint_definition,
    (SELECT jsonb_object_agg(attnum, attstattarget) FROM pg_attribute
     WHERE attrelid = indexrelid AND attstattarget >= 0)::text AS targets
FROM pg_index JOIN pg_class AS i ON i.oid = indexrelid
CROSS JOIN LATERAL pg_get_indexdef(indexrelid) AS definition
LEFT JOIN pg_constraint AS c ON c.conindid = indexrelid AND c.conrelid = %s::oid AND contype IN ('p', 'u', 'x')
WHERE indrelid = %s::oid AND indisvalid ORDER BY indexrelid"""
_CONSTRAINTS = """
SELECT conname, contype, pg_get_constraintdef(oid) AS definition, obj_description(oid, 'pg_constraint') AS comment,
    confrelid::regclass::text AS target FROM pg_constraint WHERE conrelid = %s::oid AND contype <> 't' ORDER BY oid"""
_STATISTICS = """
SELECT stxname, stxowner::regrole::text AS owner, stxowner = current_user::regrole AS own,
    pg_get_statisticsobjdef_columns(oid) AS columns, stxstattarget,
    obj_description(oid, 'pg_statistic_ext') AS comment, (SELECT string_agg(CASE kind
        WHEN 'd' THEN 'ndistinct' WHEN 'f' THEN 'dependencies' WHEN 'm' THEN 'mcv' END, ', ')
        FROM unnest(stxkind) AS kind WHERE kind <> 'e') AS kinds
FROM pg_statistic_ext WHERE stxrelid = %s::oid ORDER BY oid"""
_GRANTS = """
SELECT attname, privilege_type AS privilege, is_grantable, CASE a.grantee WHEN 0 THEN 'PUBLIC'
    ELSE quote_ident(rolname) END AS grantee
FROM (
    SELECT NULL::name AS attname, (aclexplode(coalesce(relacl, acldefault({kind}, relowner)))).* FROM pg_class
    WHERE oid = {oid}::oid
    UNION ALL SELECT attname, (aclexplode(attacl)).* FROM pg_attribute WHERE attrelid = {oid}::oid AND NOT attisdropped
) AS a LEFT JOIN pg_roles ON pg_roles.oid = a.grantee"""
_TRIGGERS = """
SELECT tgname, pg_get_triggerdef(oid) AS definition, tgenabled AS enabled,
    obj_description(oid, 'pg_trigger') AS comment
FROM pg_trigger WHERE tgrelid = %s::oid AND NOT tgisinternal AND tgname <> ALL(%s) ORDER BY tgname"""
_SEQUENCES = """
SELECT s.relname, deptype, attname, s.oid, obj_description(s.oid, 'pg_class') AS comment,
    seqtypid::regtype::text AS type, seqmin, seqmax
FROM pg_depend JOIN pg_class AS s ON s.oid = objid AND s.relkind = 'S' JOIN pg_sequence ON seqrelid = s.oid
JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = %s::oid
AND deptype IN ('a', 'i') ORDER BY attnum"""
ENABLED = {"O": None, "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


class Carrier:
    """Statements that make a table like the live one, made from what the catalog says now."""

    def __init__(self, pieces: Pieces, connection: Any) -> None:
        self.pieces, self.connection, self.oid = pieces, connection, pieces.oid
        (self.table,) = self._read(_TABLE, 1)
        self.indexes = self._read(_INDEXES, 2)
        self.constraints = self._read(_CONSTRAINTS, 1)
        self.statistics = self._read(_STATISTICS, 1)
        self.sequences = self._read(_SEQUENCES, 1)
        self.triggers = fetch(connection, Statement(_TRIGGERS, (pieces.oid, list(pieces.triggers))))

    # Before it is filled

    def create(self) -> Iterator[Statement]:
        """An empty table with the columns of the live one."""
        options = [*(self.table["options"] or ()), *(f"toast.{option}" for option in self.table["toast"] or ())]
        yield self._in_space(self.table["space"])
        yield compose(
            "CREATE {unlogged} TABLE {clean} (LIKE {live} INCLUDING COMMENTS INCLUDING COMPRESSION INCLUDING DEFAULTS"
            " INCLUDING GENERATED INCLUDING IDENTITY INCLUDING STORAGE) USING {method} {options}",
            unlogged=Statement("UNLOGGED" if self.table["relpersistence"] == "u" else ""),
            clean=self.pieces.clean,
            live=self.pieces.live,
            method=name(self.table["method"]),
            options=compose("WITH ({o})", o=joined(", ", map(_option, options))) if options else Statement(""),
        )
        yield self._comment("TABLE", self.pieces.clean, self.pieces.mark)
        if not self.table["own"]:
            yield compose("ALTER TABLE {t} OWNER TO {o}", t=self.pieces.clean, o=_verbatim(self.table["owner"]))
        for column in self._read(_COLUMNS, 1):
            yield from self._column(column)

    def _column(self, column: dict[str, Any]) -> Iterator[Statement]:
        change = compose("ALTER TABLE {t} ALTER COLUMN {c}", t=self.pieces.clean, c=name(column["attname"]))
        if _is_set(column["attstattarget"]):
            yield compose("{c} SET STATISTICS {n}", c=change, n=sql.Literal(column["attstattarget"]))
        if column["options"]:
            yield compose("{c} SET ({o})", c=change, o=joined(", ", map(_option, column["options"])))

    # When it is filled

    def complete(self) -> Iterator[Statement]:
        """Everything else that acts on nobody: indexes, keys, checks, statistics, owner, grants."""
        for position, index in enumerate(self.indexes):
            yield from self._index(index, self.temporary(position))
        for check in (c for c in self.constraints if c["contype"] == "c"):
            yield self._constraint(check["conname"], check["definition"])
        for constraint in self.constraints:
            if constraint["comment"] and constraint["contype"] in "cn":
                yield self._comment_on_constraint(constraint["conname"], constraint["comment"])
        for position, statistics in enumerate(self.statistics):
            yield from self._extended(statistics, self.temporary(position, "s"))
        if self.table["relreplident"] in "fn":
            kind = {"f": "FULL", "n": "NOTHING"}[self.table["relreplident"]]
            yield compose("ALTER TABLE {t} REPLICA IDENTITY {k}", t=self.pieces.clean, k=Statement(kind))
        yield from self._grants(self.pieces.clean, self.oid, "r", self._oid_of(self.pieces.clean))
        for sequence in self.sequences:
            if sequence["deptype"] == "i":
                yield from self._sequence(sequence)

    def temporary(self, position: int, kind: str = "i") -> str:
        """What an index or statistics object is called until the swap."""
        return f"{self.pieces.base}_{kind}{position}"

    def _index(self, index: dict[str, Any], temporary: str) -> Iterator[Statement]:
        clean = self.pieces.clean
        yield self._in_space(index["space"])
        if index["contype"] == "x":
            yield self._constraint(temporary, index["constraint_definition"])
        else:
            yield compose(
                "CREATE {unique} INDEX {index} ON {t} {tail}",
                unique=Statement("UNIQUE" if index["indisunique"] else ""),
                index=name(temporary),
                t=clean,
                tail=_verbatim(index["tail"]),
            )
        if index["contype"] in ("p", "u"):
            deferrable = "DEFERRABLE" if index["condeferrable"] else "NOT DEFERRABLE"
            deferred = " INITIALLY DEFERRED" if index["condeferred"] else ""
            kind = {"p": "PRIMARY KEY", "u": "UNIQUE"}[index["contype"]]
            yield self._constraint(temporary, f"{kind} USING INDEX {temporary} {deferrable}{deferred}")
        for number, target in json.loads(index["targets"] or "{}").items():
            yield compose(
                "ALTER INDEX {i} ALTER COLUMN {n} SET STATISTICS {s}",
                i=self.pieces.named(temporary),
                n=sql.Literal(int(number)),
                s=sql.Literal(target),
            )
        if index["indisclustered"]:
            yield compose("ALTER TABLE {t} CLUSTER ON {i}", t=clean, i=name(temporary))
        if index["indisreplident"]:
            yield compose("ALTER TABLE {t} REPLICA IDENTITY USING INDEX {i}", t=clean, i=name(temporary))
        if index["comment"]:
            yield self._comment("INDEX", self.pieces.named(temporary), index["comment"])
        comment = next((c["comment"] for c in self.constraints if c["conname"] == index["relname"]), None)
        if index["contype"] and comment:
            yield self._comment_on_constraint(temporary, comment)

    def _extended(self, statistics: dict[str, Any], temporary: str) -> Iterator[Statement]:
        kinds = f"({statistics['kinds']})" if statistics["kinds"] else ""
        yield compose(
            "CREATE STATISTICS {s} {kinds} ON {columns} FROM {t}",
            s=self.pieces.named(temporary),
            kinds=Statement(kinds),
            columns=_verbatim(statistics["columns"]),
            t=self.pieces.clean,
        )
        if not statistics["own"]:
            owner = _verbatim(statistics["owner"])
            yield compose("ALTER STATISTICS {s} OWNER TO {o}", s=self.pieces.named(temporary), o=owner)
        if _is_set(statistics["stxstattarget"]):
            target = sql.Literal(statistics["stxstattarget"])
            yield compose("ALTER STATISTICS {s} SET STATISTICS {n}", s=self.pieces.named(temporary), n=target)
        if statistics["comment"]:
            yield self._comment("STATISTICS", self.pieces.named(temporary), statistics["comment"])

    def _sequence(self, sequence: dict[str, Any]) -> Iterator[Statement]:
        """The sequence of an identity column belongs to it and cannot be moved: the new one is made like it."""
        own = self.pieces.named(self.own_sequence(sequence, self.pieces.clean))
        # LIKE makes every one a bigint.
        yield compose(
            f"ALTER SEQUENCE {{s}} AS {sequence['type']} MINVALUE {{least}} MAXVALUE {{most}}",
            s=own,
            least=sql.Literal(sequence["seqmin"]),
            most=sql.Literal(sequence["seqmax"]),
        )
        yield from self._grants(own, sequence["oid"], "s", self._oid_of(own), kind="SEQUENCE")
        if sequence["comment"]:
            yield self._comment("SEQUENCE", own, sequence["comment"])

    def own_sequence(self, sequence: dict[str, Any], table: sql.Identifier) -> str:
        """The sequence of the same identity column of another table."""
        (row,) = fetch(
            self.connection,
            Statement(
                "SELECT relname FROM pg_class WHERE oid = pg_get_serial_sequence(%s, %s)::regclass",
                (table.as_string(None), sequence["attname"]),
            ),
        )
        return str(row["relname"])

    def _grants(self, on: Part, oid: int, letter: str, new: int, *, kind: str = "TABLE") -> Iterator[Statement]:
        """Nothing that default privileges gave, then what the old one had."""
        wanted, given = self._grants_of(oid, letter), self._grants_of(new, letter)
        if wanted == given:
            return
        for grantee in sorted({grant[1] for grant in given}):
            yield compose(f"REVOKE ALL ON {kind} {{on}} FROM {{who}}", on=on, who=_verbatim(grantee))
        for column, grantee, privilege, grantable in wanted:
            yield compose(
                f"GRANT {{privilege}}{{column}} ON {kind} {{on}} TO {{who}} {{option}}",
                privilege=Statement(privilege),
                column=compose(" ({c})", c=name(column)) if column else Statement(""),
                on=on,
                who=_verbatim(grantee),
                option=Statement("WITH GRANT OPTION" if grantable else ""),
            )

    def _grants_of(self, oid: int, letter: str) -> list[tuple[str, str, str, bool]]:
        rows = fetch(self.connection, compose(_GRANTS, kind=sql.Literal(letter), oid=sql.Literal(oid)))
        found = [(r["attname"] or "", r["grantee"], r["privilege"], r["is_grantable"]) for r in rows]
        return sorted(found)

    # With the swap

    def foreign_keys(self) -> list[dict[str, Any]]:
        return [c for c in self.constraints if c["contype"] == "f"]

    def add_foreign_key(self, key: dict[str, Any], table: Part) -> Iterator[Statement]:
        """Not yet validated: that needs no lock that anybody would notice, and comes after the swap."""
        definition = key["definition"].removesuffix(" NOT VALID")
        yield compose(
            "ALTER TABLE {t} ADD CONSTRAINT {c} {d} NOT VALID",
            t=table,
            c=name(key["conname"]),
            d=_verbatim(definition),
        )
        if key["comment"]:
            yield compose(
                "COMMENT ON CONSTRAINT {c} ON {t} IS {text}",
                c=name(key["conname"]),
                t=table,
                text=sql.Literal(key["comment"]),
            )

    def add_triggers(self) -> Iterator[Statement]:
        """For the new table when it has the name of the old one, which the definitions say."""
        for trigger in self.triggers:
            yield _verbatim(trigger["definition"])
            if enabled := ENABLED[trigger["enabled"]]:
                yield compose(
                    f"ALTER TABLE {{t}} {enabled} TRIGGER {{g}}", t=self.pieces.live, g=name(trigger["tgname"])
                )
            if trigger["comment"]:
                yield compose(
                    "COMMENT ON TRIGGER {g} ON {t} IS {text}",
                    g=name(trigger["tgname"]),
                    t=self.pieces.live,
                    text=sql.Literal(trigger["comment"]),
                )

    # Reading and writing

    def _read(self, statement: str, times: int) -> list[dict[str, Any]]:
        return fetch(self.connection, Statement(statement, (self.oid,) * times))

    def _oid_of(self, relation: sql.Identifier) -> int:
        rows = fetch(self.connection, Statement("SELECT %s::regclass::oid AS oid", (relation.as_string(None),)))
        return int(rows[0]["oid"])

    def _constraint(self, constraint: str, definition: str) -> Statement:
        return compose(
            "ALTER TABLE {t} ADD CONSTRAINT {c} {d}",
            t=self.pieces.clean,
            c=name(constraint),
            d=_verbatim(definition),
        )

    def _comment(self, kind: str, on: Part, text: str | None) -> Statement:
        return compose(f"COMMENT ON {kind} {{on}} IS {{text}}", on=on, text=sql.Literal(text))

    def _comment_on_constraint(self, constraint: str, text: str) -> Statement:
        return compose(
            "COMMENT ON CONSTRAINT {c} ON {t} IS {text}",
            c=name(constraint),
            t=self.pieces.clean,
            text=sql.Literal(text),
        )

    @staticmethod
    def _in_space(space: str | None) -> Statement:
        return Statement("SELECT set_config('default_tablespace', %s, true)", (space or "",))


def _verbatim(text: str) -> Statement:
    return Statement(text.replace("%", "%%"))


def _is_set(target: int | None) -> bool:
    return target is not None and target >= 0


def _option(text: str) -> Statement:
    key, _, held = text.partition("=")
    return compose(f"{key} = {{v}}", v=sql.Literal(held))
