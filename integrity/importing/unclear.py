"""Differing rows that nobody can tell apart: references to nothing or to several rows, and keys that occur twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from integrity.importing.columns import Column
from integrity.importing.lookup import typed
from integrity.importing.matching import Diff, Survey
from integrity.importing.rejects import Reject
from integrity.importing.staging import LINE
from integrity.keys import pk_columns
from integrity.statement import Part, Statement, as_statement, compose, fetch, joined, name, value


def set_aside(diff: Diff, survey: Survey) -> bool:
    """Take such rows out of the difference, and reject them. Whether there were any. Raises TooManyRejected."""
    repeated = bool(survey.inserts or survey.updates) and not _adds_up(diff, survey)
    repeated = repeated and _has_repeated(diff.connection, diff.staged.relation, _keys(diff))
    if survey.unclear:
        _reject_flagged(diff)
    if repeated:
        _reject_repeated(diff)
    return repeated or bool(survey.unclear)


def _reject_flagged(diff: Diff) -> None:
    for reference in diff.feed.references:
        for flag, why in (("lost", "refers to nothing"), ("many", "refers to several rows")):
            texts = [compose("{raw}", raw=diff.staged.raw(source)) for source in reference.sources]
            _reject(
                diff,
                compose("d.{flag}", flag=name(f"{flag}__{reference.column}")),
                ", ".join(reference.sources),
                joined(" || ', ' || ", (compose("COALESCE({t}, 'NULL')", t=text) for text in texts)),
                f"{why}: {reference.to._meta.label} has no such row"
                if flag == "lost"
                else f"{why} of {reference.to._meta.label}",
            )


def _adds_up(diff: Diff, survey: Survey) -> bool:
    """Whether the numbers alone tell that no key occurs twice: to group all of a feed by its keys takes far longer.

    Then as many rows of the feed have met one of the table as rows of the table have met one of the feed: those that
    were present and have not gone, and those that are back. Of the latter only those that differ are known; were there
    more, or were rows rejected, the numbers would not meet.
    """
    if not diff.gone or diff.staged.rejects.count(diff.feed.label):
        return False
    met = fetch(
        diff.connection,
        compose(
            "SELECT max(d.present) AS present, count(*) FILTER (WHERE op = 'update' AND NOT {present}) AS back,"
            " count(DISTINCT {row}) FILTER (WHERE op = 'update') AS apart FROM {d} AS d",
            present=diff.present("d", "old__"),
            row=name("d", f"row__{pk_columns(diff.model)[0]}"),
            d=diff.relation,
        ),
    )[0]
    if (
        met["apart"] != survey.updates
        or diff.staged.count - survey.inserts != met["present"] - survey.vanishes + met["back"]
    ):
        return False
    new = [as_statement(name("s", f"new__{part.column}")) for part in diff.feed.key_parts]
    inserts = compose("SELECT *, false AS bad FROM {d} WHERE op = 'insert'", d=diff.relation)
    return not (survey.inserts and _has_repeated(diff.connection, compose("({i})", i=inserts), new))


def _has_repeated(connection: Any, rows: Statement, keys: Iterable[Statement]) -> bool:
    """Whether any key of rows ``s`` seems to occur twice. A hash is grouped much faster than the texts themselves."""
    found = fetch(
        connection,
        compose(
            "SELECT FROM {rows} AS s WHERE NOT bad GROUP BY hash_record_extended(ROW({keys}), 0)"
            " HAVING count(*) > 1 LIMIT 1",
            keys=joined(", ", keys),
            rows=rows,
        ),
    )
    return bool(found)


def _reject_repeated(diff: Diff) -> None:
    """Two rows of a feed with one key: neither is imported, for nobody can say which is right."""
    sources = list(dict.fromkeys(source for part in diff.feed.key_parts for source in part.sources))
    twice = compose(
        "SELECT count(*) OVER (PARTITION BY {keys}) AS times, s.nr FROM {staged} AS s WHERE NOT bad",
        keys=joined(", ", _keys(diff)),
        staged=diff.staged.relation,
    )
    _reject(
        diff,
        compose("d.nr IN (SELECT nr FROM ({twice}) AS r WHERE times > 1)", twice=twice),
        ", ".join(sources),
        joined(" || ', ' || ", (compose("COALESCE({raw}, '')", raw=diff.staged.raw(source)) for source in sources)),
        "another row of the feed has the same key",
    )


def _keys(diff: Diff) -> Iterator[Statement]:
    """The parts of the natural key as values: 1 and 01 are the same number."""
    for part in diff.feed.key_parts:
        if isinstance(part, Column):
            yield typed(diff.staged, part)
        else:
            for source, held in part.values().items():
                yield compose("{raw}{cast}", raw=diff.staged.raw(source), cast=held.cast)


def _reject(diff: Diff, condition: Part, field: str, shown: Statement, reason: str) -> None:
    found = fetch(
        diff.connection,
        compose(
            "WITH gone AS (DELETE FROM {diff} AS d WHERE {condition} RETURNING d.nr)"
            " SELECT s.nr, {line} AS line, {shown} AS held FROM gone JOIN {staged} AS s USING (nr)"
            " ORDER BY s.nr LIMIT {most}",
            diff=diff.relation,
            condition=condition,
            line=LINE,
            shown=shown,
            staged=diff.staged.relation,
            most=value(diff.staged.rejects.budget + 1),
        ),
    )
    diff.staged.rejects.extend(
        Reject(
            diff.feed.label,
            diff.staged.file,
            row["nr"],
            row["line"],
            field,
            row["held"] and row["held"][:500],
            reason,
        )
        for row in found
    )
