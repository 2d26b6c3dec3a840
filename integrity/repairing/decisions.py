"""What a run has decided about dangling ids, kept so that each of its batches, and whoever goes on with it, agrees."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Exists, F, OuterRef

from integrity.keys import as_json
from integrity.models import Change, Decision, Run
from integrity.records import hold
from integrity.repairs.relink.verdict import RELINKED, Verdict
from integrity.reports import Undecided
from integrity.scope import Scope
from integrity.statement import Statement, compose, fetch, from_queryset, name, value
from integrity.statement import run as execute

if TYPE_CHECKING:
    from integrity.rules.references import References

UNSEEN = "not looked at"
"""What began to dangle after the run had decided."""


def made(run: Run, pool: str) -> bool:
    """True when the run has decided already."""
    return Decision.objects.filter(run=run, pool=pool).exists()


def store(run: Run, pool: str, rule: References, verdicts: Iterable[Verdict]) -> None:
    """Keep what was decided; called in a transaction. Raises LostRun."""
    hold(run)
    Decision.objects.bulk_create(
        (
            Decision(
                run=run,
                pool=pool,
                target=_target(rule),
                old=str(verdict.old),
                new="" if verdict.new is None else str(verdict.new),
                outcome=verdict.outcome,
                by=verdict.by,
                why=verdict.why,
                candidates=[
                    {"id": as_json(c.id), "for": dict(c.backed), "against": dict(c.opposed)} for c in verdict.candidates
                ],
                rows=verdict.rows,
            )
            for verdict in verdicts
        ),
        batch_size=2_000,
    )
    # Each batch joins with them, and autovacuum comes too late to tell how many there are.
    execute(connections[DEFAULT_DB_ALIAS], compose("ANALYZE {table}", table=name(Decision._meta.db_table)))


def earlier(rule: References, run: Run) -> Statement:
    """A SELECT of ``old``, ``new``, ``by`` and ``integrity_run``: what earlier runs relinked and nobody took back."""
    wrote = Change.objects.filter(run=OuterRef("run"))
    undone = Run.objects.filter(of=OuterRef("run"), verb=Run.Verb.UNDO, dry_run=False)
    found = Decision.objects.filter(
        Exists(wrote), ~Exists(undone), target=_target(rule), outcome=RELINKED, run__dry_run=False
    ).exclude(run=run)
    return from_queryset(found.order_by().values("old", "new", "by", integrity_run=F("run_id")), DEFAULT_DB_ALIAS)


def relinked(run: Run, pool: str) -> Statement:
    """A SELECT of ``old``, ``new``, ``by`` and ``why`` of what the run relinks."""
    # Not in any order: each batch looks up its own ids, and would read all for the order.
    found = Decision.objects.filter(run=run, pool=pool, outcome=RELINKED).order_by()
    return from_queryset(found.values("old", "new", "by", "why"), DEFAULT_DB_ALIAS)


def left(run: Run, pool: str, rule: References, scope: Scope, limit: int) -> tuple[dict[str, int], list[Undecided]]:
    """What a run leaves of the violations in scope: rows by why, and the first ids with their candidates."""
    connection = connections[DEFAULT_DB_ALIAS]
    rows = compose(
        "SELECT v.{actual} AS old, count(*) AS rows FROM ({violations}) AS v GROUP BY 1",
        actual=name(f"actual__{rule.columns[0]}"),
        violations=rule.violations(scope, connection.alias),
    )
    decided = Decision.objects.filter(run=run, pool=pool).order_by().values("old", "outcome", "why", "candidates")
    found = compose(
        "SELECT l.old, l.rows, coalesce(d.outcome, {unseen}) AS outcome, d.why, d.candidates"
        " FROM ({rows}) AS l LEFT JOIN ({decided}) AS d ON d.old = l.old::text"
        " WHERE d.outcome IS DISTINCT FROM {relinked}",
        unseen=value(UNSEEN),
        rows=rows,
        decided=from_queryset(decided, DEFAULT_DB_ALIAS),
        relinked=value(RELINKED),
    )
    counted = fetch(
        connection,
        compose("SELECT outcome, sum(rows)::bigint AS n FROM ({found}) AS f GROUP BY outcome ORDER BY 1", found=found),
    )
    first = fetch(
        connection, compose("SELECT * FROM ({found}) AS f ORDER BY old LIMIT {limit}", found=found, limit=value(limit))
    )
    undecided = [
        Undecided(row["old"], row["outcome"], row["rows"], row["why"] or "", json.loads(row["candidates"] or "[]"))
        for row in first
    ]
    return {row["outcome"]: row["n"] for row in counted}, undecided


def _target(rule: References) -> str:
    assert rule.to is not None
    return f"{rule.to._meta.label}.{rule.on[0]}"
