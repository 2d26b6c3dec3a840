"""Filling the clean table, and everything about it that acts on nobody."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError

from integrity.enforcement.unique_index import unique_index_name, unique_index_statement
from integrity.exceptions import Refused, sentence
from integrity.keys import pk_columns
from integrity.rebuilding.carry import Carrier
from integrity.rebuilding.choose import KEPT, Counted
from integrity.rebuilding.names import Pieces
from integrity.rebuilding.notes import outside
from integrity.rules.unique import Unique
from integrity.statement import Statement, compose, joined, name, names, run


def build(rule: Unique, pieces: Pieces, carrier: Carrier, counted: Counted, connection: Any) -> None:
    """Make the clean table of the rows in ``integrity_kept``, with a unique index on the key.

    Raises Refused where the database cannot have such an index.
    """
    for statement in carrier.create():
        run(connection, statement)
    run(connection, _kept_rows(rule, pieces, connection))
    if counted.outside:
        run(connection, _rows_outside(rule, pieces, connection))
    for statement in carrier.complete():
        run(connection, statement)
    try:
        run(
            connection,
            unique_index_statement(rule, connection.alias, table=pieces.clean, index=once(pieces)),
        )
    except DatabaseError as error:
        raise Refused(
            f"{rule.label} cannot become the unique index {unique_index_name(rule)}: {sentence(error)}."
            " Nothing was changed. Repair it in place (keep_one)."
        ) from error
    run(connection, compose("ANALYZE {clean}", clean=pieces.clean))


def once(pieces: Pieces) -> str:
    """What the unique index of the rule is called until the swap."""
    return f"{pieces.base}_once"


def _kept_rows(rule: Unique, pieces: Pieces, connection: Any) -> Statement:
    same = (compose("t.{pk} = k.{pk}", pk=name(pk)) for pk in pk_columns(rule.model))
    held = pieces.held(connection)
    return compose(
        "INSERT INTO {clean} ({held}) OVERRIDING SYSTEM VALUE"
        f" SELECT {{rows}} FROM {{live}} AS t JOIN pg_temp.{KEPT} AS k ON {{same}}",
        clean=pieces.clean,
        held=names(held),
        rows=names(held, of="t"),
        live=pieces.live,
        same=joined(" AND ", same),
    )


def _rows_outside(rule: Unique, pieces: Pieces, connection: Any) -> Statement:
    held = names(pieces.held(connection))
    return compose(
        "INSERT INTO {clean} ({held}) OVERRIDING SYSTEM VALUE SELECT {held} FROM {live} AS t WHERE {outside}",
        clean=pieces.clean,
        held=held,
        live=pieces.live,
        outside=outside(rule, pieces.live, "t", connection.alias),
    )
