"""pause, resume and cancel: what a run that works elsewhere is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from integrity.management.base import EngineCommand, positive
from integrity.management.verbs.base import Verb

SAID = {
    "pause": "Run {run} pauses before its next batch. To let it go on: manage.py integrity resume {run}",
    "resume": "Run {run} goes on.",
    "cancel": "Run {run} ends before its next batch, as partial; what was committed stays.",
}


def _arguments(parser: Any) -> None:
    parser.add_argument("run", type=positive, metavar="RUN")
    parser.add_argument("--format", choices=["table", "json"], default="table", help="How to print it.")


def _perform(verb: str) -> Callable[[EngineCommand, dict[str, Any]], None]:
    def perform(command: EngineCommand, options: dict[str, Any]) -> None:
        from integrity import control, statuses
        from integrity.rendering.listing import run_object
        from integrity.rendering.machine import list_object

        run = getattr(control, verb)(options["run"])
        if options["format"] == "json":
            command.stdout.write(json.dumps(list_object(verb, [], runs=[run_object(run)]), ensure_ascii=False))
            return
        if run.status == statuses.REFUSED:
            command.stdout.write(f"Run {run.pk} had not begun, and will not.")
            return
        command.stdout.write(SAID[verb].format(run=run.pk))
        if not control.is_at_work(run):
            command.stdout.write(
                f"Its process (number {run.pid} on {run.host}) died; the same command goes on with it."
            )

    return perform


def _verb(name: str, help_: str) -> Verb:
    return Verb(name, help_, f"manage.py integrity {name} 12", _arguments, _perform(name))


PAUSE = _verb("pause", "Let a repair or undo that is at work wait before its next batch.")
RESUME = _verb("resume", "Let a paused repair or undo go on.")
CANCEL = _verb("cancel", "End a repair or undo before its next batch; what was committed stays.")
