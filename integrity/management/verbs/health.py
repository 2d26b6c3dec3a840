"""health: how much of what is declared holds, for people and for cron."""

from __future__ import annotations

import json
from typing import Any

from integrity.management.base import EngineCommand, add_format
from integrity.management.verbs.arguments import add_rules
from integrity.management.verbs.base import Verb
from integrity.registry import registry


def add_health(parser: Any) -> None:
    """The options of health."""
    add_rules(parser)
    parser.add_argument(
        "--recorded",
        action="store_true",
        help="Read the records alone: no rule is looked at. One that was not in time counts as not checked.",
    )
    add_format(parser)


def show_health(command: EngineCommand, options: dict[str, Any]) -> None:
    """Look, print, and exit with 0 healthy, 1 degraded, 3 not checked."""
    from integrity.health import Health, as_object, health, recorded_health
    from integrity.importing.known import imports
    from integrity.rendering.health import print_health, to_csv

    rules = registry.select(options["rules"])
    apps = {rule.app for rule in rules}
    chosen = [one for one in imports if one.app in apps]
    found: list[Health] = []

    def look(watch: Any) -> Any:
        found.append(health(rules, chosen, observer=watch))
        return None

    if options.get("recorded"):
        found.append(recorded_health(rules, chosen))
    else:
        command.perform(look, options)
    (answer,) = found
    if options["format"] == "json":
        command.stdout.write(json.dumps(as_object(answer), ensure_ascii=False))
    elif options["format"] == "csv":
        command.stdout.write(to_csv(answer))
    else:
        print_health(command.console(options), answer)
    if answer.exit_code:
        raise SystemExit(answer.exit_code)


VERB = Verb(
    "health",
    "Tell how much of what is declared holds: rules, constraints, watches and imports, by severity.",
    "manage.py integrity health teams --format json",
    add_health,
    show_health,
)
