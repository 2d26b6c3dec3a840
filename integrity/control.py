"""pause, resume and cancel: what a run that works elsewhere is asked, and does between two batches."""

from __future__ import annotations

from django.db import transaction

from integrity import events, leases, records, statuses
from integrity.engine import get_run
from integrity.exceptions import UsageError
from integrity.models import Run
from integrity.records import default_actor

IN_BATCHES = (Run.Verb.REPAIR, Run.Verb.UNDO)


def pause(number: int, *, actor: str | None = None) -> Run:
    """Let a run wait before its next batch. Raises UsageError for one that is not at work or knows no batches."""
    return _ask(number, Run.Asked.PAUSE, actor)


def resume(number: int, *, actor: str | None = None) -> Run:
    """Let a paused run go on. Raises UsageError for one that is not paused."""
    return _ask(number, Run.Asked.NOTHING, actor)


def cancel(number: int, *, actor: str | None = None) -> Run:
    """End a run before its next batch, as partial: what was committed stays, and can be gone on with or undone.

    One that waits in the queue is refused at once, whatever its verb.
    """
    return _ask(number, Run.Asked.CANCEL, actor)


def _ask(number: int, asked: Run.Asked, actor: str | None) -> Run:
    run = get_run(number)
    if asked == Run.Asked.CANCEL and _cancelled_in_queue(run, actor):
        return run
    if run.shared:
        return _ask_workers(run, asked, actor)
    if run.verb not in IN_BATCHES:
        raise UsageError(f"Run {number} ({run.verb}) does not work in batches, between which it could be held.")
    # Only while it is at work, and never back from a cancel: it may have ended meanwhile.
    open_runs = Run.objects.filter(pk=number, status=statuses.RUNNING).exclude(asked=Run.Asked.CANCEL)
    if asked == Run.Asked.NOTHING:
        open_runs = open_runs.filter(asked=Run.Asked.PAUSE)
    if not open_runs.update(asked=asked, asked_by=actor or default_actor()):
        run.refresh_from_db()
        raise UsageError(_why_not(run, asked))
    run.refresh_from_db()
    events.asked(run)
    return run


def _ask_workers(run: Run, asked: Run.Asked, actor: str | None) -> Run:
    """All who work on a part do it before their next batch; parts that nobody has begun wait, or are not begun."""
    from integrity.workers import parts

    with transaction.atomic():
        # Whoever leaves a part meanwhile waits for this row, or we wait for them.
        run = Run.objects.select_for_update(no_key=True).get(pk=run.pk)
        paused = run.asked == Run.Asked.PAUSE
        refused = run.status != statuses.RUNNING or run.asked == Run.Asked.CANCEL
        if refused or (asked == Run.Asked.NOTHING and not paused):
            raise UsageError(_why_not(run, asked))
        run.asked, run.asked_by = asked, actor or default_actor()
        run.save(update_fields=["asked", "asked_by"])
        if asked == Run.Asked.CANCEL:
            parts.cancel_waiting(run.pk)
        if asked != Run.Asked.PAUSE:
            parts.call_for_rest(run.pk)
    events.asked(run)
    return run


def _cancelled_in_queue(run: Run, actor: str | None) -> bool:
    """What nobody has begun ends at once, whatever it is."""
    with transaction.atomic():
        queued = Run.objects.select_for_update().filter(pk=run.pk, status=statuses.QUEUED).first()
        if queued is None:
            return False
        queued.asked, queued.asked_by = Run.Asked.CANCEL, actor or default_actor()
        queued.save(update_fields=["asked", "asked_by"])
        records.end_run(queued, statuses.REFUSED, f"Cancelled by {queued.asked_by} before it had begun.")
    run.refresh_from_db()
    return True


def _why_not(run: Run, asked: Run.Asked) -> str:
    if run.status == statuses.QUEUED:
        return f"Run {run.pk} has not begun; it can be cancelled: manage.py integrity cancel {run.pk}"
    if run.status != statuses.RUNNING:
        return f"Run {run.pk} has ended ({run.status}); there is nothing to hold."
    if run.asked == Run.Asked.CANCEL:
        return f"Run {run.pk} was cancelled by {run.asked_by}, and ends before its next batch."
    return f"Run {run.pk} is not paused; it is at work."


def is_at_work(run: Run) -> bool:
    """False where its process died: the same command goes on with it."""
    return not leases.is_dead(run)
