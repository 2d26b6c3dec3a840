"""Runs: how many, how long, which are open; what they wrote; imports, the queue, messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import Count, F, Min, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from prometheus_client.core import Metric

from integrity import statuses
from integrity.alerts.models import AlertDelivery
from integrity.importing.declarations import Import
from integrity.metrics.families import counter, gauge, seconds, summary
from integrity.models import RejectedRow, Result, Run
from integrity.workers import queue

_OPEN = (statuses.QUEUED, statuses.RUNNING)


def of_runs() -> Iterable[Metric]:
    """By verb."""
    runs = Run.objects.order_by()
    yield gauge(
        "runs", "Runs by verb and status.", ("verb", "status"),
        (((verb, status), number) for verb, status, number in
         runs.values_list("verb", "status").annotate(number=Count("pk"))),
    )  # fmt: skip
    ended = runs.filter(finished_at__isnull=False).annotate(lasted=F("finished_at") - F("started_at"))
    yield summary(
        "run_duration_seconds", "How long runs took that have ended.", ("verb",),
        (((verb,), number, total.total_seconds()) for verb, number, total in
         ended.values_list("verb").annotate(number=Count("pk"), total=Sum("lasted"))),
    )  # fmt: skip
    standing = list(
        runs.filter(status__in=_OPEN)
        .values_list("verb", "status")
        .annotate(since=Min("started_at"), heard=Min("heartbeat_at"))
    )
    yield gauge(
        "open_run_started_timestamp_seconds", "Since when the oldest run of those is open.", ("verb", "status"),
        (((verb, status), seconds(since)) for verb, status, since, _ in standing),
    )  # fmt: skip
    yield gauge(
        "open_run_heard_timestamp_seconds", "When the one was heard of that is silent the longest.", ("verb", "status"),
        (((verb, status), seconds(heard)) for verb, status, _, heard in standing),
    )  # fmt: skip
    written = Result.objects.filter(run__dry_run=False, changes__gt=0).order_by().values_list("rule", "run__verb")
    yield counter(
        "changes", "Rows written.", ("rule", "verb"),
        (((rule, verb), number) for rule, verb, number in written.annotate(number=Sum("changes"))),
    )  # fmt: skip


def of_imports(imports: Sequence[Import]) -> Iterable[Metric]:
    """Of each import that is declared: when it was last run, when it last went well, and what it left out."""
    last: dict[str, Run] = {}
    good: dict[str, Run] = {}
    for one in imports:
        ended = Run.objects.filter(verb=Run.Verb.IMPORT, options__import=one.label, dry_run=False)
        if run := ended.exclude(status__in=_OPEN).first():
            last[one.label] = run
        if run := ended.filter(status=statuses.CLEAN).first():
            good[one.label] = run
    yield gauge(
        "import_last_timestamp_seconds", "When the last import began that has ended.", ("import", "status"),
        (((label, run.status), seconds(run.started_at)) for label, run in last.items()),
    )  # fmt: skip
    yield gauge(
        "import_last_clean_timestamp_seconds", "When the last import began of which nothing was refused.", ("import",),
        (((label,), seconds(run.started_at)) for label, run in good.items()),
    )  # fmt: skip
    # Few: an import that rejects more than its budget ends. One row may have several wrong fields.
    rejected = RejectedRow.objects.filter(run__in=last.values()).order_by().values_list("run", "feed", "row").distinct()
    known = Counter(run for run, *_ in rejected)
    yield gauge(
        "import_rejected_rows", "Rows that the last import left out.", ("import",),
        (((label,), known[run.pk]) for label, run in last.items()),
    )  # fmt: skip


def of_queue() -> Iterable[Metric]:
    """Jobs of the engine's queue; nothing where the project has none."""
    if not queue.is_there():
        return
    from procrastinate.contrib.django.models import ProcrastinateJob

    jobs = ProcrastinateJob.objects.filter(queue_name=queue.QUEUE).order_by()
    unfinished = jobs.filter(status__in=("todo", "doing", "failed"))
    yield gauge(
        "queue_jobs", "Jobs that wait, are worked on, or failed.", ("status",),
        (((status,), number) for status, number in unfinished.values_list("status").annotate(number=Count("pk"))),
    )  # fmt: skip
    now = timezone.now()
    due = jobs.filter(Q(scheduled_at=None) | Q(scheduled_at__lte=now), status="todo")
    put = Min("procrastinateevent__at", filter=Q(procrastinateevent__type="deferred"))
    oldest: datetime | None = due.annotate(due=Coalesce("scheduled_at", put)).aggregate(oldest=Min("due"))["oldest"]
    lag = (now - oldest).total_seconds() if oldest else 0.0
    yield gauge("queue_lag_seconds", "How long the job has waited that waits the longest.", (), [((), lag)])


def of_alerts() -> Iterable[Metric]:
    """What people are told of."""
    deliveries = AlertDelivery.objects.order_by().values_list("status").annotate(number=Count("pk"))
    yield gauge(
        "alert_deliveries", "Messages to channels by what became of them.", ("status",),
        (((status,), number) for status, number in deliveries),
    )  # fmt: skip
