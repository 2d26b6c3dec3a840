"""What a run remembers of the tables that it rebuilt or swapped back, in its options."""

from __future__ import annotations

from typing import Any

from integrity import statuses
from integrity.exceptions import UsageError
from integrity.models import Run

REBUILDS = "rebuilds"
"""By rule, what is needed to take a swap back."""
SWAPS_BACK = "swaps_back"
"""Rules whose old tables an undo swaps back."""


def rebuilds(run: Run, label: str | None = None) -> dict[str, dict[str, Any]]:
    """By rule, the tables that a run rebuilt; of one rule alone where it is named."""
    found: dict[str, dict[str, Any]] = run.options.get(REBUILDS, {})
    return {rule: done for rule, done in found.items() if label in (None, rule)}


def to_swap_back(run: Run, label: str | None = None) -> list[str]:
    """Rules whose rebuilt tables nobody has swapped back, or only a process that died right after it."""
    by: dict[str, Any] = {rule: done.get("undone_by") for rule, done in rebuilds(run, label).items()}
    unfinished = set(Run.objects.filter(pk__in=by.values(), status=statuses.RUNNING).values_list("pk", flat=True))
    return [rule for rule, number in by.items() if number is None or number in unfinished]


def refuse_again(run: Run) -> None:
    """Raise UsageError for the undo of a rebuild: swapping the tables once more is repairing again."""
    for rule in run.options.get(SWAPS_BACK, ()):
        raise UsageError(
            f"Run {run.pk} swapped the old table of {rule} back. To have the clean one again, repair again:"
            f" manage.py integrity repair {rule}"
        )


def swapped_back_by(run: Run, label: str | None = None) -> Run | None:
    """The run that swapped the old tables back; None while one is left."""
    by: list[Any] = [done.get("undone_by") for done in rebuilds(run, label).values()]
    return None if not by or None in by else Run.objects.get(pk=int(by[-1]))
