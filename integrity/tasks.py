"""What the queue asks worker processes to do; procrastinate finds this module by its name."""

from __future__ import annotations

from procrastinate.contrib.django import app

from integrity.workers.queue import QUEUE


@app.task(name="integrity.perform", queue=QUEUE)
def perform(run: int) -> str:
    """A run that was put off."""
    from integrity.workers.performing import perform as perform_run

    return perform_run(run)
