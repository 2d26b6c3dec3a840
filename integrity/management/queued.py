"""What the verbs share that can be left to worker processes."""

from __future__ import annotations

from typing import Any

from integrity.exceptions import UsageError
from integrity.management.base import EngineCommand
from integrity.models import Run
from integrity.statuses import EXIT_CODES


def add_queue(parser: Any) -> None:
    """Leaving it to worker processes, and waiting for them."""
    parser.add_argument(
        "--queue", action="store_true", help="Leave it to worker processes, which share what is large (see: work)."
    )
    parser.add_argument(
        "--wait", action="store_true", help="With --queue: wait for the end, and show how far it is meanwhile."
    )


def require_queue(options: dict[str, Any]) -> None:
    """Refuse to wait for nobody."""
    if options["wait"] and not options["queue"]:
        raise UsageError("--wait waits for worker processes: add --queue.")


def leave_to_workers(command: EngineCommand, run: Run, options: dict[str, Any]) -> None:
    """Say where to look; or wait, print what came of it, and exit with its code. Not finished is never 0."""
    from integrity.workers.waiting import report_of, wait_for

    if options["wait"]:
        try:
            report = command.perform(lambda watch: wait_for(run, watch, sample=options["limit"]), options)
        except KeyboardInterrupt:
            command.stderr.write(f"Run {run.pk} goes on. To end it: manage.py integrity cancel {run.pk}")
            raise
        command.finish(report, options)
        return
    if options["format"] == "table":
        command.stdout.write(f"Run {run.pk} waits for a worker. How far it is: manage.py integrity runs {run.pk}")
    else:
        command.render(report_of(run), options)
    raise SystemExit(EXIT_CODES[run.status])
