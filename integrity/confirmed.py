"""A dry run that a person has looked at is confirmed once: the form that was sent twice is carried out one time."""

from __future__ import annotations

from django.db.models import F, Func, JSONField, Value

from integrity.engine import get_run
from integrity.exceptions import UsageError
from integrity.models import Run

CONFIRMED_BY = "confirmed_by"


def confirm(number: int, *, actor: str) -> Run:
    """Note on a dry run that somebody wants it done. Raises UnknownName, and UsageError for any but the first."""
    run = get_run(number)
    if not run.dry_run or run.actor != actor:
        raise UsageError(f"Run {number} is no dry run of {actor}: try it first, and look at what it would write.")
    # One statement: of two at a time the second waits for the first and then finds the key.
    waiting = Run.objects.filter(pk=number).exclude(options__has_key=CONFIRMED_BY)
    both = Func(F("options"), Value({CONFIRMED_BY: actor}, JSONField()), template="%(expressions)s", arg_joiner=" || ")
    if not waiting.update(options=both):
        raise UsageError(
            f"The dry run {number} was confirmed before: it is carried out once. Try it again to see more."
        )
    run.refresh_from_db()
    return run
