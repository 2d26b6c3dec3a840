"""quarantine: what repairs have moved out of its table."""

from __future__ import annotations

from typing import Any

from integrity.management.base import EngineCommand, add_format
from integrity.management.verbs.arguments import add_rules
from integrity.management.verbs.base import Verb
from integrity.registry import registry


def _arguments(parser: Any) -> None:
    add_rules(parser)
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.quarantine import quarantined
    from integrity.rendering.quarantine import print_quarantine, quarantine_as_csv, quarantine_as_json

    # Rows of a rule that is declared no more are listed as well, unless rules are named.
    rows = quarantined(registry.select(options["rules"]) if options["rules"] else None)
    total, first = rows.count(), list(rows[: options["limit"]])
    if options["format"] == "table":
        print_quarantine(command.console(options), first, total)
    elif options["format"] == "json":
        command.stdout.write(quarantine_as_json(first, total))
    else:
        command.stdout.write(quarantine_as_csv(first))


VERB = Verb(
    "quarantine",
    "List the rows that repairs have moved into quarantine, the oldest first.",
    "manage.py integrity quarantine players --format json",
    _arguments,
    _perform,
)
