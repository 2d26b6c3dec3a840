"""runs: what was done, by whom and why."""

from __future__ import annotations

import json
from typing import Any

from integrity.management.base import EngineCommand, add_format, positive
from integrity.management.verbs.base import Verb


def _arguments(parser: Any) -> None:
    parser.add_argument("run", nargs="?", type=positive, metavar="RUN", help="This one, and how far it is.")
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

    if options["run"]:
        _show(command, options)
        return
    runs = Run.objects.prefetch_related("results")
    if options["of_verb"]:
        runs = runs.filter(verb=options["of_verb"])
    latest = list(runs[: options["limit"]])
    if options["format"] == "table":
        print_runs(command.console(options), latest)
    else:
        command.stdout.write(runs_as_json(latest) if options["format"] == "json" else runs_as_csv(latest))


def _show(command: EngineCommand, options: dict[str, Any]) -> None:
    """One run, and how far it is."""
    from integrity.engine import get_run
    from integrity.rendering.listing import print_runs, run_object, runs_as_csv
    from integrity.rendering.machine import list_object
    from integrity.rendering.progress import progress_lines, progress_object
    from integrity.workers.progress import progress

    run = get_run(options["run"])
    told = progress(run)
    if options["format"] == "json":
        shown = run_object(run) | {"progress": progress_object(told)}
        command.stdout.write(json.dumps(list_object("runs", [], runs=[shown]), ensure_ascii=False))
    elif options["format"] == "csv":
        command.stdout.write(runs_as_csv([run]))
    else:
        print_runs(command.console(options), [run])
        for line in [*progress_lines(told), *([run.error] if run.error else [])]:
            command.stdout.write(line)


VERB = Verb(
    "runs", "List runs, the latest first.", "manage.py integrity runs --verb repair --limit 5", _arguments, _perform
)
