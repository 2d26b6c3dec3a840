"""Rows that changed their key: the provider's number tells which, as long as no number has moved to another row."""

from __future__ import annotations

from integrity.importing.matching import Diff
from integrity.importing.numbers import Number
from integrity.keys import pk_columns
from integrity.statement import Part, Statement, as_statement, compose, joined, name, names, run

_CANDIDATES = "integrity_candidates"


def match_renamed(diff: Diff) -> bool:
    """Make updates of those new rows that are known ones by another key; a note where the numbers prove nothing.

    Whether there were any.
    """
    number = Number(diff.feed)
    found = _find(diff, number)
    if not found:
        return False
    moved = _moved(diff, number)
    if not moved:
        _take(diff)
        return True
    diff.notes.append(
        f"{found} new rows have the {diff.feed.external_id} of a row with another key. They were not taken for"
        f" renamed ones, because {moved} rows that kept their key have another {diff.feed.external_id} now: in"
        " this feed it proves nothing."
    )
    return False


def _moved(diff: Diff, number: Number) -> int:
    """How many rows kept their key and have another number than before."""
    new, old = name("d", f"new__{number.column}"), name("d", f"old__{number.column}")
    return diff.count(
        compose(
            "d.op = 'update' AND {was} AND {given} AND {old} <> {new}",
            was=number.given(old),
            given=number.given(new),
            old=old,
            new=new,
        )
    )


def _find(diff: Diff, number: Number) -> int:
    """Keep the new rows with the number of one row alone, which no other row of the feed is, and part of its key.

    Counted over all rows at once: a count for each of many new rows would read all of them as often.
    """
    shared = [
        compose("d.{n} = t.{c}", n=name(f"new__{part.column}"), c=name(part.column)) for part in diff.feed.key_parts
    ]
    parts: dict[str, Part] = {
        "kept": name(_CANDIDATES),
        "pk": name(pk_columns(diff.model)[0]),
        "diff": diff.relation,
        "table": name(diff.feed.table),
        "given": number.given(name("d", f"new__{number.column}")),
        "shared": joined(" OR ", shared) if len(shared) > 1 else Statement("true"),
    }
    run(diff.connection, Statement(f"DROP TABLE IF EXISTS pg_temp.{_CANDIDATES}"))
    return run(
        diff.connection,
        compose(
            "CREATE TEMP TABLE {kept} ON COMMIT DROP AS WITH named AS MATERIALIZED ("
            " SELECT d.nr, (array_agg(t.{pk}))[1] AS found FROM {diff} AS d JOIN {table} AS t ON {same}"
            " WHERE d.op = 'insert' AND {given} GROUP BY d.nr HAVING count(*) = 1),"
            " once AS (SELECT nr FROM (SELECT nr, count(*) OVER (PARTITION BY {numbers}) AS times FROM {diff} AS d"
            " WHERE d.nr IS NOT NULL AND {given}) AS d WHERE times = 1)"
            " SELECT d.nr, n.found FROM named AS n JOIN once USING (nr) JOIN {diff} AS d USING (nr)"
            " JOIN {table} AS t ON t.{pk} = n.found WHERE ({shared})"
            " AND NOT EXISTS (SELECT FROM ({staged}) AS s WHERE {is_there})",
            same=number.same("t", "", "d", "new__"),
            numbers=names((f"new__{c}" for c in (number.column, *number.within)), of="d"),
            staged=diff.source(),
            is_there=diff.same("s", "t"),
            **parts,
        ),
    )


def _take(diff: Diff) -> None:
    (pk,) = pk_columns(diff.model)
    was = [compose("{o} = t.{c}", o=name(f"old__{c}"), c=name(c)) for c in diff.compared]
    run(
        diff.connection,
        compose(
            "WITH gone AS (DELETE FROM {diff} AS v USING {kept} AS c WHERE v.op = 'vanish' AND v.{row} = c.found)"
            " UPDATE {diff} AS d SET op = 'update', renamed = true, {row} = c.found, {was}"
            " FROM {kept} AS c JOIN {table} AS t ON t.{pk} = c.found WHERE d.nr = c.nr",
            was=joined(", ", was),
            diff=diff.relation,
            kept=as_statement(name("pg_temp", _CANDIDATES)),
            table=name(diff.feed.table),
            pk=name(pk),
            row=name(f"row__{pk}"),
        ),
    )
