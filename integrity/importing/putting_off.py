"""An import that a worker process performs, of files that were sent."""

from __future__ import annotations

from integrity import leases, statuses
from integrity.exceptions import RunInProgress
from integrity.importing.declarations import Import
from integrity.importing.uploads import Upload
from integrity.models import Run
from integrity.workers import later


def put_off(
    wanted: Import,
    upload: Upload,
    *,
    only: str | None,
    dry_run: bool,
    batch_size: int | None,
    error_budget: int | None,
    actor: str,
    reason: str,
) -> Run:
    """Leave files to a worker, who removes them in the end.

    Raises RunInProgress where another import of these feeds is at work or waits, UsageError where there is no queue.
    """
    if not dry_run:
        _refuse_while_busy(wanted)
    run = later.run_import(
        wanted,
        upload.folder,
        only=only,
        dry_run=dry_run,
        batch_size=batch_size,
        error_budget=error_budget,
        discard=True,
        actor=actor,
        reason=reason,
    )
    upload.keep()
    return run


def _refuse_while_busy(wanted: Import) -> None:
    leases.refuse_held([feed.label for feed in wanted.feeds])
    waiting = Run.objects.filter(
        verb=Run.Verb.IMPORT, status=statuses.QUEUED, dry_run=False, options__call__import=wanted.label
    ).first()
    if waiting is not None:
        raise RunInProgress(
            f"Run {waiting.pk} ({wanted.label}, sent by {waiting.actor}) waits for a worker. Wait for it, or cancel it:"
            f" manage.py integrity cancel {waiting.pk}"
        )
