"""verify: look again at what a run touched."""

from __future__ import annotations

from typing import Any

from integrity.management.base import EngineCommand, add_format, positive
from integrity.management.queued import add_queue, leave_to_workers, require_queue
from integrity.management.verbs.base import Verb


def _arguments(parser: Any) -> None:
    parser.add_argument("run", type=positive, metavar="RUN")
    add_queue(parser)
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.engine import get_run, verify

    require_queue(options)
    if options["queue"]:
        from integrity.workers import later

        leave_to_workers(command, later.verify(get_run(options["run"])), options)
        return
    report = command.perform(lambda watch: verify(options["run"], sample=options["limit"], observer=watch), options)
    command.finish(report, options)


VERB = Verb(
    "verify",
    "Look again at every rule that a run's changes concern.",
    "manage.py integrity verify 12",
    _arguments,
    _perform,
)
