"""verify: look again at what a run touched."""

from __future__ import annotations

from typing import Any

from integrity.management.base import EngineCommand, add_format, positive
from integrity.management.verbs.base import Verb


def _arguments(parser: Any) -> None:
    parser.add_argument("run", type=positive, metavar="RUN")
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.engine import verify

    report = command.perform(lambda watch: verify(options["run"], sample=options["limit"], observer=watch), options)
    command.finish(report, options)


VERB = Verb(
    "verify",
    "Look again at every rule that a run's changes concern.",
    "manage.py integrity verify 12",
    _arguments,
    _perform,
)
