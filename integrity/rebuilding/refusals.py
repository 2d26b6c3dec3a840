"""What a rebuilt table could not take along: found in the catalog and named before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from integrity.enforcement.unique_index import unique_index_name
from integrity.exceptions import Refused
from integrity.rebuilding.names import Pieces
from integrity.repairs.referrers import referrers
from integrity.rules.unique import Unique
from integrity.statement import Part, Statement, compose, fetch, name

# Whatever depends on the table, or on the type of its rows, and is not rebuilt with it. Nothing is assumed harmless.
_DEPENDENTS = """
SELECT DISTINCT replace(pg_describe_object(classid, objid, 0), 'rule _RETURN on ', '') AS what
FROM pg_class AS t JOIN pg_type AS y ON y.oid = t.reltype
CROSS JOIN LATERAL (VALUES ('pg_class'::regclass, t.oid), ('pg_type', t.reltype), ('pg_type', y.typarray)) AS o (c, o)
JOIN pg_depend AS d ON refclassid = o.c AND refobjid = o.o AND deptype IN ('n', 'a')
WHERE t.oid = %s::oid AND NOT CASE classid
    WHEN 'pg_class'::regclass THEN EXISTS (SELECT FROM pg_index WHERE indexrelid = objid AND indrelid = t.oid)
        OR EXISTS (SELECT FROM pg_class AS s WHERE s.oid = objid AND s.relkind = 'S')
    WHEN 'pg_attrdef'::regclass THEN EXISTS (SELECT FROM pg_attrdef WHERE oid = objid AND adrelid = t.oid)
    WHEN 'pg_constraint'::regclass THEN EXISTS (
        SELECT FROM pg_constraint WHERE oid = objid AND conrelid = t.oid AND confrelid <> t.oid)
    WHEN 'pg_trigger'::regclass THEN EXISTS (SELECT FROM pg_trigger WHERE oid = objid AND tgrelid = t.oid)
    WHEN 'pg_statistic_ext'::regclass THEN EXISTS (SELECT FROM pg_statistic_ext WHERE oid = objid AND stxrelid = t.oid)
    ELSE false END
ORDER BY 1"""

_SHAPE = """
SELECT CASE WHEN relkind = 'p' THEN 'it is partitioned' WHEN relispartition THEN 'it is a partition'
    WHEN relkind <> 'r' THEN 'it is no ordinary table'
    WHEN EXISTS (SELECT FROM pg_inherits WHERE t.oid IN (inhparent, inhrelid)) THEN 'it inherits or is inherited from'
    WHEN relpersistence = 't' THEN 'it is temporary'
    WHEN reloftype <> 0 THEN 'it is made of a type'
    WHEN relrowsecurity THEN 'its rows are protected by row level security'
    WHEN EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = t.oid) THEN 'it is filled by replication'
    WHEN EXISTS (SELECT FROM pg_seclabel WHERE objoid = t.oid) THEN 'it has a security label'
    WHEN EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = t.oid AND deptype = 'e')
        THEN 'it belongs to an extension'
    END AS why,
    (SELECT string_agg(pubname, ', ') FROM pg_publication_tables
     WHERE schemaname = %s AND tablename = relname) AS publications
FROM pg_class AS t WHERE t.oid = %s::oid"""


def refuse_unfit(pieces: Pieces, connection: Any) -> None:
    """Raise Refused naming what a rebuilt table could not have, and the way out."""
    _refuse(pieces, list(_reasons(pieces, connection)))


def refuse_taken(pieces: Pieces, backup: str, rule: Unique, connection: Any) -> None:
    """Raise Refused naming what has a name already that the swap would give."""
    _refuse(pieces, list(_taken(pieces, backup, rule, connection)))


def _refuse(pieces: Pieces, reasons: list[str]) -> None:
    if reasons:
        raise Refused(
            f"{pieces.table} cannot be rebuilt: {'; '.join(reasons)}. Nothing was written. Repair it in place"
            " (keep_one), or change that first."
        )


def dependents(oid: int, connection: Any) -> list[str]:
    """What depends on a table and is not part of it."""
    return [row["what"] for row in fetch(connection, Statement(_DEPENDENTS, (oid,)))]


def _reasons(pieces: Pieces, connection: Any) -> Iterator[str]:
    (shape,) = fetch(connection, Statement(_SHAPE, (pieces.schema, pieces.oid)))
    if shape["why"]:
        yield shape["why"]
    if shape["publications"]:
        yield f"it is published ({shape['publications']})"
    for what in dependents(pieces.oid, connection):
        yield f"{what} depends on it"


def _taken(pieces: Pieces, backup: str, rule: Unique, connection: Any) -> Iterator[str]:
    if _exists(backup, pieces, connection):
        yield f"{backup}, which is to keep the rows as they are, exists already (drop or rename it)"
    index = unique_index_name(rule)
    if _exists(index, pieces, connection):
        yield f"{index}, which is to be the unique index, exists already (drop it)"


def _exists(local: str, pieces: Pieces, connection: Any) -> bool:
    """True for a relation of this name in the schema of the table; an index that never became valid does not count."""
    found = fetch(
        connection,
        Statement(
            "SELECT FROM pg_class AS c WHERE relname = %s AND relnamespace = quote_ident(%s)::regnamespace"
            " AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = c.oid AND indrelid = %s::oid AND NOT indisvalid)",
            (local, pieces.schema, pieces.oid),
        ),
    )
    return bool(found)


def refuse_referred(rule: Unique, pieces: Pieces, connection: Any) -> None:
    """Raise Refused where rows that would go are referred to otherwise than by a foreign key of the database."""
    for referrer in referrers(rule, connection):
        table = referrer.model._meta.db_table
        parts: dict[str, Part] = {
            "child": name(table),
            "column": name(referrer.column),
            "target": name(referrer.target),
            "only": referrer.only,
            "live": pieces.live,
            "clean": pieces.clean,
        }
        # Most often nothing refers to anything else, and the live table is not looked at.
        elsewhere = compose(
            "SELECT c.{column}::text FROM {child} AS c WHERE {only} AND c.{column} IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM {clean} AS k WHERE k.{target}::text = c.{column}::text)",
            **parts,
        )
        if not fetch(connection, compose("{elsewhere} LIMIT 1", elsewhere=elsewhere)):
            continue
        (found,) = fetch(
            connection,
            compose(
                "SELECT count(*) AS n FROM ({elsewhere}) AS c (held) WHERE EXISTS ("
                "SELECT FROM {live} AS t WHERE t.{target}::text = c.held)",
                elsewhere=elsewhere,
                **parts,
            ),
        )
        if found["n"]:
            raise Refused(
                f"{found['n']} rows of {table} refer to rows of {pieces.table} that would go. Nothing was changed."
                " Repair it in place (keep_one), which points them at the kept row."
            )
