"""run: the looks that are due, and the automatic repairs after them; for cron."""

from __future__ import annotations

import json
from typing import Any

from integrity.exceptions import UsageError
from integrity.management.base import EngineCommand, add_format
from integrity.management.verbs.arguments import add_rules, add_tag
from integrity.management.verbs.base import Verb
from integrity.registry import registry


def _arguments(parser: Any) -> None:
    add_rules(parser)
    add_tag(parser)
    parser.add_argument("--due", action="store_true", help="Only what its schedule says is due now.")
    parser.add_argument("--dry-run", action="store_true", help="Tell what is due; look at nothing.")
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.schedules import scheduling

    if not options["due"] and (options["dry_run"] or not (options["rules"] or options["tag"])):
        raise UsageError("Say --due for what is due, or name the rules, apps or tags that are to be looked at now.")
    rules = registry.select(options["rules"], options["tag"])
    found: list[scheduling.Scheduled] = []

    def carry_out(watch: Any) -> Any:
        verb = scheduling.run_due if options["due"] else scheduling.run_now
        found.append(verb(rules, sample=options["limit"], observer=watch))
        return None

    if options["dry_run"]:
        found.append(scheduling.Scheduled(scheduling.due(rules)))
    else:
        command.perform(carry_out, options)
    _show(command, found[0], options)
    if found[0].exit_code:
        raise SystemExit(found[0].exit_code)


def _show(command: EngineCommand, found: Any, options: dict[str, Any]) -> None:
    from integrity.rendering import schedules

    if options["format"] == "json":
        answer = schedules.as_object(found, dry_run=options["dry_run"])
        command.stdout.write(json.dumps(answer, ensure_ascii=False))
    elif options["format"] == "csv":
        command.stdout.write(schedules.to_csv(found))
    else:
        schedules.print_scheduled(command.console(options), found, dry_run=options["dry_run"])


VERB = Verb(
    "run",
    "Look at what is due by its schedule, and carry out the repairs that are declared automatic.",
    "manage.py integrity run --due",
    _arguments,
    _perform,
)
