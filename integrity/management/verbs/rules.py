"""rules: what is declared."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from integrity.exceptions import EngineError
from integrity.management.base import EngineCommand, add_format, explain
from integrity.management.verbs.arguments import add_rules, add_tag
from integrity.management.verbs.base import Verb
from integrity.registry import registry
from integrity.reports import States
from integrity.rules.base import Rule
from integrity.schedules.schedule import schedule_of


def _arguments(parser: Any) -> None:
    add_rules(parser)
    add_tag(parser)
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    rules = registry.select(options["rules"], options["tag"])
    states, error = _states(rules)
    times, unknown = _times(rules)
    error = error or unknown
    if options["format"] == "table":
        from integrity.rendering.rules import print_rules
        from integrity.rendering.schedules import told

        print_rules(command.console(options), rules, states, {rule.label: told(rule, times) for rule in rules})
    elif options["format"] == "json":
        from integrity.rendering.listing import rules_as_json

        command.stdout.write(rules_as_json(rules, states, times, error))
    else:
        from integrity.rendering.listing import rules_as_csv

        command.stdout.write(rules_as_csv(rules, states, times))
    if error:
        command.stderr.write(error)
        raise SystemExit(EngineError.exit_code)


def _times(rules: list[Rule]) -> tuple[dict[str, datetime | None], str]:
    """When each is looked at next; and why that is not known. The records are not asked where nothing is scheduled."""
    if not any(schedule_of(rule) for rule in rules):
        return {}, ""
    from integrity.looks import last_looks
    from integrity.schedules.scheduling import next_look

    now = timezone.now()
    try:
        looks = last_looks(rules)
    except (DatabaseError, InterfaceError) as error:
        return {}, f"When rules are looked at next is not known. {explain(error)[0]}"
    return {rule.label: next_look(rule, looks[rule.label], now) for rule in rules}, ""


def _states(rules: list[Rule]) -> tuple[dict[str, States], str]:
    """What the database does for each rule; and why that is not known, where the database cannot be asked.

    It is not asked where nothing is declared to be enforced or tracked.
    """
    unknown = {
        rule.label: States("unknown" if rule.enforce else "", "unknown" if rule.tracked else "") for rule in rules
    }
    if not any(rule.enforce or rule.tracked for rule in rules):
        return unknown, ""
    from integrity.enforcement.states import states

    try:
        return {rule.label: states(rule) for rule in rules}, ""
    except (DatabaseError, InterfaceError) as error:
        return unknown, f"What the database does for the rules is not known. {explain(error)[0]}"


VERB = Verb("rules", "List the declared rules.", "manage.py integrity rules players", _arguments, _perform)
