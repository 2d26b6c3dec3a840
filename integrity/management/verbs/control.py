"""pause, resume and cancel: what a run that works elsewhere is asked; resume also of a rule's automatic repair."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from integrity.management.base import EngineCommand, positive
from integrity.management.verbs.base import Verb
from integrity.registry import registry

SAID = {
    "pause": "Run {run} pauses before its next batch. To let it go on: manage.py integrity resume {run}",
    "resume": "Run {run} goes on.",
    "cancel": "Run {run} ends before its next batch, as partial; what was committed stays.",
}


def _arguments(parser: Any) -> None:
    parser.add_argument("run", type=positive, metavar="RUN")
    parser.add_argument("--format", choices=["table", "json"], default="table", help="How to print it.")


def _arguments_of_resume(parser: Any) -> None:
    parser.add_argument("run", type=_run_or_rule, metavar="RUN|RULE", help="A paused run, or app.name.")
    parser.add_argument("--reason", default="", metavar="TEXT", help="Why an automatic repair goes on, for the record.")
    parser.add_argument("--format", choices=["table", "json"], default="table", help="How to print it.")


def _run_or_rule(text: str) -> int | str:
    return positive(text) if text.isdecimal() else text


def _perform(verb: str) -> Callable[[EngineCommand, dict[str, Any]], None]:
    def perform(command: EngineCommand, options: dict[str, Any]) -> None:
        from integrity import control, statuses

        if isinstance(options["run"], str):
            _resume_rule(command, options)
            return
        run = getattr(control, verb)(options["run"])
        if verb == "cancel" and run.shared:
            _conclude(run)
        if _told_as_json(command, verb, run, options):
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


def _resume_rule(command: EngineCommand, options: dict[str, Any]) -> None:
    """The automatic repair of a rule."""
    from integrity.schedules.healing import resume

    run = resume(registry.get(options["run"]), reason=options["reason"])
    if not _told_as_json(command, "resume", run, options):
        command.stdout.write(
            f"The automatic repair of {options['run']} goes on with the next look that finds something (run {run.pk})."
        )


def _told_as_json(command: EngineCommand, verb: str, run: Any, options: dict[str, Any]) -> bool:
    from integrity.rendering.listing import run_object
    from integrity.rendering.machine import list_object

    if options["format"] == "json":
        command.stdout.write(json.dumps(list_object(verb, [], runs=[run_object(run)]), ensure_ascii=False))
    return bool(options["format"] == "json")


def _conclude(run: Any) -> None:
    """Where nobody is at work on a part, there may be no worker who would end the run."""
    from integrity.workers.parts import end_of
    from integrity.workers.working import work_on

    if last := end_of(run.pk):
        work_on(last)
        run.refresh_from_db()


def _verb(name: str, help_: str, arguments: Callable[[Any], None] = _arguments) -> Verb:
    return Verb(name, help_, f"manage.py integrity {name} 12", arguments, _perform(name))


PAUSE = _verb("pause", "Let a repair or undo that is at work wait before its next batch.")
RESUME = _verb(
    "resume",
    "Let a paused repair or undo go on, or a rule's automatic repair that was stopped or suspended.",
    _arguments_of_resume,
)
CANCEL = _verb("cancel", "End a repair or undo before its next batch; what was committed stays.")
