"""A unique number of the provider that goes from one row to another: in one statement both would have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DatabaseError, transaction

from integrity.importing.numbers import Number
from integrity.importing.refusals import is_of_rows
from integrity.statement import Part, Statement, compose, joined, name, run

if TYPE_CHECKING:
    from integrity.importing.writing import Writer


def free_numbers(writer: Writer) -> None:
    """Take each number that a row of the difference wants from the row that gives it away."""
    diff = writer.diff
    if not diff.feed.external_id:
        return
    number = Number(diff.feed)
    if number.none is None or not number.is_unique:
        return
    parts = _parts(writer, number)
    if _update(writer, _given_away(writer, number), number):
        # What was compared is not there any more: it was this import that took it.
        run(
            writer.connection,
            compose(
                "UPDATE {d} AS o SET {old} = t.{number} FROM {t} AS t WHERE t.{pk} = o.{row}"
                " AND t.{number} IS DISTINCT FROM o.{old} AND t.{number} IS NOT DISTINCT FROM {none}",
                none=number.none,
                **parts,
            ),
        )


def _parts(writer: Writer, number: Number) -> dict[str, Part]:
    return {
        "d": writer.diff.relation,
        "t": name(writer.model._meta.db_table),
        "pk": name(writer.pk),
        "row": name(f"row__{writer.pk}"),
        "number": name(number.column),
        "old": name(f"old__{number.column}"),
        "new": name(f"new__{number.column}"),
    }


def _given_away(writer: Writer, number: Number) -> Statement:
    """Rows with a number that another one wants, and which lose it now or have gone from the feed before.

    Two lists instead of one condition with OR, which would be tried for each pair of rows.
    """
    parts = _parts(writer, number)
    parts["given"] = number.given(name("t", number.column))
    parts["wanted"] = compose(
        "EXISTS (SELECT FROM {d} AS w WHERE {same} AND w.op <> 'vanish' AND w.{row} IS DISTINCT FROM t.{pk})",
        same=number.same("w", "new__", "t", ""),
        d=parts["d"],
        row=parts["row"],
        pk=parts["pk"],
    )
    lists = [
        compose(
            "SELECT t.{pk} AS {row}, t.{number} AS {old} FROM {d} AS o JOIN {t} AS t ON t.{pk} = o.{row}"
            " WHERE {given} AND (o.op = 'vanish' OR o.{new} IS DISTINCT FROM t.{number}) AND {wanted}",
            **parts,
        )
    ]
    if writer.diff.gone:
        lists.append(
            compose(
                "SELECT t.{pk} AS {row}, t.{number} AS {old} FROM {t} AS t WHERE {given} AND NOT {present} AND {wanted}"
                " AND NOT EXISTS (SELECT FROM {d} AS o WHERE o.{row} = t.{pk})",
                present=writer.diff.present("t"),
                **parts,
            )
        )
    return joined(" UNION ALL ", lists)


def _update(writer: Writer, freed: Statement, number: Number) -> int:
    assert number.none is not None
    try:
        # Taken back alone: a row that is held is refused later, where it is written.
        with transaction.atomic():
            return writer.update(freed, {number.column: number.none}, [number.column])
    except DatabaseError as error:
        if not is_of_rows(error):
            raise
        return 0
