"""How far a run is, how fast it goes, and when it will be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min, Sum
from django.utils import timezone

from integrity import statuses
from integrity.models import Change, Part, Run

RECENT = timedelta(minutes=2)
"""The rate is that of the parts which ended since then."""


@dataclass(frozen=True)
class Progress:
    """Of how many ``total`` are ``done``, in ``unit``: keys, rows or rules; total is None where nobody knows."""

    run: int
    status: str
    unit: str
    done: int
    total: int | None
    rate: float | None = None
    """Of them in a second; None before anything is done."""
    remaining: float | None = None
    """Seconds; None where nobody can tell, and while it is paused."""
    parts: dict[str, int] = field(default_factory=dict)
    """Parts by status, of a run that workers share."""
    workers: list[str] = field(default_factory=list)
    """Who is at work on it now."""
    waits_for: str = ""

    @property
    def share(self) -> float | None:
        """From 0 to 1."""
        return None if self.total is None else min(1.0, self.done / self.total) if self.total else 1.0


def progress(run: Run) -> Progress:
    """How far a run is now; one that is over is done."""
    run.refresh_from_db()
    if run.shared:
        return _of_shared(run)
    unit, done, total = _counted(run)
    seconds = ((run.finished_at or timezone.now()) - run.started_at).total_seconds() - sum(run.waited.values())
    workers = [_worker(run.host, run.pid)] if run.status == statuses.RUNNING else []
    return _told(run, unit, done, total, done / seconds if done and seconds > 0 else None, {}, workers, run.waits_for)


def _counted(run: Run) -> tuple[str, int, int | None]:
    results = list(run.results.all())
    if run.verb == Run.Verb.UNDO and run.of_id:
        return "rows", sum(result.changes for result in results), Change.objects.filter(run=run.of_id).count()
    if run.verb == Run.Verb.REPAIR:
        planned = [result.planned for result in results]
        total = None if None in planned else sum(count or 0 for count in planned)
        return "keys", sum(result.done for result in results), total
    return "rules", sum(result.status != statuses.RUNNING for result in results), None


def _of_shared(run: Run) -> Progress:
    working = Part.objects.filter(run=run).exclude(kind="end")
    counted = working.aggregate(done=Sum("done"), total=Sum("keys"))
    by_status = dict(Part.objects.filter(run=run).order_by().values_list("status").annotate(Count("id")))
    at_work = list(Part.objects.filter(run=run, status=statuses.RUNNING))
    unit = "keys" if run.verb == Run.Verb.REPAIR else "rows"
    return _told(
        run,
        unit,
        counted["done"] or 0,
        counted["total"] or 0,
        _recent_rate(run, timezone.now()),
        by_status,
        sorted({_worker(part.host, part.pid) for part in at_work}),
        run.waits_for or next((part.waits_for for part in at_work if part.waits_for), ""),
    )


def _recent_rate(run: Run, now: datetime) -> float | None:
    """Over the time in which those parts were at work, so that a pause before does not count."""
    ended = Part.objects.filter(run=run, ended_at__isnull=False).exclude(kind="end")
    latest = ended.aggregate(at=Max("ended_at"))["at"]
    if latest is None:
        return None
    recent = ended.filter(ended_at__gt=min(now, latest) - RECENT)
    seen = recent.aggregate(done=Sum("done"), since=Min("begun_at"))
    seconds = (latest - seen["since"]).total_seconds() if seen["since"] else 0
    return (seen["done"] or 0) / seconds if seconds > 0 else None


def _told(
    run: Run,
    unit: str,
    done: int,
    total: int | None,
    rate: float | None,
    parts: dict[str, int],
    workers: list[str],
    waits_for: str,
) -> Progress:
    is_open = run.status in (statuses.QUEUED, statuses.RUNNING)
    paused = run.asked == Run.Asked.PAUSE
    remaining = None
    if is_open and not paused and rate and total is not None:
        remaining = round(max(0, total - done) / rate, 1)
    return Progress(
        run.pk,
        run.status,
        unit,
        done,
        total,
        None if rate is None else round(rate, 1),
        remaining if is_open else 0.0,
        parts,
        workers if is_open else [],
        (waits_for or (f"paused by {run.asked_by}" if paused else "")) if is_open else "",
    )


def _worker(host: str, pid: int) -> str:
    return f"process {pid} on {host}"
