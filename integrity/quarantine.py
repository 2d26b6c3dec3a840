"""quarantine: the rows that repairs have moved out of their tables, and the way back for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet

from integrity.models import Quarantined
from integrity.registry import registry
from integrity.repairing.owners import keys_of
from integrity.reports import Report
from integrity.rules.base import Rule
from integrity.undo import undo


def quarantined(rules: Iterable[Rule] | None = None) -> QuerySet[Quarantined]:
    """The rows in quarantine, the oldest first, each with its rule, its run and its whole image."""
    kept = Quarantined.objects.order_by("pk")
    return kept if rules is None else kept.filter(rule__in=[rule.label for rule in rules])


def restore(
    rows: Iterable[Quarantined], *, dry_run: bool = False, actor: str | None = None, reason: str = "", sample: int = 20
) -> list[Report]:
    """Put rows back, with what went along with them: an undo for each run and rule, which can be undone too.

    What was moved out for one violation comes back together. A report is ``violated`` where rows that are back break
    the rule again, and ``partial`` where one could not be put back: its conflicts say why. Raises UnknownName for rows
    of a rule that is not declared any more, and what ``undo`` raises.
    """
    reports = []
    chosen = sorted(rows, key=lambda row: (row.run_id, row.rule))
    for (run, label), together in groupby(chosen, key=lambda row: (row.run_id, row.rule)):
        rule = registry.get(label)
        keys = keys_of(together, rule, connections[DEFAULT_DB_ALIAS])
        reports.append(undo(run, rule=rule, keys=keys, dry_run=dry_run, actor=actor, reason=reason, sample=sample))
    return reports


def along(row: Quarantined) -> Sequence[tuple[str, int]]:
    """What went along with a row: (table, how many rows of it), in the order in which they went."""
    owner = {field.name: row.key.get(str(field.column)) for field in registry.get(row.rule).model._meta.pk_fields}
    changes = row.run.changes.filter(rule=row.rule, owner=row.owner or owner).exclude(pk=row.pk)
    tables: dict[str, int] = {}
    for table in changes.order_by("pk").values_list("table", flat=True):
        tables[table] = tables.get(table, 0) + 1
    return list(tables.items())
