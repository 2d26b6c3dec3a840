"""Looking after the queue: what nobody works on although somebody should is called for again.

To be run every minute, by the workers themselves or by cron. Twice at a time does no harm.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from integrity import leases, statuses
from integrity.conf import conf
from integrity.models import Run
from integrity.workers import parts, queue
from integrity.workers.later import CALL

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swept:
    """How many were called for again."""

    runs: int = 0
    parts: int = 0
    jobs: int = 0

    def __str__(self) -> str:
        return f"Called for again: {self.runs} runs, {self.parts} parts, {self.jobs} jobs of workers that died."


def sweep() -> Swept:
    """Call for workers where runs or parts wait without one. Raises UsageError where there is no queue."""
    queue.require()
    return Swept(runs=_runs(), parts=_parts(), jobs=_jobs())


def _runs() -> int:
    """Runs that were put off, and nobody has begun or whoever began died."""
    put_off = Run.objects.filter(
        Q(status=statuses.QUEUED) | Q(status=statuses.RUNNING, shared=False), options__has_key=CALL
    )
    lost = [run.pk for run in put_off if run.status == statuses.QUEUED or leases.is_dead(run)]
    return queue.put("perform", [{"run": run} for run in lost], [f"integrity run {run}" for run in lost])


def _parts() -> int:
    """Parts that wait, or whose worker died, in runs that are not held."""
    called = 0
    for run in Run.objects.filter(status=statuses.RUNNING, shared=True):
        found = parts.open_parts(run.pk).defer("found")
        lost = [part.pk for part in found if part.status == statuses.WAITING or leases.is_dead(part)]
        if run.asked == Run.Asked.CANCEL:
            lost = [part.pk for part in found if part.status == statuses.RUNNING and leases.is_dead(part)]
        elif run.asked:
            lost = []
        end = parts.end_of(run.pk)
        with transaction.atomic():
            called += parts.call_for([*lost, *([] if end is None else [end])])
    return called


def _jobs() -> int:
    """Jobs of processes that died stay ``doing`` for ever; each is tried by itself, so that one holds up no other."""
    from procrastinate.contrib.django.models import ProcrastinateJob

    unheard = timezone.now() - timedelta(seconds=conf().HEARTBEAT_SECONDS)
    stalled = ProcrastinateJob.objects.filter(
        Q(worker=None) | Q(worker__last_heartbeat__lt=unheard), status="doing", queue_name=queue.QUEUE
    )
    return sum(_again(job) for job in stalled.values_list("pk", flat=True))


def _again(job: int) -> bool:
    from procrastinate.exceptions import ConnectorException

    try:
        with transaction.atomic():
            queue.manager().retry_job_by_id(job, retry_at=timezone.now())
    except ConnectorException as error:
        return _drop(job, error)
    return True


def _drop(job: int, why: Exception) -> bool:
    """Another job with its errand waits already, or it has ended by itself."""
    from procrastinate import sql
    from procrastinate.exceptions import ConnectorException

    ending = {"job_id": job, "status": "aborted", "delete_job": True}
    try:
        with transaction.atomic():
            queue.manager().connector.execute_query(sql.queries["finish_job"], **ending)
    except ConnectorException as error:
        logger.warning("Job %s of a worker that died can neither be retried (%s) nor ended (%s)", job, why, error)
    return False
