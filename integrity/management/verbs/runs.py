"""runs: what was done, by whom and why."""

from __future__ import annotations

from typing import Any

from integrity.management.base import EngineCommand, add_format
from integrity.management.verbs.base import Verb


def _arguments(parser: Any) -> None:
    parser.add_argument(
        "--verb",
        dest="of_verb",
        choices=["analyze", "repair", "verify", "undo", "enforce", "import", "consolidate", "run", "resume"],
        help="Only these.",
    )
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.models import Run
    from integrity.rendering.listing import print_runs, runs_as_csv, runs_as_json

    runs = Run.objects.prefetch_related("results")
    if options["of_verb"]:
        runs = runs.filter(verb=options["of_verb"])
    latest = list(runs[: options["limit"]])
    if options["format"] == "table":
        print_runs(command.console(options), latest)
    else:
        command.stdout.write(runs_as_json(latest) if options["format"] == "json" else runs_as_csv(latest))


VERB = Verb(
    "runs", "List runs, the latest first.", "manage.py integrity runs --verb repair --limit 5", _arguments, _perform
)
