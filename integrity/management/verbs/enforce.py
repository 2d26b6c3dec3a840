"""enforce: let the database keep rules true."""

from __future__ import annotations

from typing import Any

from integrity.management.base import EngineCommand, add_format, add_writing
from integrity.management.queued import add_queue, leave_to_workers, require_queue
from integrity.management.verbs.base import Verb
from integrity.registry import registry
from integrity.rules.base import Rule


def _arguments(parser: Any) -> None:
    parser.add_argument("rules", nargs="+", metavar="RULE|APP", help="app.name or app")
    parser.add_argument("--remove", action="store_true", help="Take triggers and constraints away.")
    add_writing(parser)
    add_queue(parser)
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.enforce import enforce

    rules = registry.select(options["rules"])
    if any(name in options["rules"] for name in {rule.app for rule in rules}):
        # An app stands for those of its rules that are to be enforced.
        rules = [rule for rule in rules if rule.enforce or rule.label in options["rules"]]
    require_queue(options)
    asked = options["yes"] or (command.is_interactive and not options["remove"] and _asks_to_guard(rules))
    how: dict[str, Any] = {"remove": options["remove"], "dry_run": options["dry_run"], "accept_dirty": asked}
    if options["queue"]:
        from integrity.workers import later

        leave_to_workers(command, later.enforce(rules, **how, reason=options["reason"]), options)
        return
    command.finish(enforce(rules, **how, reason=options["reason"], sample=options["limit"]), options)


def _asks_to_guard(rules: list[Rule]) -> bool:
    from integrity.enforcement.ways import enforced

    names = ", ".join(way.rule.label for way in enforced(rules) if way.dirty == "ask")
    if not names:
        return False
    answer = input(f"Guard {names} even where rows break them now (such rows cannot be updated until repaired)? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


VERB = Verb(
    "enforce",
    "Let the database keep rules true: guard, and prove it once they hold; or take it away.",
    "manage.py integrity enforce vehicles.current_mileage",
    _arguments,
    _perform,
)
