"""What the queue asks worker processes to do; procrastinate finds this module by its name."""

from __future__ import annotations

from procrastinate.contrib.django import app

from integrity.workers.queue import QUEUE


@app.task(name="integrity.perform", queue=QUEUE)
def perform(run: int) -> str:
    """A run that was put off."""
    from integrity.workers.performing import perform as perform_run

    return perform_run(run)


@app.periodic(cron="* * * * *")
@app.task(name="integrity.run_due", queue=QUEUE, queueing_lock="integrity schedules")
def run_due(timestamp: int) -> str:
    """The looks whose schedule asks for them, and the automatic repairs after them."""
    from integrity.scheduling import run_due as run

    done = run()
    return done.busy or done.status
