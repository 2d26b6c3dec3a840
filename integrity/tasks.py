"""What the queue asks worker processes to do; procrastinate finds this module by its name."""

from __future__ import annotations

from procrastinate.contrib.django import app

from integrity.workers.queue import QUEUE


@app.task(name="integrity.perform", queue=QUEUE)
def perform(run: int) -> str:
    """A run that was put off."""
    from integrity.workers.performing import perform as perform_run

    return perform_run(run)


@app.task(name="integrity.work_on", queue=QUEUE)
def work_on(part: int) -> None:
    """A part of a run that workers share."""
    from integrity.workers.working import work_on as work

    work(part)


@app.periodic(cron="* * * * *")
@app.task(name="integrity.sweep", queue=QUEUE, queueing_lock="integrity sweep")
def sweep(timestamp: int) -> str:
    """What nobody works on although somebody should."""
    from integrity.workers.sweeping import sweep as look_after

    return str(look_after())


@app.periodic(cron="* * * * *")
@app.task(name="integrity.run_due", queue=QUEUE, queueing_lock="integrity schedules")
def run_due(timestamp: int) -> str:
    """The looks whose schedule asks for them, and the automatic repairs after them."""
    from integrity.schedules.scheduling import run_due as run

    done = run()
    return done.busy or done.status


@app.periodic(cron="* * * * *")
@app.task(name="integrity.send_alerts", queue=QUEUE, queueing_lock="integrity alerts")
def send_alerts(timestamp: int) -> str:
    """Messages that are due, and those of looks that did not come."""
    from integrity.alerts.clock import look_at_clock
    from integrity.alerts.sending import send_due

    look_at_clock()
    # What is put off meanwhile should not wait for an endpoint that is down.
    done = send_due(seconds=20)
    return f"{done.sent} sent, {done.failed} not delivered"
