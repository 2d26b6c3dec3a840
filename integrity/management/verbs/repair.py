"""repair: carry out a strategy."""

from __future__ import annotations

from typing import Any

from integrity.keys import Key
from integrity.management.base import EngineCommand, add_brake, add_format, add_writing
from integrity.management.queued import add_queue, leave_to_workers, require_queue
from integrity.management.verbs.arguments import add_key, keys_of, strategy_of
from integrity.management.verbs.base import Verb
from integrity.registry import registry
from integrity.reports import Report
from integrity.rules.base import Rule


def _arguments(parser: Any) -> None:
    parser.add_argument("rules", nargs="+", metavar="RULE", help="app.name")
    parser.add_argument("--strategy", metavar="NAME", help="Which repair; needed where a rule has several.")
    add_key(parser)
    add_brake(parser)
    add_writing(parser)
    add_queue(parser)
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.repair import repair

    rules = [registry.get(label) for label in dict.fromkeys(options["rules"])]
    keys = keys_of(rules, options["key"])
    work = [(rule, strategy_of(rule, options["strategy"], alone=len(rules) == 1)) for rule in rules]
    command.require_yes_to_open_brake(options)
    if any(step.whole for rule, strategy in work for step in rule.strategy(strategy)[1]):
        command.require_yes("A whole table is rebuilt", options)

    require_queue(options)
    if options["queue"]:
        _put_off(command, work, keys, options)
        return

    def run(*, dry_run: bool) -> Report:
        return command.perform(
            lambda watch: repair(
                work,
                keys=keys,
                dry_run=dry_run,
                max_affected=options["max_affected"],
                reason=options["reason"],
                sample=options["limit"],
                observer=watch,
            ),
            options,
        )

    if options["dry_run"] or command.consent(lambda: run(dry_run=True), options):
        command.finish(run(dry_run=options["dry_run"]), options)


def _put_off(
    command: EngineCommand, work: list[tuple[Rule, str]], keys: list[Key] | None, options: dict[str, Any]
) -> None:
    from integrity.workers import later

    if not (options["dry_run"] or command.agrees_to_put_off(options)):
        return
    run = later.repair(
        work,
        keys=keys,
        dry_run=options["dry_run"],
        max_affected=options["max_affected"],
        reason=options["reason"],
    )
    leave_to_workers(command, run, options)


VERB = Verb(
    "repair",
    "Carry out a repair of some rules, as one run that can be undone.",
    "manage.py integrity repair players.mileage_adds_up --strategy recalculate_from_player --dry-run",
    _arguments,
    _perform,
)
