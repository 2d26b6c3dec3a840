"""What it costs to share a repair among workers: the same repair in one process, and in many small parts."""

from __future__ import annotations

import os
from typing import Any

from django.db import connection, connections
from django.test.utils import override_settings

from integrity.models import Part, Run
from integrity.registry import registry
from integrity.workers import later
from integrity.workers.performing import perform
from integrity.workers.worker import work
from tests.benchmarks.jobs import HISTORY, MILEAGE, plant, repaired
from tests.benchmarks.measure import Job
from tests.benchmarks.world import sql

EVERY = 10
KEYS_OF_A_PART = 10


class Shared(Job):
    """Both columns are the engine's. Parts are a thousandth of what they are by default, so that their cost shows."""

    workers = 1
    name = "workers-1"
    what = f"trim 10% in parts of {KEYS_OF_A_PART} keys, by 1 worker (best SQL: by one process)"

    def before(self) -> None:
        plant(every=EVERY, by="- 3.3")

    def by_hand(self) -> None:
        repaired(MILEAGE, "delete_extra_metrics")

    def by_engine(self) -> None:
        with override_settings(INTEGRITY={"PART_KEYS": KEYS_OF_A_PART}):
            run = later.repair([(registry.get(MILEAGE), "delete_extra_metrics")], max_affected="100%")
            perform(run.pk)
            connections.close_all()
            for worker in [_forked() for _ in range(self.workers)]:
                os.waitpid(worker, 0)
        run.refresh_from_db()
        assert run.status == "clean", run.error

    def left(self) -> Any:
        return sql(HISTORY)

    def after(self) -> None:
        latest = Run.objects.filter(shared=True).first()
        parts = Part.objects.filter(run=latest, kind="keys").count()
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers CASCADE")
        print(f"{self.name}: {parts:,} parts")


class SharedByTwo(Shared):
    workers = 2
    name, what = "workers-2", f"trim 10% in parts of {KEYS_OF_A_PART} keys, by 2 workers (best SQL: by one process)"


def _forked() -> int:
    child = os.fork()
    if child == 0:
        from procrastinate.contrib.django import app

        # What the clock asks for is no part of the work.
        app.periodic_registry.periodic_tasks = {}
        try:
            work(once=True)
        finally:
            os._exit(0)
    return child


SHARED: list[type[Job]] = [Shared, SharedByTwo]
