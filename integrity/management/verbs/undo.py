"""undo: take back what a run changed."""

from __future__ import annotations

from typing import Any

from integrity.exceptions import UsageError
from integrity.keys import Key
from integrity.management.base import EngineCommand, add_format, add_writing, positive
from integrity.management.queued import add_queue, leave_to_workers, require_queue
from integrity.management.verbs.arguments import add_key
from integrity.management.verbs.base import Verb
from integrity.registry import registry
from integrity.reports import Report
from integrity.rules.base import Rule


def _arguments(parser: Any) -> None:
    parser.add_argument("run", type=positive, metavar="RUN")
    parser.add_argument("--rule", metavar="RULE", help="Only what was written for this rule (app.name).")
    add_key(parser)
    add_writing(parser)
    add_queue(parser)
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.undo import undo

    rule = _rule_to_undo(options["run"], options["rule"], needed=bool(options["key"]))
    keys = None if rule is None or options["key"] is None else [rule.parse_key(text) for text in options["key"]]

    require_queue(options)
    if options["queue"]:
        _put_off(command, rule, keys, options)
        return

    def run(*, dry_run: bool) -> Report:
        return command.perform(
            lambda watch: undo(
                options["run"],
                rule=rule,
                keys=keys,
                dry_run=dry_run,
                reason=options["reason"],
                sample=options["limit"],
                observer=watch,
            ),
            options,
        )

    if options["dry_run"] or command.consent(lambda: run(dry_run=True), options):
        command.finish(run(dry_run=options["dry_run"]), options)


def _put_off(command: EngineCommand, rule: Rule | None, keys: list[Key] | None, options: dict[str, Any]) -> None:
    from integrity.engine import get_run
    from integrity.workers import later

    of = get_run(options["run"])
    if options["dry_run"] or command.agrees_to_put_off(options):
        run = later.undo(of, rule=rule, keys=keys, dry_run=options["dry_run"], reason=options["reason"])
        leave_to_workers(command, run, options)


def _rule_to_undo(number: int, label: str | None, *, needed: bool) -> Rule | None:
    """The rule that an undo is limited to; the only one of the run where keys need one and none is named."""
    if label is not None:
        return registry.get(label)
    if not needed:
        return None
    from integrity.engine import get_run
    from integrity.models import Change

    labels = list(Change.objects.filter(run=get_run(number)).values_list("rule", flat=True).distinct().order_by("rule"))
    if len(labels) > 1:
        raise UsageError(f"Run {number} wrote for several rules; say whose key it is with --rule: {', '.join(labels)}.")
    return registry.get(labels[0]) if labels else None


VERB = Verb(
    "undo",
    "Take back what a run changed, where nobody has changed it since.",
    "manage.py integrity undo 12 --dry-run",
    _arguments,
    _perform,
)
