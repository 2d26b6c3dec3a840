"""Removing what a killed rebuild has left beside a table, and the triggers that it has left on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from integrity import leases, statuses
from integrity.exceptions import Refused
from integrity.models import Run
from integrity.rebuilding.brief import Brief, patiently
from integrity.rebuilding.notes import left_over
from integrity.statement import Statement, fetch


def sweep(tables: Iterable[str], mine: Run, connection: Any) -> None:
    """Remove it, before anything else is done to these tables; a dry run leaves it, and a living run keeps it.

    Raises Refused while another run rebuilds one of them.
    """
    if mine.dry_run:
        return
    found = fetch(
        connection,
        Statement(
            "SELECT nspname, relname, c.oid FROM pg_namespace AS n JOIN pg_class AS c ON relnamespace = n.oid"
            " WHERE c.oid = ANY(ARRAY(SELECT to_regclass(quote_ident(t))::oid FROM unnest(%s::text[]) AS t))",
            (sorted(tables),),
        ),
    )
    for row in found:
        left = left_over(row["nspname"], row["relname"], connection)
        if left:
            _refuse_living({number for _, _, number in left} - {mine.pk}, row["relname"])
            _remove([(kind, what) for kind, what, _ in left], row["oid"], row["relname"], connection)


def _refuse_living(numbers: set[int], table: str) -> None:
    for run in Run.objects.filter(pk__in=numbers, status=statuses.RUNNING).order_by("pk"):
        if not leases.is_dead(run):
            raise Refused(f"Run {run.pk} ({run.verb} by {run.actor} on {run.host}) is rebuilding {table}. Wait for it.")


def _remove(left: list[tuple[str, str]], oid: int, table: str, connection: Any) -> None:
    def drop() -> None:
        # The function takes the triggers of the table along, which needs its lock for a moment.
        with transaction.atomic(durable=True):
            Brief(connection).run(
                Statement(f"DROP {kind} IF EXISTS {what.replace('%', '%%')} CASCADE") for kind, what in left
            )

    patiently(drop, oid, table, connection)
