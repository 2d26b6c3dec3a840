"""The queue between whoever wants a run and the processes that perform it: procrastinate, in the same database.

A job is an errand and no more: what there is to do, and who does it, stands in our own tables. So a job may come twice,
late or never; the sweeper sends another. Jobs are put into the queue in the transaction that wants them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, transaction

from integrity.exceptions import UsageError

QUEUE = "integrity"
APP = "procrastinate.contrib.django"
NEEDED = (
    f'Worker processes need procrastinate: pip install "holdtrue[workers]", add "{APP}" to INSTALLED_APPS and run'
    " manage.py migrate. Without it leave the queue out: the command then does the work itself."
)


def is_there() -> bool:
    """True where this project has a queue."""
    return apps.is_installed(APP)


def require() -> None:
    """Raise UsageError where there is no queue."""
    if not is_there():
        raise UsageError(NEEDED)


def put(task: str, calls: Sequence[Mapping[str, Any]], locks: Sequence[str], *, seconds: int = 0) -> int:
    """Jobs of one task, in the transaction that is open on the default database.

    locks: for each job a word that no other job which waits may have. One that waits already is left as it is.
    seconds: not before then. Returns how many are new.
    """
    require()
    from procrastinate.contrib.django import app
    from procrastinate.contrib.django.models import ProcrastinateJob

    waiting = set(
        ProcrastinateJob.objects.filter(queueing_lock__in=locks, status="todo").values_list("queueing_lock", flat=True)
    )
    later: Any = {"schedule_in": {"seconds": seconds}} if seconds else {}
    jobs = [
        app.configure_task(f"integrity.{task}", queue=QUEUE, queueing_lock=lock, **later).make_new_job(**call)
        for call, lock in zip(calls, locks, strict=True)
        if lock not in waiting
    ]
    return _put(jobs) if jobs else 0


def manager() -> Any:
    """What puts jobs into the queue on Django's own connection.

    In a worker the app of procrastinate has a connection of its own, which knows nothing of our transaction.
    """
    from procrastinate.contrib.django.django_connector import DjangoConnector
    from procrastinate.manager import JobManager

    return JobManager(DjangoConnector(DEFAULT_DB_ALIAS))


def _put(jobs: list[Any]) -> int:
    from procrastinate.exceptions import AlreadyEnqueued

    try:
        with transaction.atomic():
            manager().batch_defer_jobs(jobs)
    except AlreadyEnqueued:
        # Somebody was faster with one of them.
        return sum(_put([job]) for job in jobs) if len(jobs) > 1 else 0
    return len(jobs)
