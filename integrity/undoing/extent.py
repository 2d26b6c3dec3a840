"""How much of a run is to be taken back, and whether it still can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.models import Count, QuerySet

from integrity import leases, statuses
from integrity.exceptions import EngineError, UnknownName, UsageError, sentence
from integrity.keys import Key, stored
from integrity.look import look
from integrity.models import Change, Run
from integrity.rebuilding.record import rebuilds, refuse_again, swapped_back_by, to_swap_back
from integrity.repairing.owners import changes_for
from integrity.reports import Report, rows
from integrity.rules.base import Rule
from integrity.scope import Scope


@dataclass(frozen=True)
class Extent:
    """What of a run is taken back: everything, what was written for a rule, or for some of its keys."""

    rule: Rule | None
    keys: Sequence[Key] | None

    def __post_init__(self) -> None:
        if self.keys is not None and self.rule is None:
            raise UsageError("Keys belong to a rule: say which one is to be taken back.")

    def of(self, run: Run) -> QuerySet[Change]:
        """The changes of a run that belong to it."""
        if self.rule is None:
            return Change.objects.filter(run=run)
        if self.keys is None:
            return Change.objects.filter(run=run, rule=self.rule.label)
        return changes_for(run, self.rule, self.keys, connections[DEFAULT_DB_ALIAS])

    def rebuilds(self, run: Run) -> dict[str, dict[str, Any]]:
        """The tables that a run rebuilt, which come back whole."""
        found = rebuilds(run, self.rule.label if self.rule else None)
        if found and self.keys is not None:
            raise UsageError(f"Run {run.pk} rebuilt the whole table of {', '.join(found)}: leave the keys out.")
        return found

    def to_swap_back(self, run: Run) -> list[str]:
        return to_swap_back(run, self.rule.label if self.rule else None)

    def swapped_back_by(self, run: Run) -> Run | None:
        return swapped_back_by(run, self.rule.label if self.rule else None)

    def stored(self) -> dict[str, list[dict[str, Any]]] | None:
        """The keys as the record of a run has them."""
        if self.rule is None or self.keys is None:
            return None
        return stored([self.rule], {self.rule.label: self.keys})

    def note_undone(self, of: Run, run: Run, report: Report) -> None:
        """Say which changes are left out because an earlier undo has taken them back, whatever became of it since."""
        before = self.of(of).exclude(undone_by=None).exclude(undone_by=run).order_by("undone_by")
        for label, by, number in before.values_list("rule", "undone_by").annotate(number=Count("id")):
            (result,) = [result for result in report.rules if result.rule == label]
            result.notes.append(f"{label}: left out {rows(number)} that run {by} has put back before.")

    def look_again(self, report: Report, sample: int) -> None:
        """What of the keys that were put back breaks the rule now, where no conflict or error says more."""
        if self.rule is None or self.keys is None:
            return
        for result in report.rules:
            if result.status != statuses.CLEAN:
                continue
            try:
                look(self.rule, Scope.of(self.keys), DEFAULT_DB_ALIAS, result)
            except (DatabaseError, EngineError) as error:
                result.status, result.error = statuses.PARTIAL, f"It was not looked at again: {sentence(error)}"
            result.sample = result.sample[:sample]

    def __str__(self) -> str:
        if self.rule is None:
            return ""
        if self.keys is None:
            return f" for {self.rule.label}"
        keys = (", ".join(f"{n} {v}" for n, v in self.rule.key_as_json(key).items()) for key in self.keys)
        return f" for {self.rule.label} at {'; '.join(keys)}"


def undoable(number: int, extent: Extent) -> Run:
    """The run by its number. Raises UnknownName and UsageError for what ``undo()`` refuses before it begins."""
    run = Run.objects.filter(pk=number).first()
    if run is None:
        latest = Run.objects.filter(changes__isnull=False).distinct().order_by("-id")[:5]
        raise UnknownName("run", str(number), [str(known.pk) for known in latest])
    if run.status == statuses.RUNNING and run.dry_run is False and not leases.is_dead(run):
        raise UsageError(f"Run {number} is still at work (process {run.pid} on {run.host}). Wait for it, or end it.")
    changes = extent.of(run)
    if not changes.exists() and not extent.rebuilds(run):
        refuse_again(run)
        raise UsageError(f"Run {number} ({run.verb}) changed nothing{extent}; there is nothing to undo.")
    by = _undone_by(run, extent)
    # One that died between its last row and its end is gone on with like any other.
    if by is not None and by.status != statuses.RUNNING:
        refuse_again(by)
        raise UsageError(
            f"Run {number} was undone{extent} by run {by.pk}. To take that back: manage.py integrity undo {by.pk}"
        )
    if run.status == statuses.RUNNING:
        leases.abandon(run)
    return run


def _undone_by(run: Run, extent: Extent) -> Run | None:
    """The run that took everything back; None while something is left."""
    changes = extent.of(run)
    if changes.filter(undone_by=None).exists():
        return None
    return extent.swapped_back_by(run) if extent.rebuilds(run) else changes.latest("id").undone_by
