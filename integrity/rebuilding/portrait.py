"""Everything that the catalog says of a table, a line for each thing: what a rebuilt table must have in common with it.

A line that is not carried over stops the swap, so that nothing of a table is lost because somebody forgot it.
"""

from __future__ import annotations

from typing import Any

from integrity.statement import Statement, fetch

Portrait = dict[str, str]
"""What it is, such as ``index players_pkey``, and all that is said of it."""

_ACL = """(
    SELECT string_agg(concat_ws(':', CASE grantee WHEN 0 THEN 'public' ELSE grantee::regrole::text END,
        privilege_type, is_grantable), ' ' ORDER BY grantee::bigint, privilege_type)
    FROM aclexplode({acl}))"""

_LINES = f"""
WITH t AS (SELECT c.*, c.oid AS me FROM pg_class AS c WHERE c.oid = %s::oid),
lines (what, held) AS (
    SELECT 'table', concat_ws(' | ', relowner::regrole::text, relkind, relpersistence, relreplident, relrowsecurity,
        relforcerowsecurity, reloftype, (SELECT amname FROM pg_am WHERE oid = relam), reloptions::text,
        (SELECT reloptions::text FROM pg_class AS toast WHERE toast.oid = t.reltoastrelid), reltablespace,
        {_ACL.format(acl="coalesce(relacl, acldefault('r', relowner))")}, obj_description(me, 'pg_class'))
    FROM t
    UNION ALL
    SELECT 'column ' || attname, concat_ws(' | ', row_number() OVER (ORDER BY attnum),
        format_type(atttypid, atttypmod), attcollation::regcollation::text, attnotnull, attidentity, attgenerated,
        attstorage, attcompression, coalesce(attstattarget, -1), attoptions::text,
        pg_get_expr(adbin, adrelid), {_ACL.format(acl="attacl")}, col_description(me, attnum))
    FROM t JOIN pg_attribute ON attrelid = me AND attnum > 0 AND NOT attisdropped
    LEFT JOIN pg_attrdef ON adrelid = me AND adnum = attnum
    UNION ALL
    SELECT 'constraint ' || conname, concat_ws(' | ', contype, pg_get_constraintdef(c.oid),
        obj_description(c.oid, 'pg_constraint'))
    FROM t JOIN pg_constraint AS c ON conrelid = me AND contype <> 't'
    UNION ALL
    SELECT 'index ' || i.relname, concat_ws(' | ', substr(pg_get_indexdef(indexrelid),
        position(' USING ' in pg_get_indexdef(indexrelid))), indisunique, indisprimary, indimmediate, indisclustered,
        indisreplident, i.reltablespace, obj_description(indexrelid, 'pg_class'),
        (SELECT string_agg(attnum || '=' || attstattarget, ' ' ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = indexrelid AND attstattarget >= 0))
    FROM t JOIN pg_index ON indrelid = me AND indisvalid JOIN pg_class AS i ON i.oid = indexrelid
    UNION ALL
    SELECT 'trigger ' || tgname, concat_ws(' | ', pg_get_triggerdef(g.oid), tgenabled,
        obj_description(g.oid, 'pg_trigger'))
    FROM t JOIN pg_trigger AS g ON tgrelid = me AND NOT tgisinternal AND tgname <> ALL(%s)
    UNION ALL
    SELECT 'sequence ' || s.relname, concat_ws(' | ', attname, deptype, s.relowner::regrole::text, seqtypid::regtype,
        seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
        {_ACL.format(acl="coalesce(s.relacl, acldefault('s', s.relowner))")}, obj_description(s.oid, 'pg_class'))
    FROM t JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = me AND deptype IN ('a', 'i')
    AND classid = 'pg_class'::regclass JOIN pg_class AS s ON s.oid = objid AND s.relkind = 'S'
    JOIN pg_sequence ON seqrelid = s.oid JOIN pg_attribute ON attrelid = me AND attnum = refobjsubid
    UNION ALL
    SELECT 'statistics ' || stxname, concat_ws(' | ', stxowner::regrole::text, pg_get_statisticsobjdef_columns(x.oid),
        stxkind::text, coalesce(stxstattarget, -1), obj_description(x.oid, 'pg_statistic_ext'))
    FROM t JOIN pg_statistic_ext AS x ON stxrelid = me
)
SELECT what, held FROM lines ORDER BY what"""


def portrait(oid: int, connection: Any, *, without: tuple[str, ...] = ()) -> Portrait:
    """What the catalog says of a table now; ``without`` these triggers, and indexes that are not valid."""
    rows = fetch(connection, Statement(_LINES, (oid, list(without))))
    return {row["what"]: row["held"] for row in rows}


def differences(wanted: Portrait, found: Portrait, *, besides: tuple[str, ...] = ()) -> list[str]:
    """What one has and the other has not, or has otherwise. Foreign keys may still have to be validated."""
    both = sorted({*wanted, *found} - set(besides))
    return [what for what in both if _plain(wanted.get(what)) != _plain(found.get(what))]


def _plain(held: str | None) -> str | None:
    return held.replace(" NOT VALID", "") if held and held.startswith("f |") else held
