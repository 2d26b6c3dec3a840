"""Differing rows that nobody can tell apart: references to nothing or to several rows, and keys that occur twice."""

from __future__ import annotations

from integrity.importing.columns import Column
from integrity.importing.matching import Diff
from integrity.importing.rejects import Reject
from integrity.importing.staging import LINE
from integrity.statement import Part, Statement, compose, fetch, joined, name, value


def set_aside(diff: Diff) -> None:
    """Take such rows out of the difference, and reject them. Raises TooManyRejected."""
    _reject_flagged(diff)
    _reject_repeated(diff)


def _reject_flagged(diff: Diff) -> None:
    flags = [name("d", flag) for flag in diff.flags]
    if not flags or not diff.count(joined(" OR ", flags)):
        return
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


def _reject_repeated(diff: Diff) -> None:
    """Two rows of a feed with one key: neither is imported, for nobody can say which is right."""
    keys = _key_texts(diff)
    raws = joined(", ", (compose("{raw}{cast}", raw=diff.staged.raw(s), cast=c) for s, c in keys))
    twice = compose(
        "SELECT count(*) OVER (PARTITION BY {raws}) AS times, s.nr FROM {staged} AS s WHERE NOT bad{few}",
        raws=raws,
        staged=diff.staged.relation,
        few=_of_differing(diff, raws),
    )
    _reject(
        diff,
        compose("d.nr IN (SELECT nr FROM ({twice}) AS r WHERE times > 1)", twice=twice),
        ", ".join(dict.fromkeys(s for s, _ in keys)),
        joined(" || ', ' || ", (diff.staged.raw(s) for s, _ in keys)),
        "another row of the feed has the same key",
    )


def _key_texts(diff: Diff) -> list[tuple[str, Statement]]:
    found: list[tuple[str, Statement]] = []
    for part in diff.feed.key_parts:
        if isinstance(part, Column):
            found.append((part.source, part.value.cast))
        else:
            found += [(source, held.cast) for source, held in part.values().items()]
    return found


def _of_differing(diff: Diff, raws: Statement) -> Statement:
    """Narrow to the keys of differing rows, unless they are most of all: the others change nothing."""
    if diff.count(Statement("d.nr IS NOT NULL")) * 2 > diff.staged.count:
        return Statement("")
    return compose(
        " AND ({raws}) IN (SELECT {raws} FROM {diff} AS d JOIN {staged} AS s USING (nr))",
        raws=raws,
        diff=diff.relation,
        staged=diff.staged.relation,
    )


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
