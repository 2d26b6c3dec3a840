"""work: be a worker process."""

from __future__ import annotations

from typing import Any

from integrity.management.base import EngineCommand, positive
from integrity.management.verbs.base import Verb


def _arguments(parser: Any) -> None:
    parser.add_argument("--once", action="store_true", help="End when nothing waits any more.")
    parser.add_argument(
        "--sweep",
        action="store_true",
        help="Only call again for what nobody works on; workers do so each minute.",
    )
    parser.add_argument(
        "--threads", type=positive, default=1, metavar="N", help="How many runs or parts at a time (default: 1)."
    )


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.workers.sweeping import sweep
    from integrity.workers.worker import work

    if options["sweep"]:
        command.stdout.write(str(sweep()))
        return
    work(once=options["once"], threads=options["threads"])


VERB = Verb(
    "work",
    "Perform what was put into the queue, until Ctrl-C or SIGTERM.",
    "manage.py integrity work",
    _arguments,
    _perform,
)
